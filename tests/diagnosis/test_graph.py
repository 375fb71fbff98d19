"""What keeps every weight as it is: updates never made, gradients lost before them, a graph cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.diagnosis.test_changes import data, net, replaying, same
from torch import Tensor, nn
from torch.autograd import Variable

from chainrule.diagnosis.answer import ModelSeen, ParameterSeen
from chainrule.diagnosis.beginning import _time_first, mixes_examples
from chainrule.diagnosis.case import CERTAIN, Case
from chainrule.diagnosis.causes.graph import _cut_line, _uncut, not_optimized
from chainrule.diagnosis.facts import Sample
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.changes import graph, rebuilding
from chainrule.diagnosis.replaying.messages import BASELINE, Outcome, ReplayJob
from chainrule.diagnosis.replaying.scout import Scouted
from chainrule.diagnosis.source import applied
from chainrule.diagnosis.symptoms import Record
from chainrule.diagnosis.symptoms.structure import graph_detached

Body = Callable[[nn.Module, Any, Tensor], None]


def trained(body: Body, rate: float = 0.1) -> nn.Module:
    network = net()
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    x, y = data()
    for step in range(12):
        rows = slice(step * 10 % 60, step * 10 % 60 + 10)
        body(network, optimizer, F.cross_entropy(network(x[rows]), y[rows]))
    return network


def right(_network: nn.Module, optimizer: Any, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def test_an_optimizer_that_never_steps_steps() -> None:
    def forgotten(_network: nn.Module, optimizer: Any, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()

    same(lambda: trained(forgotten), lambda: trained(right), graph.StepIt())


def test_gradients_that_are_cleared_too_soon_are_kept() -> None:
    def cleared(_network: nn.Module, optimizer: Any, loss: Tensor) -> None:
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()

    def zeroed(_network: nn.Module, optimizer: Any, loss: Tensor) -> None:
        loss.backward()
        optimizer.zero_grad(set_to_none=False)
        optimizer.step()

    same(lambda: trained(cleared), lambda: trained(right), graph.KeepGradients())
    same(lambda: trained(zeroed), lambda: trained(right), graph.KeepGradients())


def test_a_loss_that_was_wrapped_anew_keeps_its_graph() -> None:
    def wrapped(_network: nn.Module, optimizer: Any, loss: Tensor) -> None:
        right(_network, optimizer, Variable(loss.data, requires_grad=True))

    same(lambda: trained(wrapped), lambda: trained(right), graph.KeepGraph())


def test_new_weights_take_the_place_of_the_old_in_the_optimizer() -> None:
    """Else a fault of the script's updates would be mended by nothing but new weights."""
    kept: list[Any] = []

    def keeping(_network: nn.Module, optimizer: Any, loss: Tensor) -> None:
        kept[:] = [optimizer]
        right(_network, optimizer, loss)

    with replaying(rebuilding.Widen(4, 16)):
        network = trained(keeping)
    held = [item for group in kept[0].param_groups for item in group["params"]]
    assert [id(item) for item in held] == [id(item) for item in network.parameters()]
    assert network.get_submodule("0").out_features == 32


@pytest.mark.parametrize("kept", [True, False])
def test_an_optimizer_made_anew_for_each_step_goes_on_as_one(kept: bool) -> None:
    alive: list[Any] = []

    def anew(network: nn.Module, _optimizer: Any, loss: Tensor) -> None:
        fresh = torch.optim.SGD(network.parameters(), lr=0.1)
        alive.extend([fresh] if kept else [])
        right(network, fresh, loss)

    with replaying() as live:
        trained(anew)
    assert live.step == 12
    assert len(live.optimizers) == 1


def test_two_optimizers_that_take_turns_are_two() -> None:
    with replaying() as live:
        network = net()
        x, y = data()
        halves = [torch.optim.SGD(item.parameters(), lr=0.1) for item in (network[0], network[2])]
        for _ in range(6):
            F.cross_entropy(network(x), y).backward()
            for item in halves:
                item.step()
                item.zero_grad()
    assert live.step == 6
    assert len(live.optimizers) == 2


