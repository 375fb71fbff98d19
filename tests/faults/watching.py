"""Trainings with one planted fault each, and healthy look-alikes, in a few lines of plain PyTorch.

Every function trains for a second or less; the code of the symptom it must show is its key.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


def digits() -> tuple[Tensor, Tensor]:
    """(1797, 64) images with values in [0, 1] and (1797,) labels, in random order."""
    found = load_digits()
    order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(0))
    return (
        torch.tensor(found.data, dtype=torch.float32)[order] / 16,
        torch.tensor(found.target)[order],
    )


def mlp(*sizes: int, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers with activations between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


def train(
    net: nn.Module | None = None,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    steps: int = 120,
    rate: float = 0.1,
    data: tuple[Tensor, Tensor] | None = None,
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] | None = None,
    clear: bool = True,
    clip: float | None = None,
    batch: int = 64,
    before: Callable[[Any], None] = lambda net: None,
) -> nn.Module:
    """The textbook loop."""
    torch.manual_seed(0)
    net = net if net is not None else mlp(64, 48, 10)
    x, y = digits() if data is None else data
    update = torch.optim.SGD(net.parameters(), lr=rate) if optimizer is None else optimizer(net)
    before(net)
    for step in range(steps):
        first = step * batch % (len(x) - batch)
        if clear:
            update.zero_grad()
        value = loss(net(x[first : first + batch]), y[first : first + batch])
        value.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        update.step()
    return net


def fresh(*arguments: Any, **options: Any) -> nn.Sequential:
    torch.manual_seed(1)
    return mlp(*arguments, **options)


class Detached(nn.Module):
    """A network whose first half is cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)).detach())


def regression(scale: float = 1.0, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(1000, 8, generator=generator)
    return x, (scale * (x @ torch.randn(8, 1, generator=generator)) + shift)


def constant(net: nn.Module, value: float) -> nn.Module:
    for item in net.parameters():
        nn.init.constant_(item, value)
    return net


def scaled(net: nn.Module, factor: float) -> nn.Module:
    with torch.no_grad():
        for item in net.parameters():
            item *= factor
    return net


def shifted(net: nn.Sequential, layer: int, value: float) -> nn.Module:
    nn.init.constant_(net[layer].bias, value)  # type: ignore[arg-type]
    return net


def in_evaluation() -> None:
    train(nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10)),
          before=lambda net: net.eval())  # fmt: skip


def validated(switch: bool) -> None:
    torch.manual_seed(0)
    x, y = digits()
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))
    update = torch.optim.Adam(net.parameters(), 1e-2)
    loaders = [DataLoader(TensorDataset(x[part], y[part]), 64)
               for part in (slice(0, 1280), slice(1280, 1500))]  # fmt: skip
    for _ in range(3):
        net.train()
        for inputs, targets in loaders[0]:
            update.zero_grad()
            F.cross_entropy(net(inputs), targets).backward()
            update.step()
        if switch:
            net.eval()
        with torch.no_grad():
            for inputs, _targets in loaders[1]:
                net(inputs)


def repeated(whole: bool = False) -> None:
    torch.manual_seed(0)
    x, y = digits()
    loader = DataLoader(TensorDataset(x, y), len(x) if whole else 32)
    net = mlp(64, 32, 10)
    update = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(15):
        inputs, targets = next(iter(loader))
        update.zero_grad()
        F.cross_entropy(net(inputs), targets).backward()
        update.step()


def sorted_digits() -> tuple[Tensor, Tensor]:
    x, y = digits()
    order = y.argsort()
    return x[order], y[order]


def broken_at(step: int) -> Callable[[Tensor, Tensor], Tensor]:
    calls = []

    def loss(scores: Tensor, targets: Tensor) -> Tensor:
        calls.append(1)
        shares = (scores * (1000 if len(calls) > step else 1)).softmax(1)
        return -shares[torch.arange(len(targets)), targets].log().mean()

    return loss


def with_nan() -> tuple[Tensor, Tensor]:
    x, y = digits()
    x[500, 3] = torch.nan
    return x, y


