"""Where the rest of the examples is, when a script trains on the same few again and again."""

from __future__ import annotations

import sys
import weakref
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from chainrule.diagnosis.case import CERTAIN, Case
from chainrule.diagnosis.causes.data import same_batch
from chainrule.diagnosis.models import Cast, Loader
from chainrule.diagnosis.replaying.messages import BASELINE, Outcome, ReplayJob
from chainrule.diagnosis.replaying.minibatch import Minibatch
from chainrule.diagnosis.replaying.scout import Scouted
from chainrule.diagnosis.replaying.supply import cut_from, supply_of
from chainrule.diagnosis.source import applied
from chainrule.diagnosis.symptoms import Record

EXAMPLES = torch.arange(120.0).reshape(40, 3)
LABELS = torch.arange(40) % 4


def asked(given: Tensor, target: Tensor, cast: Cast | None = None) -> tuple[Tensor, Tensor] | None:
    return supply_of(Minibatch((given,), {}, target), sys._getframe(1), cast or Cast())


def test_rows_are_found_among_the_variables() -> None:
    def train(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor] | None:
        rows = torch.tensor([3, 17, 5])
        return asked(x[rows], y[rows])

    found = train(EXAMPLES, LABELS)
    assert found is not None
    assert torch.equal(found[0], EXAMPLES)
    assert torch.equal(found[1], LABELS)


def test_arrays_are_variables_too() -> None:
    def train(x: np.ndarray, y: np.ndarray) -> tuple[Tensor, Tensor] | None:
        return asked(torch.from_numpy(x[:4]), torch.from_numpy(y[:4]))

    found = train(EXAMPLES.numpy() + 1, LABELS.numpy())
    assert found is not None
    assert torch.equal(found[0], EXAMPLES + 1)


def test_other_rows_other_targets_or_most_of_the_rows_are_no_supply() -> None:
    def train(x: Tensor, y: Tensor, given: Tensor, target: Tensor) -> object:
        return asked(given, target)

    assert train(EXAMPLES, LABELS, EXAMPLES[:4] + 0.5, LABELS[:4]) is None
    assert train(EXAMPLES, LABELS, EXAMPLES[:4], LABELS[:4] + 1) is None
    # a training set may have been cut from a variable that holds the test set as well
    assert train(EXAMPLES, LABELS, EXAMPLES[:20], LABELS[:20]) is None


def test_the_data_set_of_a_loader_in_use() -> None:
    loader = DataLoader(TensorDataset(EXAMPLES + 2, LABELS), batch_size=30)
    known = Loader(weakref.ref(loader))
    cast = Cast(loaders=[known])
    given, target = next(iter(loader))
    assert asked(given, target, cast) is None, "nothing was taken from it in this training"
    known.passes = 1
    before = torch.random.get_rng_state()
    found = asked(given, target, cast)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert found is not None
    assert torch.equal(found[0].sort(0).values, EXAMPLES + 2)
    assert torch.equal((found[0][:, 0] - 2) // 3 % 4, found[1].float()), "with their own labels"


def test_minibatches_cut_from_a_supply_are_whole_and_of_other_rows() -> None:
    item = Minibatch((EXAMPLES[:12],), {}, LABELS[:12])
    found = cut_from(item, (EXAMPLES, LABELS))
    assert [len(one.target) for one in found] == [12, 12, 12]
    assert torch.equal(torch.cat([one.args[0] for one in found]), EXAMPLES[:36])
    assert torch.equal(torch.cat([one.target for one in found]), LABELS[:36])


def case(script: str, supply: int) -> Case:
    scouted = Scouted(0, 0.0, True, examples=32, distinct=1, supply=supply)
    return Case(Record(), (), scouted, Outcome(ReplayJob(1, BASELINE), 0), script)


SCRIPT = """
stream = endless(loader)
xb, yb = next(stream)
for epoch in range(3):
    print(epoch)
    for step in range(9):
        loss = f(model(xb), yb)
        loss.backward()
"""


def test_a_repeated_minibatch_is_raised_where_there_are_others(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    assert not list(same_batch(case(str(path), 0)))
    (raised,) = same_batch(case(str(path), 900))
    assert (raised.weight, raised.evidence) == (CERTAIN, {"examples": 32, "of": 900})
    assert raised.change.title == "minibatches drawn at random"
    assert raised.place is not None
    assert raised.place.line == 3
    changed = applied(SCRIPT, raised.edits)
    assert "    for step in range(9):\n        xb, yb = next(stream)\n        loss" in changed
