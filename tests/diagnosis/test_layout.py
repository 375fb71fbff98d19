"""Features that stand elsewhere in what is evaluated on: found by their means, and put right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.faults.watching import digits
from torch import Tensor

from chainrule.diagnosis.case import Case
from chainrule.diagnosis.causes.data import mismatch
from chainrule.diagnosis.replaying.layout import laid_out, layout_of
from chainrule.diagnosis.replaying.messages import BASELINE, Outcome, ReplayJob
from chainrule.diagnosis.replaying.minibatch import Minibatch
from chainrule.diagnosis.replaying.scout import Scouted
from chainrule.diagnosis.symptoms import Record

X, Y = digits()
PICTURES = X.reshape(-1, 1, 8, 8)
ORDER = torch.randperm(20, generator=torch.Generator().manual_seed(3))


def items(x: Tensor) -> list[Minibatch]:
    return [Minibatch((part,), {}, torch.zeros(len(part))) for part in x.split(50)]


def table(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(400, 20, generator=generator) * torch.arange(1.0, 21) + torch.arange(20) * 30


WAYS: dict[str, tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]] = {
    "with rows for columns": (
        X[:900], X[900:], lambda x: x.reshape(-1, 8, 8).transpose(1, 2).reshape(-1, 64),
    ),
    "upside down": (PICTURES[:900], PICTURES[900:], lambda x: x.flip(2)),
    "mirrored": (PICTURES[:900], PICTURES[900:], lambda x: x.flip(3)),
    "in another order": (table(1), table(2), lambda x: x[:, ORDER]),
    "with the channels in reverse": (
        torch.stack([table(1).reshape(400, 5, 4) * k for k in (1, 2, 3)], 1),
        torch.stack([table(2).reshape(400, 5, 4) * k for k in (1, 2, 3)], 1), lambda x: x.flip(1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_a_layout_is_found_and_put_right(name: str) -> None:
    trained, held, turn = WAYS[name]
    found, apart, laid = layout_of(items(trained), items(turn(held)))
    assert found == name
    assert laid * 3 < apart
    right = laid_out(name, turn(held)[:30], trained, turn(held))
    assert right is not None
    assert torch.equal(right, held[:30])


@pytest.mark.parametrize("name", WAYS)
def test_the_same_layout_is_no_fault(name: str) -> None:
    trained, held, _turn = WAYS[name]
    found, _apart, _laid = layout_of(items(trained), items(held))
    assert found == ""


def test_pictures_that_are_mirrored_at_random_have_no_layout() -> None:
    mixed = torch.cat([PICTURES[:450], PICTURES[450:900].flip(3)])
    assert layout_of(items(mixed), items(PICTURES[900:]))[0] == ""


def test_few_examples_differ_by_chance() -> None:
    for start in range(0, 800, 8):
        few = PICTURES[start : start + 8]
        assert layout_of(items(PICTURES[900:]), items(few))[0] == "", start


def test_the_cause_is_raised_by_the_layout_alone(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("a = 1\ntest = images.transpose(1, 2)\n")
    scouted = Scouted(0, 0.0, True, held=90, held_layout=("with rows for columns", 0.9, 0.1))
    case = Case(Record(), (), scouted, Outcome(ReplayJob(1, BASELINE), 0), str(script))
    (raised,) = mismatch(case)
    assert raised.held
    assert raised.change.title == "evaluation inputs with rows for columns"
    assert raised.place is not None
    assert raised.place.line == 2
