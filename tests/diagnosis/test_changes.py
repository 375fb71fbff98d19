"""Each change against its referee: the same training with the fault mended by hand, bit for bit."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from chainrule.diagnosis.models import Cast
from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.replaying.changes import (
    control,
    feeding,
    graph,
    guarding,
    losing,
    more_steps,
    noise,
    ordering,
    rebuilding,
    totals,
    updating,
)
from chainrule.diagnosis.replaying.live import Live
from chainrule.diagnosis.replaying.messages import REPLAY, ReplayJob
from chainrule.diagnosis.replaying.minibatch import Minibatch
from chainrule.diagnosis.replaying.yardstick import Yardstick

Train = Callable[[], nn.Module]


@contextmanager
def replaying(
    *changes: Change, yardstick: Yardstick | None = None, marks: tuple[int, ...] = ()
) -> Iterator[Live]:
    """What a fork does, in this process."""
    job = ReplayJob(1, REPLAY, changes, marks=marks)
    live = Live(job, Cast(), yardstick, lambda _message: None)
    original = nn.Module.__call__

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return live.called(original, module, args, kwargs)

    nn.Module.__call__ = call  # type: ignore[method-assign]
    live.open()
    try:
        yield live
    finally:
        live.close()
        nn.Module.__call__ = original  # type: ignore[method-assign]


def weights(train: Train, *changes: Change, yardstick: Yardstick | None = None) -> list[Tensor]:
    with replaying(*changes, yardstick=yardstick):
        network = train()
    return [item.detach().clone() for item in network.parameters()]


def same(faulty: Train, mended: Train, *changes: Change, tolerance: float = 0.0) -> None:
    """With the change the faulty training is the mended one; without it, it is another."""
    wanted = [item.detach().clone() for item in mended().parameters()]
    without = [item.detach().clone() for item in faulty().parameters()]
    found = weights(faulty, *changes)
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=tolerance, atol=tolerance)
    assert not all(torch.allclose(one, two) for one, two in zip(without, wanted, strict=True))


def data(features: int = 6, classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(60, features, generator=generator)
    return x, x[:, :classes].argmax(1)


def net(*extra: nn.Module, inputs: int = 6, outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, outputs), *extra)


def loop(
    network: nn.Module | None = None,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    rule: Callable[[nn.Module], torch.optim.Optimizer] = lambda n: torch.optim.SGD(
        n.parameters(), lr=0.1
    ),
    clear: bool = True,
    before: Callable[[nn.Module], None] = lambda n: None,
    schedule: Callable[[torch.optim.Optimizer], Any] | None = None,
    clip: float | None = None,
    xy: tuple[Tensor, Tensor] | None = None,
    steps: int = 12,
) -> nn.Module:
    network = net() if network is None else network
    x, y = data() if xy is None else xy
    optimizer = rule(network)
    scheduler = None if schedule is None else schedule(optimizer)
    before(network)
    torch.manual_seed(9)
    for step in range(steps):
        rows = slice(step * 10 % 60, step * 10 % 60 + 10)
        if clear:
            optimizer.zero_grad()
        loss(network(x[rows]), y[rows]).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return network


def sgd(rate: float = 0.1, **options: Any) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda network: torch.optim.SGD(network.parameters(), lr=rate, **options)


def adam(rate: float) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda network: torch.optim.Adam(network.parameters(), lr=rate)


def test_nothing_changed_changes_nothing() -> None:
    wanted = [item.detach() for item in loop().parameters()]
    for one, two in zip(weights(loop, Change()), wanted, strict=True):
        assert torch.equal(one, two)


def test_the_yardstick_changes_nothing() -> None:
    x, y = data()
    stick = Yardstick([Minibatch((x,), {}, y)], task="classes")
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))

    def train() -> nn.Module:
        torch.manual_seed(3)
        for layer in (network[0], network[1], network[3]):
            layer.reset_parameters()  # type: ignore[operator]
        return loop(network)

    wanted = [item.detach().clone() for item in [*train().parameters(), *network.buffers()]]
    with replaying(yardstick=stick) as live:
        live._marks = set(range(1, 100))
        train()
    for one, two in zip([*network.parameters(), *network.buffers()], wanted, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("faulty", "mended", "change"),
    [
        (lambda: loop(rule=sgd(0.001)), lambda: loop(rule=sgd(0.1)), updating.ScaleRate(100.0)),
        (
            lambda: loop(schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5)),
            loop, updating.HoldRate(),
        ),
        (
            lambda: loop(rule=sgd(momentum=0.999)), lambda: loop(rule=sgd(momentum=0.9)),
            updating.SetMomentum(0.9),
        ),
        (lambda: loop(rule=sgd(weight_decay=0.5)), loop, updating.DropDecay()),
        (loop, lambda: loop(rule=adam(1e-3)), updating.ReplaceRule("Adam", 1e-3)),
        (lambda: loop(clear=False), loop, updating.ClearGradients()),
        (lambda: loop(clip=0.01), loop, updating.NoClipping()),
        (loop, lambda: loop(clip=0.5), updating.ClipGradients(0.5)),
        (
            lambda: loop(loss=lambda s, y: -F.cross_entropy(s, y)), loop, totals.ScaleLoss(-1.0),
        ),
        (
            lambda: loop(rule=lambda n: torch.optim.SGD(n[2].parameters(), lr=0.1)), loop,
            graph.AddMissing(),
        ),
        (
            lambda: loop(
                rule=lambda n: torch.optim.SGD(
                    [p for p in n.parameters() if p.requires_grad], lr=0.1),
                network=_frozen(net()),
            ), loop, graph.AddMissing(unfreeze=True),
        ),
        (lambda: loop(net(nn.ReLU())), loop, losing.DropOutputActivation("relu", 1)),
        (
            lambda: loop(loss=lambda s, y: F.cross_entropy(torch.relu(s), y)), loop,
            losing.DropOutputActivation("relu", -1),
        ),
        (
            lambda: loop(net(nn.Softmax(0))), lambda: loop(net(nn.Softmax(1))),
            losing.DropOutputActivation("softmax", 0, 1),
        ),
        (
            lambda: loop(loss=lambda s, y: F.nll_loss(s, y)), loop, losing.Normalize(),
        ),
        (
            lambda: loop(_with_dropout(0.9)), lambda: loop(_with_dropout(0.0)),
            rebuilding.SetDropout(0.0),
        ),
        (
            lambda: loop(_Functional(0.9)), lambda: loop(_Functional(0.0)),
            rebuilding.SetDropout(0.0),
        ),
        (
            lambda: loop(_normalized(), before=lambda n: n.eval()),  # type: ignore[arg-type, return-value]
            lambda: loop(_normalized()), rebuilding.SwitchMode(),
        ),
        (
            lambda: loop(_linear()), lambda: loop(_linear(nn.ReLU())),
            rebuilding.InsertNonlinearity(("0",)),
        ),
        (
            lambda: loop(net()), lambda: loop(_leaky()),
            rebuilding.ReplaceActivation(to="leaky_relu"),
        ),
        (lambda: loop(_Cut(True)), lambda: loop(_Cut(False)), graph.KeepGraph()),
        (lambda: loop(_Frozen(True)), lambda: loop(_Frozen(False)), graph.KeepGraph()),
        (lambda: loop(_Data(True)), lambda: loop(_Data(False)), graph.KeepGraph()),
    ],
)  # fmt: skip
def test_change_is_the_mended_training(faulty: Train, mended: Train, change: Change) -> None:
    same(faulty, mended, change, tolerance=2e-6)


def _frozen(network: nn.Sequential) -> nn.Module:
    network[0].requires_grad_(False)
    return network


def _with_dropout(rate: float) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(rate), nn.Linear(8, 3))


class _Functional(nn.Module):
    def __init__(self, rate: float) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.rate, self.first, self.last = rate, nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.dropout(self.first(x), self.rate))  # type: ignore[no-any-return]


def _normalized() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def _linear(*between: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), *between, nn.Linear(8, 3))


def _leaky() -> nn.Module:
    network = net()
    network[1] = nn.LeakyReLU(0.1)
    return network


class _Cut(nn.Module):
    """``detach`` on the way."""

    def __init__(self, cut: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.cut, self.first, self.last = cut, nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).relu()
        return self.last(hidden.detach() if self.cut else hidden)  # type: ignore[no-any-return]


class _Data(_Cut):
    """Weights taken by ``.data``, not by running their layer."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.first.weight.data if self.cut else self.first.weight
        return self.last((x @ weight.T).relu())  # type: ignore[no-any-return]


