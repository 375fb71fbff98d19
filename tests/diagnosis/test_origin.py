"""The operation that made the first NaN or infinity, told from those that passed it on."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from chainrule.diagnosis.watch import watch


class Net(nn.Module):
    """Breaks in the third step in a way that is given."""

    def __init__(self, way):
        super().__init__()
        self.first, self.last, self.way, self.calls = nn.Linear(6, 8), nn.Linear(8, 3), way, 0

    def forward(self, x):
        self.calls += 1
        hidden = self.first(x)
        if self.calls >= 3 and self.way is not None:
            hidden = self.way(self, hidden)
        return self.last(hidden)


def log_of_zero(net, h):
    kept = torch.relu(h) * 0
    broken = torch.log(kept)  # HERE
    return broken * 2 + 1


def root_of_negative(net, h):
    shifted = -h.abs() - 1
    return torch.sqrt(shifted)  # HERE


def zero_by_zero(net, h):
    return h * 0 / (h * 0)  # HERE


def exp_overflow(net, h):
    grown = h.abs() * 1e4 + 100
    return grown.exp() / 2  # HERE


def power(net, h):
    return (h.abs() + 2) ** 400  # HERE


def norm_slope(net, h):
    """Finite on the way there; the slope of the root at 0 is not."""
    return h + torch.sqrt((h * 0).pow(2))  # HERE


FORWARD = {
    "log": (log_of_zero, "inf"),
    "sqrt": (root_of_negative, "nan"),
    "div": (zero_by_zero, "nan"),
    "exp": (exp_overflow, "inf"),
    "pow": (power, "inf"),
}


def line_of(function):
    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, line in enumerate(lines) if "# HERE" in line)


def train(net, steps=6, loss=F.cross_entropy, change=lambda x: x, share=0.02):
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    with watch(runs=None, share=share) as watching:
        for step in range(steps):
            x, y = torch.randn(16, 6), torch.randint(3, (16,))
            optimizer.zero_grad()
            loss(net(change(x) if step == 4 else x), y).backward()
            optimizer.step()
    return watching.result


@pytest.mark.parametrize("name", FORWARD)
def test_the_operation_in_a_network(name):
    way, value = FORWARD[name]
    origin = train(Net(way)).origin
    assert (origin.step, origin.stage, origin.value) == (3, "forward", value)
    assert origin.operation.replace("true", "").replace("r", "") in (name.replace("r", ""), "tdiv")
    assert origin.place.file == __file__
    assert origin.place.line == line_of(way)
    assert origin.inputs
    assert all(math.isfinite(item.low + item.high) for item in origin.inputs)
    assert "linear" in origin.passed_on or any("last" in item for item in origin.passed_on)


def test_the_operation_on_the_way_back():
    """Forward all is finite; the gradient of the root at 0 is not."""
    found = train(Net(norm_slope))
    origin = found.origin
    assert (origin.stage, origin.operation) == ("backward", "sqrt")
    assert origin.place.line == line_of(norm_slope)
    assert found.findings[0].code == "numerical-overflow"


def test_the_operation_in_the_loss():
    calls = []

    def loss(scores, y):
        calls.append(1)
        shares = (scores * (1 if len(calls) < 4 else 500)).softmax(1)
        chosen = shares[range(16), y]
        return -torch.log(chosen).mean()  # HERE

    origin = train(Net(None), loss=loss).origin
    assert (origin.step, origin.stage, origin.operation) == (4, "loss", "log")
    assert origin.place.line == line_of(loss)
    assert origin.inputs[0].low == 0


def test_inputs_that_hold_nan_are_named_with_the_examples():
    def holed(x):
        x = x.clone()
        x[3, 1] = math.nan
        return x

    found = train(Net(None), change=holed)
    assert (found.origin.step, found.origin.stage) == (5, "inputs")
    assert "examples 3 of the minibatch" in found.origin.note
    assert [item.code for item in found.findings][:1] == ["non-finite-data"]


def test_targets_that_hold_nan():
    def loss(out, y):
        target = out.detach() * 0 + y[:, None]
        target[2, 0] = math.nan
        return F.mse_loss(out, target)

    origin = train(Net(None), loss=loss).origin
    assert origin.stage in ("targets", "loss")


def test_weights_that_an_update_made_infinite():
    net = Net(None)
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(net.parameters(), 1e38)
    with watch(runs=None, share=1.0) as watching:
        for _ in range(4):
            optimizer.zero_grad()
            F.cross_entropy(net(torch.randn(16, 6)), torch.randint(3, (16,))).backward()
            optimizer.step()
    origin = watching.result.origin
    assert origin is not None
    assert origin.step <= 3


def test_a_network_that_stays_finite_has_no_origin():
    assert train(Net(None), steps=40).origin is None


def test_large_but_finite_is_no_origin():
    def large(net, h):
        return h * 1e30 / 1e30

    assert train(Net(large), steps=20).origin is None


@pytest.mark.parametrize("share", [0.02, 1.0])
def test_a_step_of_which_only_the_loss_was_heard(share):
    """The first NaN comes long after the first steps; in a bare step the graph is read."""
    calls = []

    def loss(scores, y):
        calls.append(1)
        moved = scores - 1e4 * (len(calls) >= 150)
        return -torch.log(moved.exp().sum(1)).mean()  # HERE

    origin = train(Net(None), steps=160, loss=loss, share=share).origin
    assert origin.step == 150
    assert origin.operation == "log"
    assert origin.place.line == line_of(loss)


class Gained(Net):
    """The slope that is not finite is that of a parameter behind everything else."""

    def __init__(self):
        super().__init__(None)
        self.behind = nn.Linear(1, 1)

    def forward(self, x):
        return super().forward(x) + torch.sqrt(self.behind.weight * 0)  # HERE


def test_a_slope_that_reaches_no_other_layer():
    origin = train(Gained()).origin
    assert (origin.step, origin.stage, origin.operation) == (1, "backward", "sqrt")
    assert origin.place.line == line_of(Gained)


class Late(Net):
    """Its slope is not finite from pass 161 on."""

    def forward(self, x):
        self.way = norm_slope if self.calls >= 160 else None
        return super().forward(x)


def descend(net, steps):
    """Losses of a training; the optimizer stays alive."""
    torch.manual_seed(0)
    optimizer, own = torch.optim.SGD(net.parameters(), 0.01), []
    net.optimizer = [optimizer]
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(torch.randn(16, 6)), torch.randint(3, (16,)))
        own.append(loss.item())
        loss.backward()
        optimizer.step()
    return own


def test_the_next_network_has_a_sentinel_of_its_own():
    first = Net(None)
    with watch(runs=None) as watching:
        descend(first, 64)
        descend(Late(None), 180)
    origin = watching.result.origin
    assert (origin.step, origin.stage, origin.operation) == (64 + 161, "backward", "sqrt")


def test_a_slope_in_a_step_of_which_only_the_loss_was_heard():
    """It is noticed at the first layer, and the second run of it is no part of the loss."""
    with watch(runs=None) as watching:
        own = descend(Late(None), 180)
    found = watching.result
    origin = found.origin
    assert (origin.step, origin.stage, origin.operation) == (161, "backward", "sqrt")
    assert origin.place.line == line_of(norm_slope)
    values = [value for _, value in found.series["train/loss"]]
    assert values[:161] == pytest.approx(own[:161], rel=1e-6)


def test_training_goes_on_bit_for_bit_when_the_origin_is_sought():
    def digest(watched):
        torch.manual_seed(1)
        net = Net(norm_slope)
        optimizer = torch.optim.SGD(net.parameters(), 0.01)
        watching = watch(runs=None)
        if watched:
            watching.start()
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(net(torch.randn(16, 6)), torch.randint(3, (16,))).backward()
            optimizer.step()
        if watched:
            watching.stop()
            watching.end()
            assert watching.result.origin is not None
        return [item.detach().clone() for item in net.parameters()], torch.get_rng_state()

    bare, seen = digest(False), digest(True)
    for one, two in zip(bare[0], seen[0], strict=True):
        assert torch.equal(one.nan_to_num(7), two.nan_to_num(7))
    assert torch.equal(bare[1], seen[1])