def shuffled_labels() -> tuple[Tensor, Tensor]:
    x, y = digits()
    return x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(5))]


def yes_no(high: float, low: float) -> tuple[Tensor, Tensor]:
    x, y = digits()
    return x, torch.where(y.unsqueeze(1) < 5, high, low)


def some_only(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(list(net.parameters())[2:], 0.1)


def accumulated() -> None:
    torch.manual_seed(0)
    x, y = digits()
    net = mlp(64, 32, 10)
    update = torch.optim.SGD(net.parameters(), 0.1)
    for step in range(200):
        first = step * 32 % 1700
        (F.cross_entropy(net(x[first : first + 32]), y[first : first + 32]) / 4).backward()
        if step % 4 == 3:
            update.step()
            update.zero_grad()


def frozen() -> None:
    net = mlp(64, 64, 10)
    net[0].requires_grad_(False)
    train(net, optimizer=lambda net: torch.optim.SGD(net[2].parameters(), 0.1))  # type: ignore[index]


def stuck(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), 1e-7)


class Unused(nn.Module):
    """A layer that is made and never called, as an auxiliary head is."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.extra = nn.Linear(64, 32), nn.Linear(32, 10), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)))


def game() -> None:
    """Two networks that play against each other: their losses need not fall."""
    torch.manual_seed(0)
    x, _ = digits()
    maker, judge = mlp(16, 64, 64), mlp(64, 32, 1, activation=lambda: nn.LeakyReLU(0.2))
    rules = [torch.optim.Adam(net.parameters(), 2e-4) for net in (maker, judge)]
    ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)
    for step in range(100):
        real, made = x[step * 64 % 1600 :][:64], maker(torch.randn(64, 16)).sigmoid()
        rules[1].zero_grad()
        loss = F.binary_cross_entropy_with_logits(judge(real), ones)
        (loss + F.binary_cross_entropy_with_logits(judge(made.detach()), zeros)).backward()
        rules[1].step()
        rules[0].zero_grad()
        F.binary_cross_entropy_with_logits(judge(made), ones).backward()
        rules[0].step()


def rewarded() -> None:
    """A policy that learns from rewards (REINFORCE); the number it descends means nothing."""
    torch.manual_seed(0)
    net = mlp(4, 32, 2)
    update = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(150):
        states = torch.randn(64, 4)
        chosen = torch.distributions.Categorical(logits=net(states))
        actions = chosen.sample()
        rewards = (actions == (states[:, 0] > 0)).float()
        update.zero_grad()
        (-(chosen.log_prob(actions) * (rewards - rewards.mean())).mean()).backward()
        update.step()


def segmented() -> None:
    """A class for each pixel; an image holds few classes, in whatever order the images come."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(12, (256, 1, 1), generator=generator).expand(256, 8, 8).contiguous()
    kinds[:, :4] = 0
    patterns = torch.randn(12, 6, generator=generator)
    noise = torch.randn(256, 6, 8, 8, generator=generator)
    images = patterns[kinds].movedim(-1, 1) + 0.3 * noise
    net = nn.Sequential(nn.Conv2d(6, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 12, 1))
    train(net, data=(images, kinds), batch=2, rate=0.3)


def language(rate: float = 3e-3) -> None:
    """The next letter of a text that repeats itself with chance."""
    torch.manual_seed(0)
    text = torch.randint(4, (64 * 200,)).cumsum(0) % 11
    windows = text[: 64 * 199].reshape(-1, 16)

    class Letters(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.last = nn.Embedding(11, 24), nn.Linear(32, 11)
            self.rnn = nn.GRU(24, 32, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.rnn(self.embed(x))[0])

    train(
        Letters(), data=(windows[:, :-1], windows[:, 1:]), batch=32,
        optimizer=lambda net: torch.optim.Adam(net.parameters(), rate),
        loss=lambda scores, y: F.cross_entropy(scores.flatten(0, 1), y.flatten()),
    )  # fmt: skip


def hundred_classes() -> tuple[Tensor, Tensor]:
    """So many classes that 512 examples say little to a probe."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(100, (4000,), generator=generator)
    centres = torch.randn(100, 64, generator=generator)
    return centres[y] * 0.5 + torch.randn(4000, 64, generator=generator), y


class ListOfLayers(nn.Module):
    """Layers in a plain list, which no optimizer gets."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.rest = nn.Linear(64, 32), [nn.Linear(32, 32)]
        self.last = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.rest[0](torch.relu(self.first(x)))))


