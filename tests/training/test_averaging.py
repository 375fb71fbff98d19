"""The moving average is the textbook's, is what is evaluated and kept, and survives a resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import chainrule
from chainrule.training.averaging import go_on, moving_average
from chainrule.training.data.load import load_data
from chainrule.training.evaluation import evaluate
from chainrule.training.step import loss_of

SETTINGS = {"limit": 120, "epochs": 3, "batch_size": 16, "average_weights": 0.9}
NOTATION = "CONV3-4, BN, RELU, POOL2, FC-10"


def test_it_equals_a_loop_in_numpy() -> None:
    layer = nn.Linear(3, 2)
    twin = moving_average(layer, 0.8)
    expected = None
    for update in range(30):
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.random.default_rng(update).random((2, 3))))
        twin.update_parameters(layer)
        current = layer.weight.detach().double().numpy()
        decay = min(0.8, (1 + update) / (10 + update))
        expected = current if update == 0 else decay * expected + (1 - decay) * current
    np.testing.assert_allclose(twin.module.weight.numpy(), expected, rtol=1e-5)


def test_one_that_goes_on_is_one_that_never_stopped() -> None:
    layer = nn.Linear(2, 2)
    whole, second = moving_average(layer, 0.99), moving_average(layer, 0.99)
    for update in range(20):
        with torch.no_grad():
            layer.weight.fill_(update)
        whole.update_parameters(layer)
        if update == 9:
            second.module.load_state_dict(whole.module.state_dict())
            go_on(second, 10)
        elif update > 9:
            second.update_parameters(layer)
    assert torch.equal(whole.module.weight, second.module.weight)


def test_the_average_is_kept_and_reported(tmp_path: Path) -> None:
    plain = {key: value for key, value in SETTINGS.items() if key != "average_weights"}
    result = chainrule.train(NOTATION, "digits", runs=tmp_path, **SETTINGS)
    last = chainrule.train(NOTATION, "digits", runs=tmp_path, **plain)
    kept = load_file(Path(result.folder) / "weights.safetensors")
    final = load_file(Path(last.folder) / "weights.safetensors")
    checkpoint = sorted((Path(result.folder) / "checkpoints").glob("step-*"))[-1]
    average = load_file(checkpoint / "average.safetensors")
    current = load_file(checkpoint / "weights.safetensors")
    assert all(torch.equal(kept[name], average[name]) for name in kept)
    assert all(torch.equal(current[name], final[name]) for name in final)  # training is the same
    assert not torch.equal(kept["conv1.weight"], final["conv1.weight"])
    module = chainrule.network(NOTATION, input=(1, 8, 8), classes=10)
    module.load_state_dict(kept)
    recipe = chainrule.Recipe(**result.recipe)
    dataset = load_data("digits", limit=120)
    found = evaluate(module, dataset, dataset.test, loss_of(recipe))
    assert found is not None
    assert found.loss == pytest.approx(result.test_loss, rel=1e-6)
    validation = evaluate(module, dataset, dataset.validation, loss_of(recipe))
    assert validation is not None
    assert validation.loss == pytest.approx(result.curves["validation/loss"][-1][1], rel=1e-6)


def test_with_early_stopping_the_best_average_is_kept(tmp_path: Path) -> None:
    settings = SETTINGS | {"early_stopping": 2, "epochs": 8, "learning_rate": 0.05}
    result = chainrule.train(NOTATION, "digits", runs=tmp_path, **settings)
    curve = dict(result.curves["validation/loss"])
    best = min(curve, key=curve.__getitem__)
    kept = load_file(Path(result.folder) / "weights.safetensors")
    average = load_file(Path(result.folder) / f"checkpoints/best-{best:09d}/average.safetensors")
    assert all(torch.equal(kept[name], average[name]) for name in kept)


def test_flips_average_the_scores_of_an_image_and_its_mirror_image() -> None:
    dataset = load_data("digits", limit=40)
    module = chainrule.network(NOTATION, input=(1, 8, 8), classes=10).eval()
    loss = loss_of(chainrule.Recipe(loss="softmax"))
    found = evaluate(module, dataset, dataset.test, loss, flips=True)
    assert found is not None
    with torch.no_grad():
        for index, image in enumerate(dataset.normalize(dataset.test.inputs)):
            mirrored = torch.from_numpy(image.numpy()[:, :, ::-1].copy())
            expected = (module(image[None]) + module(mirrored[None])) / 2
            torch.testing.assert_close(found.scores[index : index + 1], expected)
