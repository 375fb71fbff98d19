"""What a script evaluates on: found beside the input, and told from its training passes."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from chainrule.diagnosis.replaying.evaluations import Evaluations, target_beside
from chainrule.diagnosis.replaying.minibatch import Minibatch
from chainrule.diagnosis.replaying.roles import _taking_part
from chainrule.diagnosis.replaying.scout import Scout
from chainrule.diagnosis.taps import Taps

X, Y = torch.randn(40, 3), torch.randint(4, (40,))


def beside(given: Tensor, target: Tensor = Y) -> Tensor | None:
    """As the scout asks, from the function that evaluates."""
    scout = Scout(pool=[Minibatch((X,), {}, target)])
    frame = sys._getframe(1)
    return target_beside(frame, ((given,), {}), torch.zeros(len(given), 4), scout)


def test_the_target_is_the_one_variable_beside_the_input() -> None:
    def score(x: Any, y: Any) -> Any:
        return beside(x), y

    found, y = score(X[:9], Y[:9])
    assert found is not None
    assert torch.equal(found, y)
    found, _ = score(X[:9], Y[:9].numpy())  # NumPy's
    assert found is not None
    assert found.dtype == Y.dtype


def test_of_several_the_one_with_the_name_of_the_input() -> None:
    def evaluate() -> Any:
        x_val, y_val, y_other = X[:9], Y[:9], Y[20:29]
        return beside(x_val), y_val, y_other

    found, wanted, _ = evaluate()
    assert found is not None
    assert torch.equal(found, wanted)


def test_an_array_that_the_input_was_made_of_gives_its_name() -> None:
    def evaluate() -> Any:
        test_x, y_test, y_train = X[:9].numpy(), Y[:9].numpy(), Y[20:29].numpy()
        return beside(torch.tensor(test_x)), y_test, y_train

    found, wanted, _ = evaluate()
    assert found is not None
    assert found.tolist() == wanted.tolist()


def test_nothing_is_guessed() -> None:
    def two(x: Any, y: Any, labels: Any) -> Any:
        return beside(x), y, labels

    def answers(x: Any, predictions: Any) -> Any:
        return beside(x), predictions

    def other_units(x: Any, y: Any) -> Any:
        return beside(x, torch.randn(40)), y

    def too_short(x: Any, y: Any) -> Any:
        return beside(x), y

    assert two(X[:9], Y[:9], Y[20:29])[0] is None
    assert answers(X[:9], Y[:9])[0] is None
    assert other_units(X[:9], 150 + 70 * torch.randn(9))[0] is None
    assert too_short(X[:9], Y[:5])[0] is None


def test_targets_that_are_numbers_have_the_scale_of_the_training() -> None:
    def score(x: Any, y: Any) -> Any:
        return beside(x, torch.linspace(-2, 2, 40)), y

    numbers = np.linspace(-1.5, 1.8, 9)
    found, _ = score(X[:9], numbers)
    assert found is not None
    assert np.allclose(found.numpy(), numbers)


def test_passes_of_an_evaluation_take_no_part_in_a_loss() -> None:
    layer = torch.nn.Linear(3, 1)
    first, second, aside = layer(X), layer(-X), layer(2 * X)
    ends = [{item.grad_fn} for item in (first, second, aside)]
    assert _taking_part(ends, first.sum()) == 1
    assert _taking_part(ends, (first * second).sum()) == 2


@pytest.mark.parametrize(("scale", "kept"), [(1.0, 1), (50.0, 0)])
def test_numbers_in_other_units_are_not_compared(scale: float, kept: int) -> None:
    """A network that learns scaled targets, and is evaluated on its answers scaled back."""
    network, numbers = torch.nn.Linear(3, 1), X[:, :1] * 2
    scout = Scout(pool=[Minibatch((X,), {}, numbers)])
    evaluations = Evaluations(scout)
    with torch.no_grad():
        answer = network(X[:9])
        evaluations.begin(network, ((X[:9],), {}), answer)
        _ = (answer * scale + 3 * scale - 3) - (numbers[:9] * scale + 3 * scale - 3)
    evaluations.end()
    assert len(scout.held) == kept


class Whole(torch.nn.Module):
    """A network that computes its loss itself, as those of transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 4)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.layer(x)
        loss = torch.nn.functional.cross_entropy(logits.view(-1, 4), labels)
        return {"loss": loss, "logits": logits}


def test_a_loss_inside_the_network_is_heard_in_every_step() -> None:
    scout = Scout()
    watcher = scout.watcher()
    taps = Taps(watcher)
    network = Whole()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    taps.open()
    watcher.start()
    try:
        for place in range(0, 40, 8):
            network(X[place : place + 8], labels=Y[place : place + 8])["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
    finally:
        watcher.stop()
        taps.close()
    assert [len(item.target) for item in scout.pool] == [8] * 5
    assert {item.leaf for item in scout.pool} == {-1}
    assert scout.yardstick().task == "classes"