class _Frozen(_Cut):
    """``no_grad`` on the way."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.cut:
            return super().forward(x)
        with torch.no_grad():
            hidden = self.first(x).relu()
        return self.last(hidden)  # type: ignore[no-any-return]


def test_undone_softmax_is_training_on_scores() -> None:
    same(lambda: loop(net(nn.Softmax(1))), loop, losing.UndoSquashing(), tolerance=1e-5)


def test_undone_sigmoid_is_training_on_scores() -> None:
    x, y = data()
    xy = (x, (y == 0).float().unsqueeze(1))

    def train(*extra: nn.Module) -> nn.Module:
        return loop(net(*extra, outputs=1), loss=F.binary_cross_entropy_with_logits, xy=xy)

    same(lambda: train(nn.Sigmoid()), train, losing.UndoSquashing(), tolerance=1e-5)


def regression() -> tuple[Tensor, Tensor]:
    x, _ = data()
    return x, x.sum(1)


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_squeezed_shapes_compare_each_output_with_its_target() -> None:
    x, y = regression()
    for loss in (F.mse_loss, lambda s, t: ((s - t) ** 2).mean()):
        same(
            lambda: loop(net(outputs=1), loss=loss, xy=(x, y), rule=sgd(0.01)),  # noqa: B023
            lambda: loop(net(outputs=1), loss=loss, xy=(x, y[:, None]), rule=sgd(0.01)),  # noqa: B023
            losing.SqueezeShapes(),
        )  # fmt: skip


def test_dropped_penalty_leaves_the_loss() -> None:
    network = net()

    def train(weight: float) -> nn.Module:
        network.load_state_dict(net().state_dict())
        return loop(network, loss=lambda s, y: F.cross_entropy(s, y) + weight * sum(
            item.pow(2).sum() for item in network.parameters()))  # fmt: skip

    same(lambda: train(0.5), lambda: train(0.0), totals.DropPenalty(), tolerance=1e-6)


def test_averaged_sum() -> None:
    same(
        lambda: loop(loss=lambda s, y: F.cross_entropy(s, y, reduction="sum"), rule=sgd(0.05)),
        lambda: loop(rule=sgd(0.05)), totals.ScaleLoss(0.1), tolerance=1e-6,
    )  # fmt: skip


def test_one_hot_targets_with_cross_entropy() -> None:
    x, y = data()
    one_hot = F.one_hot(y, 3).float()
    same(lambda: loop(loss=F.mse_loss, xy=(x, one_hot)), loop, losing.UseCrossEntropy())


def test_recoded_labels() -> None:
    x, y = data()
    plain = (y == 0).float().unsqueeze(1)
    loss = F.binary_cross_entropy_with_logits
    same(
        lambda: loop(net(outputs=1), loss=loss, xy=(x, 2 * plain - 1)),
        lambda: loop(net(outputs=1), loss=loss, xy=(x, plain)), losing.Recode((-1.0, 1.0)),
    )  # fmt: skip


def test_balanced_classes_count_by_the_inverse_of_their_frequency() -> None:
    shares = (0.5, 0.3, 0.2)
    weight = torch.tensor([1 / share for share in shares]) / 3
    same(
        loop, lambda: loop(loss=lambda s, y: F.cross_entropy(s, y, weight)), losing.Balance(shares)
    )


def test_guarded_logarithm() -> None:
    def loss(guard: float) -> Callable[[Tensor, Tensor], Tensor]:
        def by_hand(scores: Tensor, labels: Tensor) -> Tensor:
            shares = (100 * scores).softmax(1)[range(10), labels]
            return -(shares.clamp_min(guard) if guard else shares).log().mean()

        return by_hand

    # written out, the softmax underflows to 0
    same(
        lambda: loop(loss=loss(0.0), rule=sgd(0.001)),
        lambda: loop(loss=loss(1e-7), rule=sgd(0.001)), guarding.GuardOperation("log"),
    )  # fmt: skip


def test_standardized_inputs_are_training_on_standardized_data() -> None:
    x, y = data()
    x = x * torch.tensor([1.0, 100.0, 0.01, 5.0, 1.0, 1.0]) + 7
    minibatches = [Minibatch((x[place : place + 10],), {}, y) for place in range(0, 60, 10)]
    stick = Yardstick(pool=minibatches)
    z = ((x.double() - x.double().mean(0)) / x.double().std(0, correction=0)).float()
    wanted = [item.detach() for item in loop(xy=(z, y)).parameters()]
    found = weights(lambda: loop(xy=(x, y)), feeding.StandardizeInputs(), yardstick=stick)
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, two)


def test_standardized_targets_are_training_on_standardized_data() -> None:
    x, y = regression()
    far = (1000 * y + 50_000)[:, None]
    mean, std = float(far.mean()), float(far.std())
    found = weights(
        lambda: loop(net(outputs=1), loss=F.mse_loss, xy=(x, far), rule=sgd(0.01)),
        feeding.StandardizeTargets(mean, std),
    )
    network = loop(net(outputs=1), loss=F.mse_loss, xy=(x, (far - mean) / std), rule=sgd(0.01))
    for one, two in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(one, two.detach(), rtol=1e-3, atol=1e-4)


def test_cleaned_data() -> None:
    x, y = data()
    broken = x.clone()
    broken[3, 2] = torch.nan
    zeros = broken.nan_to_num(0.0)
    same(lambda: loop(xy=(broken, y)), lambda: loop(xy=(zeros, y)), feeding.CleanData())


def test_the_next_minibatch_in_place_of_the_first() -> None:
    x, y = data()
    loader = DataLoader(TensorDataset(x, y), 10)

    def train(again: bool) -> nn.Module:
        network = net()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        source = iter(loader)
        for _ in range(6):
            inputs, targets = next(iter(loader)) if again else next(source)
            optimizer.zero_grad()
            F.cross_entropy(network(inputs), targets).backward()
            optimizer.step()
        return network

    wanted = [item.detach() for item in train(False).parameters()]
    original = DataLoader.__iter__
    try:
        found = weights(lambda: train(True), ordering.GoOn())
    finally:
        DataLoader.__iter__ = original  # type: ignore[method-assign]
    # the first minibatch was drawn before anything was known: it comes twice
    assert not torch.equal(found[0], next(item.detach() for item in train(True).parameters()))
    assert found[0].shape == wanted[0].shape


@pytest.mark.parametrize("none", [True, False])
def test_one_order_pairs_what_was_shuffled_apart(
    none: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = ordering.OneOrder(none=none)
    for owner, name in (
        (torch, "randperm"), (np.random, "permutation"), (np.random, "shuffle"),
        (random, "shuffle"), (np.random, "default_rng"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, getattr(owner, name))
    change.set_up()
    x = np.arange(50)
    assert (x[np.random.permutation(50)] == x[torch.randperm(50).numpy()]).all()
    assert (x[np.random.default_rng(3).permutation(50)] == x[np.random.permutation(50)]).all()
    one, two = list(range(50)), np.arange(50)
    random.shuffle(one)
    np.random.shuffle(two)
    assert one == two.tolist()
    assert sorted(one) == list(range(50))
    assert (one == list(range(50))) is none


def test_no_noise_of_the_users() -> None:
    x, y = data()

    def train(size: float) -> nn.Module:
        network = net()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        network(x)  # met before noise is drawn
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(network(x + size * torch.randn_like(x)), y).backward()
            optimizer.step()
        return network

    kept = {
        name: getattr(np.random, name) for name in ("randn", "standard_normal", "rand", "random")
    }
    try:
        same(lambda: train(5.0), lambda: train(0.0), noise.NoNoise())
    finally:
        for name, value in kept.items():
            setattr(np.random, name, value)


def test_widened_layers_are_trained() -> None:
    with replaying(rebuilding.Widen(4, 16)):
        network = loop()
    first, last = network.get_submodule("0"), network.get_submodule("2")
    assert first.weight.shape == (32, 6)
    assert last.weight.shape == (3, 32)
    with replaying(rebuilding.Widen(4, 16)):
        untrained = loop(steps=1)
    assert not torch.equal(first.weight, untrained.get_submodule("0").weight)


@pytest.mark.parametrize("way", ["default", "he"])
def test_weights_drawn_anew(way: str) -> None:
    def train() -> nn.Module:
        network = net()
        for item in network.parameters():
            nn.init.zeros_(item)
        return loop(network, rule=sgd(0.0))

    with replaying(rebuilding.Reinitialize(way)):
        network = train()
    weight = network.get_submodule("0").weight
    assert isinstance(weight, Tensor)
    expected = (2 / 6) ** 0.5 if way == "he" else (1 / (3 * 6)) ** 0.5
    assert 0.6 * expected < float(weight.detach().std()) < 1.4 * expected


def test_scores_for_classes_in_place_of_one_number() -> None:
    x, y = data()
    with replaying(losing.ClassScores((0.0, 1.0, 2.0))) as live:
        network = loop(
            net(outputs=1), loss=F.mse_loss, xy=(x, y.float()[:, None]), rule=sgd(0.5), steps=200
        )
        said = live.changes[0].read(live, network(x))
        with torch.no_grad():
            number = network(x)  # an evaluation of the script's own
    assert said.shape == (60, 3)
    assert number.shape == (60, 1)
    assert float((number[:, 0] == y).float().mean()) > 0.9
    assert float((said.argmax(1) == y).float().mean()) > 0.9


def test_batch_norm_with_its_usual_momentum() -> None:
    def train(momentum: float) -> nn.Module:
        network = _normalized()
        network.get_submodule("1").momentum = momentum  # type: ignore[assignment]
        return loop(network)

    with replaying(rebuilding.SoundNorm()):
        found = train(0.0001)
    wanted = train(0.1)
    for one, two in zip(found.buffers(), wanted.buffers(), strict=True):
        torch.testing.assert_close(one, two)


def pool(xy: tuple[Tensor, Tensor] | None = None) -> Yardstick:
    """What a scout would have captured."""
    x, y = data() if xy is None else xy
    rows = [slice(place, place + 10) for place in range(0, 60, 10)]
    found = [Minibatch((x[part],), {}, y[part]) for part in rows]
    return Yardstick(pool=found, function="cross_entropy")


def test_decay_in_proportion_to_the_rate() -> None:
    found = weights(lambda: loop(steps=1), updating.AddDecay(0.5))
    for one, two in zip(found, loop(steps=1).parameters(), strict=True):
        wanted = two.detach() * (1 - 0.1 * 0.5) if two.dim() > 1 else two.detach()
        torch.testing.assert_close(one, wanted)


def test_stopped_early_is_fewer_steps() -> None:
    with replaying(updating.StopEarly(0.5), marks=(12,)):
        found = loop()
    for one, two in zip(found.parameters(), loop(steps=6).parameters(), strict=True):
        assert torch.equal(one, two)


def test_minibatches_drawn_by_hand() -> None:
    x, y = data()

    def by_hand() -> nn.Module:
        network = net()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        generator = torch.Generator().manual_seed(17)
        for _ in range(12):
            rows = torch.randint(60, (10,), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
        return network

    found = weights(loop, ordering.Resupply(), yardstick=pool())
    for one, two in zip(found, by_hand().parameters(), strict=True):
        assert torch.equal(one, two)


def seen_with(change: Change, loss: Any) -> list[Tensor]:
    """Inputs that a network gets in six steps with a control."""
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            if self.training and torch.is_grad_enabled():
                seen.append(inputs)
            return self.layer(inputs)  # type: ignore[no-any-return]

    with replaying(change, yardstick=pool(data())):
        loop(Spy(), loss=loss, steps=6)
    return seen


def test_shuffled_labels_are_those_of_others() -> None:
    x = data()[0]
    parts = [x[place : place + 10] for place in range(0, 60, 10)]
    for loss in (F.cross_entropy, lambda s, y: ((s - F.one_hot(y, 3)) ** 2).mean()):
        seen = seen_with(control.ShuffleLabels(), loss)
        moved = [not torch.equal(one, two) for one, two in zip(seen, parts, strict=True)]
        assert all(moved)
        rows = [sorted(map(tuple, item.tolist())) for item in (*seen, *parts)]
        assert rows[:6] == rows[6:]  # the same examples in each minibatch


def test_shuffling_is_said_to_be_impossible_where_it_changes_nothing() -> None:
    x, y = data()
    order = y.argsort()
    batch = [
        Minibatch((a,), {}, b) for a, b in zip(x[order].split(10), y[order].split(10), strict=True)
    ]
    assert control.mixed(batch) < 0.35  # one kind of label in most minibatches
    assert control.mixed([Minibatch((x,), {}, y)]) == pytest.approx(1.0)
    assert control.mixed([Minibatch((x,), {}, y.float())]) == pytest.approx(1.0)
    assert control.mixed([Minibatch((x[:1],), {}, y[:1])]) == 0.0


def test_labels_that_are_an_input_are_shuffled_in_the_loss() -> None:
    seen: list[Tensor] = []
    given: list[Tensor] = []

    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
            given.append(inputs)
            return F.cross_entropy(self.layer(inputs), labels)

    class Spy(losing.LossChange):
        def loss(self, live: Live, function: Any, given: Any, target: Any, rest: Any) -> Any:
            seen.append(target)
            return function(given, target, **rest)

    x, y = data()
    net = Inside()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    stick = Yardstick([], [Minibatch((x, y), {}, y, leaf=-1)])
    with replaying(control.ShuffleLabels(), Spy(), yardstick=stick):
        optimizer.zero_grad()
        net(x, y).backward()
        optimizer.step()
    assert torch.equal(given[0], x)  # moved along with their labels they would change nothing
    assert not torch.equal(seen[0], y)
    assert torch.equal(seen[0].sort()[0], y.sort()[0])


def test_losses_are_heard_however_they_are_called() -> None:
    heard: list[tuple[Any, ...]] = []

    class Spy(losing.LossChange):
        def loss(self, live: Live, function: Any, given: Any, target: Any, rest: Any) -> Any:
            heard.append((given.shape, target.shape, sorted(rest)))
            return function(given, target, **rest)

    weight = torch.ones(3)
    ways: tuple[Any, ...] = (
        lambda s, y: F.cross_entropy(input=s, target=y),
        lambda s, y: F.cross_entropy(s, y, weight),
        lambda s, y: F.cross_entropy(s, target=y, reduction="sum"),
        nn.CrossEntropyLoss(),
    )
    for way in ways:
        heard.clear()
        with replaying(Spy()):
            loop(loss=way, steps=1)
        assert heard[0][:2] == ((10, 3), (10,)), way


def test_two_changes_of_the_loss_act_one_after_the_other() -> None:
    shares = (0.5, 0.3, 0.2)
    weight = torch.tensor([1 / share for share in shares]) / 3
    same(
        lambda: loop(net(nn.Softmax(1))),
        lambda: loop(loss=lambda s, y: F.cross_entropy(s, y, weight)),
        losing.UndoSquashing(), losing.Balance(shares), tolerance=1e-5,
    )  # fmt: skip


def test_labels_moved_along() -> None:
    same(
        loop, lambda: loop(loss=lambda s, t: F.cross_entropy(s, t.roll(1, 0))),
        ordering.RollLabels(1),
    )  # fmt: skip


def test_labels_of_a_data_set_moved_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TensorDataset, "__init__", TensorDataset.__init__)
    ordering.RollDataset(1).set_up()
    x, y = data()
    assert torch.equal(TensorDataset(x, y).tensors[1], y.roll(1, 0))
    assert torch.equal(TensorDataset(x, y).tensors[0], x)


def test_more_steps_go_on_over_what_was_captured() -> None:
    with replaying(more_steps.MoreSteps(3.0), yardstick=pool()) as live:
        found = loop(steps=12)
        live.changes[0].go_on(live)
    for one, two in zip(found.parameters(), loop(steps=36).parameters(), strict=True):
        torch.testing.assert_close(one, two)
    assert live.step == 36


def test_evaluation_inputs_on_the_scale_of_training() -> None:
    x, y = data()
    stick = pool()
    stick.held = [Minibatch((255 * x + 3,), {}, y)]
    network = net()
    with replaying(feeding.MatchStatistics(), yardstick=stick) as live, torch.no_grad():
        network(x)
        live.networks.append(network)
        live.held_back = True
        found = network(255 * x + 3)
    torch.testing.assert_close(found, network(x).detach(), rtol=1e-4, atol=1e-5)


def test_noise_of_the_size_that_was_asked_for() -> None:
    x, _ = data()
    seen: list[Tensor] = []

    class Spy(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            seen.append(inputs)
            return super().forward(inputs)

    with replaying(feeding.AddNoise(0.5), yardstick=pool()):
        loop(Spy(6, 3), steps=60)
    noise = torch.cat(seen) - torch.cat([x] * 10)
    ratio = noise.std(0) / x.std(0, correction=0)
    torch.testing.assert_close(ratio, torch.full((6,), 0.5), rtol=0.15, atol=0.0)  # 600 draws


def test_normalized_signals_are_a_layer_norm_before_the_activation() -> None:
    def train(normalized: bool) -> nn.Module:
        network = net()
        if normalized:
            network[1] = nn.Sequential(nn.LayerNorm(8, elementwise_affine=False), nn.ReLU())
        return loop(network)

    same(lambda: train(False), lambda: train(True), rebuilding.NormalizeSignals())


def test_statistics_by_example_in_place_of_by_minibatch() -> None:
    class ByExample(nn.BatchNorm1d):
        def forward(self, value: Tensor) -> Tensor:
            return F.layer_norm(value, value.shape[1:]) * self.weight + self.bias

    def train(kind: type[nn.Module]) -> nn.Module:
        network = _normalized()
        network[1] = kind(8)  # type: ignore[index, operator, call-arg]
        return loop(network)

    same(lambda: train(nn.BatchNorm1d), lambda: train(ByExample), rebuilding.SoundNorm(True),
         tolerance=1e-6)  # fmt: skip


def test_dropout_as_a_function_is_off_in_evaluation() -> None:
    network, (x, _) = _Functional(0.5), data()
    plain = network.last(network.first(x)).detach()
    with replaying(rebuilding.SwitchMode()), torch.no_grad():
        assert torch.equal(network(x), plain)
    assert not torch.equal(network(x), plain)


def test_dropout_behind_activations_while_training() -> None:
    def train(rate: float) -> nn.Module:
        network = net()
        network[1] = nn.Sequential(nn.ReLU(), nn.Dropout(rate))
        return loop(network)

    same(loop, lambda: train(0.3), rebuilding.AddDropout(0.3))


def test_sigmoid_in_place_of_a_softmax_over_one_score() -> None:
    x, y = data()
    xy = (x, (y == 0).float().unsqueeze(1))

    def train(last: nn.Module) -> nn.Module:
        return loop(net(last, outputs=1), loss=F.binary_cross_entropy, xy=xy)

    same(lambda: train(nn.Softmax(1)), lambda: train(nn.Sigmoid()),
         losing.DropOutputActivation("softmax", 0, to="sigmoid"))  # fmt: skip


def test_full_precision_in_place_of_half() -> None:
    class Halved(nn.Module):
        """Computes in float16 what it was given in float32."""

        def __init__(self, half: bool) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.half_way, self.layer = half, nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.layer(x)
            return (1e3 * x).half().float() / 1e3 if self.half_way else (1e3 * x) / 1e3

    same(lambda: loop(Halved(True)), lambda: loop(Halved(False)), guarding.FullPrecision())
