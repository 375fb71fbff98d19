"""Cures of overfitting: shifts in loops, no example on both sides, losses by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chainrule.study.experiments import overfitting_cures as subject
from chainrule.study.experiments.overfitting_cures import Setup
from chainrule.study.lesson import Fitted, digits, generator, net

_SMALL = Setup(runs=2)


def test_shifts_one_by_one() -> None:
    images = torch.rand(12, 2, 5, 4, generator=generator(0)) - 0.5
    down, right = torch.randint(0, 3, (2, 12), generator=generator(3))
    expected = np.full(images.shape, float(images.min()), dtype=np.float32)
    for n, c, row, column in np.ndindex(*images.shape):
        there, beside = row + int(down[n]) - 1, column + int(right[n]) - 1
        if 0 <= there < 5 and 0 <= beside < 4:
            expected[n, c, row, column] = images[n, c, there, beside]
    assert subject.shifted(images, generator(3)).numpy() == pytest.approx(expected)
    assert len(set(zip(down.tolist(), right.tolist(), strict=True))) > 3


def test_no_example_is_on_both_sides() -> None:
    for seed in (0, 1):
        trained = digits(_SMALL.more, seed)
        few = digits(_SMALL.examples, seed)
        inputs, targets = subject._validation(_SMALL, trained, seed)
        assert len(inputs) == len(targets) == 1257 - _SMALL.more + 360
        seen = {row.tobytes() for row in trained.inputs.numpy()}
        assert {row.tobytes() for row in few.inputs.numpy()} <= seen
        assert not seen & {row.tobytes() for row in inputs.numpy()}


def test_losses_and_accuracies_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Untrained and in evaluation mode, what is dropped or penalized makes no difference."""
    monkeypatch.setattr(subject, "fit", lambda module, *_, **__: Fitted(module))
    first, second, last = (p.detach().double().numpy() for p in _weights("weight"))
    biases = [p.detach().double().numpy() for p in _weights("bias")]
    inputs, targets = subject._validation(_SMALL, digits(100, 0), 0)
    hidden = np.maximum(inputs.flatten(1).double().numpy() @ first.T + biases[0], 0)
    hidden = hidden + np.maximum(hidden @ second.T + biases[1], 0)
    scores = hidden @ last.T + biases[2]
    right = scores[np.arange(len(scores)), targets.numpy()]
    loss = np.mean(np.log(np.exp(scores).sum(1)) - right)
    for cure in subject.cures(_SMALL):
        if cure.name != "batchnorm":
            found = subject._train(_SMALL, cure, 0)
            assert found.loss == pytest.approx(loss, rel=1e-5), cure.name
            assert found.accuracy == pytest.approx(100 * np.mean(scores.max(1) == right))
            assert found.gap == pytest.approx(found.loss - found.train_loss)


def _weights(kind: str) -> list[torch.nn.Parameter]:
    module = net(subject.cures(_SMALL)[0].network, 0)
    return [p for name, p in module.named_parameters() if name.endswith(kind)]


def test_pairs_are_of_the_same_seed() -> None:
    plain = [subject.Found(9, 0, 100, 0.4, 80), subject.Found(9, 0, 100, 0.6, 70)]
    cured = [subject.Found(9, 0.1, 100, 0.3, 82), subject.Found(9, 0.1, 100, 0.5, 76)]
    gap, accuracy = subject._parts("cure", cured, plain)
    assert gap.measured.value == pytest.approx(-0.2)
    assert gap.measured.high == pytest.approx(-0.2)  # both fell by as much
    assert accuracy.measured.value == pytest.approx(4)


@pytest.mark.parametrize(("accuracy", "whens"), [
    (85, ["given cure"]), (80, ["given cure (by the accuracy)", "given cure (by the gap)"]),
])  # fmt: skip
def test_one_circumstance_where_gap_and_accuracy_agree(accuracy: float, whens: list[str]) -> None:
    plain = [subject.Found(9, 0.1, 100, 0.4, 80)] * 2
    cured = [subject.Found(9, 0.1, 100, 0.3, accuracy)] * 2
    assert sorted({part.when for part in subject._parts("cure", cured, plain)}) == whens


def test_each_training_ends_at_the_same_fit() -> None:
    for cure in subject.cures(_SMALL):
        found = subject._train(_SMALL, cure, 0)
        assert 0.08 < found.train_loss <= _SMALL.aim, cure.name
    short = subject._train(Setup(most_steps=10), subject.cures(_SMALL)[0], 0)
    assert (short.steps, short.train_loss > _SMALL.aim) == (10, True)