def never_back() -> None:
    """``eval`` for the validation, and no ``train`` after it."""
    torch.manual_seed(0)
    x, y = digits()
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))
    update = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(4):
        for step in range(20):
            update.zero_grad()
            F.cross_entropy(net(x[step * 64 :][:64]), y[step * 64 :][:64]).backward()
            update.step()
        net.eval()
        with torch.no_grad():
            net(x[1500:])


def two_terms() -> None:
    """A sum of two losses, of which the first alone would be below the constant predictor."""
    torch.manual_seed(0)
    x, y = digits()
    net = mlp(64, 32, 10)
    update = torch.optim.SGD(net.parameters(), 0.1)
    for step in range(100):
        part = slice(step * 16, step * 16 + 16)
        scores = net(x[part])
        spread = F.mse_loss(scores.softmax(1), F.one_hot(y[part], 10).float()) * 20
        update.zero_grad()
        (F.cross_entropy(scores, y[part]) + spread + 1).backward()
        update.step()


PLANTED: dict[str, Callable[[], Any]] = {
    "numerical-overflow": lambda: train(loss=broken_at(5)),
    "non-finite-data": lambda: train(data=with_nan()),
    "parameters-not-optimized": lambda: train(optimizer=some_only),
    "graph-detached": lambda: train(Detached()),
    "gradients-not-cleared": lambda: train(clear=False),
    "wrong-mode": in_evaluation,
    "loss-expects-logits": lambda: train(
        loss=lambda scores, y: F.cross_entropy(scores.softmax(1), y)
    ),
    "output-activation-wrong": lambda: train(loss=F.nll_loss, rate=1e-3),
    "shapes-broadcast": lambda: train(
        mlp(8, 16, 1), data=(regression()[0], regression()[1].squeeze(1)),
        loss=lambda out, y: ((out - y) ** 2).mean(), rate=0.01,
    ),
    "loss-sign-flipped": lambda: train(
        loss=lambda scores, y: -F.cross_entropy(scores, y), rate=1e-3
    ),
    "labels-wrongly-encoded": lambda: train(
        mlp(64, 16, 1), data=yes_no(1.0, -1.0), loss=F.binary_cross_entropy_with_logits, rate=1e-3
    ),
    "loss-unsuited": lambda: train(
        mlp(64, 16, 1), data=(digits()[0], torch.zeros(1797, dtype=torch.long))
    ),
    "same-batch-repeated": repeated,
    "symmetric-initialization": lambda: train(constant(mlp(64, 32, 10), 0.01)),
    "dead-relu": lambda: train(shifted(fresh(64, 32, 10), 0, -30.0)),
    "saturated-activations": lambda: train(
        scaled(fresh(64, 32, 32, 10, activation=nn.Tanh), 60.0), rate=1e-4
    ),
    "learning-rate-too-low": lambda: train(optimizer=stuck),
    "learning-rate-too-high": lambda: train(rate=300.0),
    "regularization-too-strong": lambda: train(
        optimizer=lambda net: torch.optim.SGD(net.parameters(), 0.05, weight_decay=5.0)
    ),
    "gradients-clipped-too-hard": lambda: train(clip=1e-4),
    "data-not-shuffled": lambda: train(data=sorted_digits(), rate=0.01),
    "loss-not-averaged": lambda: train(
        loss=lambda scores, y: F.cross_entropy(scores, y, reduction="sum"), rate=20.0
    ),
    "initial-loss-unexpected": lambda: train(scaled(fresh(64, 32, 10), 12.0), rate=1e-3),
    "inputs-not-normalized": lambda: train(data=(digits()[0] * 4000, digits()[1]), rate=1e-6),
    "targets-not-scaled": lambda: train(
        mlp(8, 16, 1), data=regression(300.0, 4000.0), loss=F.mse_loss, rate=1e-7
    ),
    "inputs-do-not-predict-targets": lambda: train(data=shuffled_labels()),
    "small-batch-not-fitted": lambda: train(
        nn.Sequential(nn.Linear(64, 10), nn.Threshold(1e6, 0.0)), rate=0.01
    ),
    "loss-flat": lambda: train(optimizer=stuck),
    "initialization-too-small": lambda: train(scaled(fresh(64, 32, 32, 10), 1e-3)),
}  # fmt: skip

