"""The loop is a textbook loop: same seed, same mathematics, same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from chainrule.errors import TrainingError
from chainrule.nn.penalties import penalty
from chainrule.record.store import RunStore
from chainrule.training.data.dataset import Dataset
from chainrule.training.data.load import load_data
from chainrule.training.interrupt import Interrupt
from chainrule.training.loop import Loop
from chainrule.training.minibatches import minibatch_indices
from chainrule.training.observer import Observer
from chainrule.training.recipe import Recipe, make_recipe

RULES = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9),
    "nesterov": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, nesterov=True),
    "adagrad": lambda p, lr: torch.optim.Adagrad(p, lr),
    "rmsprop": lambda p, lr: torch.optim.RMSprop(p, lr),
    "adam": lambda p, lr: torch.optim.Adam(p, lr),
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr, weight_decay=0.0),
}


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits", limit=300)


def _network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def _loop(tmp_path: Path, dataset: Dataset, module: nn.Module, **values: object) -> Loop:
    recipe = make_recipe({"loss": "softmax", "batch_size": 32, "epochs": 2} | values)
    store = RunStore(tmp_path, create=True)
    run = store.create(
        name="digits",
        recipe=recipe.plain(),
        network="test",
        data={},
        parameters=0,
        versions={},
        hardware={},
    )
    return Loop(module, dataset, recipe, store, run, Observer())


@pytest.mark.parametrize("precise", [True, False])
@pytest.mark.parametrize("rule", sorted(RULES))
def test_fifty_steps_equal_a_textbook_loop(
    tmp_path: Path, digits: Dataset, rule: str, precise: bool
) -> None:
    rate, epochs = 0.01, 50 // 10 + 1
    ours, textbook = _network(), _network()
    loop = _loop(
        tmp_path,
        digits,
        ours,
        update_rule=rule,
        learning_rate=rate,
        schedule="constant",
        epochs=epochs,
        precise=precise,
    )
    loop.fit(Interrupt())
    optimizer = RULES[rule](textbook.parameters(), rate)
    steps = 0
    for epoch in range(epochs):
        for chosen in minibatch_indices(len(digits.train), 32, 0, epoch):
            scores = textbook(digits.normalize(digits.train.inputs[chosen]))
            loss = F.cross_entropy(scores, digits.train.targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
    assert steps == loop.steps >= 50
    for (name, one), other in zip(ours.named_parameters(), textbook.parameters(), strict=True):
        if precise or rule == "rmsprop":
            assert torch.equal(one, other), name
        else:  # fused kernels may contract a multiply and an add: last bits may differ
            torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-7)


def test_l2_in_the_optimizer_is_the_gradient_of_the_full_loss(
    tmp_path: Path, digits: Dataset
) -> None:
    decay, rate = 0.3, 0.05
    ours, twin = _network(), _network()
    one_step = {"epochs": 1, "batch_size": len(digits.train), "schedule": "constant"}
    loop = _loop(
        tmp_path,
        digits,
        ours,
        update_rule="sgd",
        learning_rate=rate,
        weight_decay=decay,
        **one_step,
    )
    loop.fit(Interrupt())
    chosen = minibatch_indices(len(digits.train), len(digits.train), 0, 0)[0]
    scores = twin(digits.normalize(digits.train.inputs[chosen]))
    weights = [p for name, p in twin.named_parameters() if name.endswith("weight")]
    full = F.cross_entropy(scores, digits.train.targets[chosen])
    full = full + decay * sum(0.5 * (w**2).sum() for w in weights)
    full.backward()
    for one, other in zip(ours.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other - rate * other.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("kind", "ratio"), [("l1", None), ("elastic", 0.3)])
def test_l1_and_elastic_stand_in_the_loss(
    tmp_path: Path, digits: Dataset, kind: str, ratio: float | None
) -> None:
    decay, rate = 0.01, 0.05
    ours, twin = _network(), _network()
    loop = _loop(
        tmp_path,
        digits,
        ours,
        update_rule="sgd",
        learning_rate=rate,
        weight_decay=decay,
        penalty=kind,
        l1_ratio=ratio,
        epochs=1,
        batch_size=len(digits.train),
        schedule="constant",
    )
    loop.fit(Interrupt())
    chosen = minibatch_indices(len(digits.train), len(digits.train), 0, 0)[0]
    scores = twin(digits.normalize(digits.train.inputs[chosen]))
    weights = [p for name, p in twin.named_parameters() if name.endswith("weight")]
    r = penalty(weights, kind, l1_ratio=ratio if ratio is not None else 0.5)
    (F.cross_entropy(scores, digits.train.targets[chosen]) + decay * r).backward()
    for one, other in zip(ours.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other - rate * other.grad, rtol=1e-5, atol=1e-7)


def test_recorded_numbers_add_up(tmp_path: Path, digits: Dataset) -> None:
    module = _network()
    loop = _loop(tmp_path, digits, module, update_rule="sgd", weight_decay=0.1)
    loop.fit(Interrupt())
    curves = loop.store.metrics(loop.run)
    steps = [step for step, _ in curves["train/data_loss"]]
    assert steps == list(range(1, loop.steps + 1))
    sizes = [len(part) for part in minibatch_indices(len(digits.train), 32, 0, 1)]
    losses = [value for _, value in curves["train/data_loss"]][-len(sizes) :]
    assert curves["train/epoch_data_loss"][-1][1] == pytest.approx(
        np.average(losses, weights=sizes)
    )
    weights = [p for name, p in module.named_parameters() if name.endswith("weight")]
    expected = 0.1 * sum(0.5 * float((w.detach().double() ** 2).sum()) for w in weights)
    assert curves["train/regularization_loss"][-1][1] == pytest.approx(expected, rel=1e-5)
    assert curves["train/full_loss"][-1][1] == pytest.approx(
        curves["train/epoch_data_loss"][-1][1] + expected, rel=1e-5
    )
    module.eval()
    with torch.no_grad():
        scores = module(digits.normalize(digits.validation.inputs))
    accuracy = (scores.argmax(1) == digits.validation.targets).double().mean()
    assert curves["validation/accuracy"][-1][1] == pytest.approx(float(accuracy))
    assert curves["validation/loss"][-1][1] == pytest.approx(
        float(F.cross_entropy(scores, digits.validation.targets)), rel=1e-5
    )


def _one_full_step(tmp_path: Path, digits: Dataset, **values: object) -> tuple[Loop, torch.Tensor]:
    """One plain step of rate 1 over all examples: the loop, and how the parameters moved."""
    module = _network()
    before = torch.cat([p.detach().flatten().clone() for p in module.parameters()])
    options = {"update_rule": "sgd", "learning_rate": 1.0, "schedule": "constant", "epochs": 1}
    loop = _loop(tmp_path, digits, module, batch_size=len(digits.train), **(options | values))
    loop.fit(Interrupt())
    return loop, torch.cat([p.detach().flatten() for p in module.parameters()]) - before


def test_clipping_by_norm_bounds_the_update(tmp_path: Path, digits: Dataset) -> None:
    loop, moved = _one_full_step(tmp_path, digits, clip_norm=0.01)
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-3)
    assert loop.store.metrics(loop.run)["gradient_norm"][0][1] > 0.01


def test_clipping_by_value_bounds_each_element(tmp_path: Path, digits: Dataset) -> None:
    _, moved = _one_full_step(tmp_path, digits, clip_value=0.001)
    assert float(moved.abs().max()) == pytest.approx(0.001, rel=1e-3)


def test_without_clipping_the_same_step_goes_further(tmp_path: Path, digits: Dataset) -> None:
    _, moved = _one_full_step(tmp_path, digits)
    assert float(moved.norm()) > 0.02
    assert float(moved.abs().max()) > 0.002


def test_max_norm_holds_after_every_step(tmp_path: Path, digits: Dataset) -> None:
    module = _network()
    loop = _loop(tmp_path, digits, module, max_norm=0.5, learning_rate=0.05)
    loop.fit(Interrupt())
    for layer in (module[1], module[3]):
        assert float(layer.weight.detach().norm(dim=1).max()) <= 0.5 + 1e-6


def test_early_stopping_keeps_the_best_weights(tmp_path: Path, digits: Dataset) -> None:
    module = _network()
    loop = _loop(
        tmp_path, digits, module, early_stopping=2, epochs=40, learning_rate=0.1, update_rule="adam"
    )
    assert loop.fit(Interrupt())
    losses = [value for _, value in loop.store.metrics(loop.run)["validation/loss"]]
    best = int(np.argmin(losses))
    assert [event.kind for event in loop.store.events(loop.run)] == ["early-stopping"]
    assert len(losses) == best + 3 < 40
    assert [path.name for path in loop.saving.folder.glob("best-*")] == [loop.progress.best]
    module.eval()
    with torch.no_grad():
        scores = module(digits.normalize(digits.validation.inputs))
    loss = float(F.cross_entropy(scores, digits.validation.targets))
    assert loss == pytest.approx(losses[best], rel=1e-6)


def test_a_loss_that_is_no_longer_finite_stops_the_run(tmp_path: Path, digits: Dataset) -> None:
    loop = _loop(
        tmp_path,
        digits,
        _network(),
        update_rule="sgd",
        learning_rate=1e30,
        schedule="constant",
    )
    with pytest.raises(TrainingError) as caught:
        loop.fit(Interrupt())
    for fragment in ("data loss is", "step", "learning rate 1e+30", "--clip-norm"):
        assert fragment in str(caught.value)


def test_frozen_parameters_stay(tmp_path: Path, digits: Dataset) -> None:
    module = _network()
    module[1].weight.requires_grad_(False)
    before = module[1].weight.clone()
    _loop(tmp_path, digits, module, weight_decay=0.5).fit(Interrupt())
    assert torch.equal(module[1].weight, before)


def test_the_recipe_object_alone_decides(digits: Dataset) -> None:
    assert Recipe() == make_recipe({})