# -- causes

LOOP = """
import torch
from torch import nn
from sklearn.datasets import load_digits
x = torch.tensor(load_digits().data)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for xb, yb in loader:
    optimizer.zero_grad()
    loss = f(net(xb), yb)
    loss.backward()
"""


def case(path: Path, text: str, **known: Any) -> Case:
    path.write_text(text)
    outcome = Outcome(ReplayJob(1, BASELINE), 0, steps=20)
    return Case(Record(**known), (), Scouted(0, 0.0, True), outcome, str(path))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [("", "    loss.backward()\n    optimizer.step()\n"),
     ("    optimizer.step\n", "    loss.backward()\n    optimizer.step()\n")],
)  # fmt: skip
def test_a_step_that_is_never_made_is_written(line: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    idle = (("SGD", Place(str(path), 6)),)
    found = list(not_optimized(case(path, LOOP + line, idle=idle)))
    assert [(item.code, item.weight, item.decisive) for item in found] == [
        ("parameters-not-optimized", CERTAIN, True)
    ]
    assert applied(LOOP + line, found[0].edits).endswith(wanted)
    assert not list(not_optimized(case(path, LOOP)))


def sample(step: int, after: float, before: float) -> Sample:
    return Sample(step, after_backward=after, before_step=before)


def test_gradients_cleared_between_are_raised_by_their_norms(tmp_path: Path) -> None:
    text = LOOP.replace("    optimizer.zero_grad()\n", "") + (
        "    optimizer.zero_grad()\n    optimizer.step()\n"
    )
    path = tmp_path / "train.py"
    (found,) = not_optimized(case(path, text, samples=(sample(1, 2.0, 0.0), sample(2, 3.0, 0.0))))
    assert found.decisive
    assert applied(text, found.edits).endswith(
        "    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()\n"
    )
    one = ParameterSeen("w", (2,), True, True, False)
    models = (ModelSeen("net", "Net", None, None, (one,), 2, 0),)
    cleared = Record(samples=(sample(1, 2.0, 0.0), sample(2, 3.0, 0.0)), models=models)
    assert graph_detached(cleared) is None, "gradients came, and were lost later"
    cut = replace(cleared, samples=(sample(1, 0.0, 0.0), sample(2, 0.0, 0.0)))
    assert graph_detached(cut) is not None
    elsewhere = (replace(models[0], parameters=(one, replace(one, held=False))),)
    assert not list(not_optimized(case(path, text, samples=cleared.samples, models=elsewhere)))
    clipped = (sample(1, 2.0, 0.0), sample(2, 3.0, 0.1))
    assert not list(not_optimized(case(path, text, samples=clipped)))


def test_the_line_that_cuts_is_looked_for_where_it_trains(tmp_path: Path) -> None:
    text = LOOP.replace("loss = f(net(xb), yb)", "loss = Variable(loss.data, requires_grad=True)")
    known = case(tmp_path / "train.py", text)
    place = _cut_line(known)
    assert place is not None
    assert place.line == 9, "not the data set's .data"
    assert "Variable" not in applied(text, _uncut(known))
    argmax = case(tmp_path / "other.py", LOOP.replace("net(xb)", "net(xb).argmax(1)"))
    place = _cut_line(argmax)
    assert place is not None
    assert place.line == 9


# -- examples that influence each other


class Reader(nn.Module):
    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 8, batch_first=batch_first)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x)[0][:, -1])


def test_examples_that_influence_each_other_are_seen() -> None:
    x = torch.randn(20, 5, 4)
    assert mixes_examples(Reader(False), x)
    assert not mixes_examples(Reader(True), x)
    normed = nn.Sequential(nn.Flatten(), nn.Linear(20, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    assert not mixes_examples(normed, x)
    assert _time_first(Reader(False)) == "rnn (LSTM)"
    assert _time_first(Reader(True)) == ""