_INPUTS = digits()[0] * 2 - 0.6

# more ways to the same code
PLANTED_TOO: dict[str, tuple[str, Callable[[], Any]]] = {
    "layers in a list": ("parameters-not-optimized", lambda: train(ListOfLayers())),
    "never back to training": ("wrong-mode", never_back),
    "log shares without a minus": (
        "loss-sign-flipped",
        lambda: train(loss=lambda s, y: s.log_softmax(1)[range(len(y)), y].mean(), rate=1e-3),
    ),
}

HEALTHY: dict[str, Callable[[], Any]] = {
    "the textbook": lambda: train(),
    "Adam": lambda: train(optimizer=lambda net: torch.optim.Adam(net.parameters(), 3e-3)),
    "accumulation on purpose": accumulated,
    "frozen on purpose": frozen,
    "log_softmax before cross entropy": lambda: train(
        loss=lambda scores, y: F.cross_entropy(scores.log_softmax(1), y)
    ),
    "log_softmax with nll_loss": lambda: train(
        loss=lambda scores, y: F.nll_loss(scores.log_softmax(1), y)
    ),
    "regression with equal shapes": lambda: train(
        mlp(8, 16, 1), data=regression(), loss=F.mse_loss, rate=0.02
    ),
    "binary with probabilities": lambda: train(
        nn.Sequential(mlp(64, 16, 1), nn.Sigmoid()), data=yes_no(1.0, 0.0),
        loss=F.binary_cross_entropy,
    ),
    "80 % inactive but living": lambda: train(shifted(fresh(64, 128, 10), 0, -0.35)),
    "clipping at a usual norm": lambda: train(clip=1.0),
    "sensible weight decay": lambda: train(
        optimizer=lambda net: torch.optim.SGD(net.parameters(), 0.1, weight_decay=5e-4)
    ),
    "a sum with a small rate": lambda: train(
        loss=lambda scores, y: F.cross_entropy(scores, y, reduction="sum"), rate=2e-3
    ),
    "validation in evaluation mode": lambda: validated(True),
    "the whole data set in one minibatch": lambda: repeated(whole=True),
    "an autoencoder of grey values by binary cross entropy": lambda: train(
        mlp(64, 32, 64), data=(digits()[0], digits()[0]),
        loss=F.binary_cross_entropy_with_logits,
        optimizer=lambda net: torch.optim.Adam(net.parameters(), 1e-2),
    ),
    "smoothed labels": lambda: train(
        loss=lambda scores, y: F.cross_entropy(scores, y, label_smoothing=0.2)
    ),
    "an unused layer": lambda: train(Unused()),
    "a game": game,
    "rewards": rewarded,
    "a class for each pixel": segmented,
    "the next letter": language,
    "two losses": two_terms,
    "a hundred classes": lambda: train(mlp(64, 128, 100), data=hundred_classes(), rate=0.3),
    "tanh by Xavier": lambda: train(mlp(64, 32, 32, 10, activation=nn.Tanh)),
    "standardized inputs": lambda: train(data=(_INPUTS, digits()[1]), rate=0.03),
    "warm-up": lambda: train(optimizer=lambda net: torch.optim.AdamW(net.parameters(), 1e-3)),
}  # fmt: skip
