"""Feeding: changes of the data: scaling, order, pairing, cleaning, noise, size of minibatches."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from chainrule.analysis.running import tensors_of
from chainrule.diagnosis.places import is_users
from chainrule.diagnosis.replaying.change import Args, Change, Keywords
from chainrule.diagnosis.replaying.changes.losing import LossChange, name_of_function

if TYPE_CHECKING:
    from chainrule.diagnosis.replaying.live import Live

_FLOOR = 1e-8


def _first_float(args: tuple[Any, ...]) -> int | None:
    return next(
        (place for place, item in enumerate(args)
         if isinstance(item, Tensor) and item.is_floating_point()), None,
    )  # fmt: skip


def _pooled_inputs(live: Live) -> Tensor | None:
    """All captured inputs in one tensor; None where their shapes differ."""
    pool = live.yardstick.pool if live.yardstick is not None else []
    found = [item.inputs for item in pool[:100]]
    kept = [item for item in found if item is not None and item.is_floating_point() and item.dim()]
    if not kept or len({item.shape[1:] for item in kept}) != 1:
        return None
    return torch.cat(kept)


def _axes(value: Tensor) -> list[int]:
    """Over which axes statistics go: all but the features (vectors, sequences) or channels."""
    if value.dim() == 3:
        return [0, 1]
    return [0, *range(2, value.dim())]


@dataclass(frozen=True)
class StandardizeInputs(Change):
    """Inputs get zero mean and unit variance, per feature or channel."""

    @property
    def title(self) -> str:
        return "inputs standardized"

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        place = _first_float(args)
        if (network is not live.root and live.root is not None) or place is None:
            return args, kwargs
        memory = live.memory(self)
        if "mean" not in memory:
            pooled = _pooled_inputs(live)
            if pooled is None:
                memory["mean"] = None
            else:
                pooled = torch.where(pooled.isfinite(), pooled, torch.zeros_like(pooled)).double()
                axes = _axes(pooled)
                std, mean = torch.std_mean(pooled, axes, correction=0, keepdim=True)
                memory["mean"] = mean
                memory["std"] = torch.where(std > _FLOOR, std, torch.ones_like(std))
        if memory["mean"] is None or args[place].dim() != memory["mean"].dim():
            return args, kwargs
        value = ((args[place].double() - memory["mean"]) / memory["std"]).to(args[place].dtype)
        return (*args[:place], value, *args[place + 1 :]), kwargs


@dataclass(frozen=True)
class AddNoise(Change):
    """Noise on the inputs while training, in units of their standard deviation."""

    share: float = 0.3

    @property
    def title(self) -> str:
        return f"noise of {self.share:g} standard deviations on the inputs"

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        place = _first_float(args)
        if place is None or not live.training or live.busy or network is not live.root:
            return args, kwargs
        memory = live.memory(self)
        if "std" not in memory:
            found = _statistics(live.yardstick.pool if live.yardstick else [])
            memory["std"] = None if found is None else found[1]
        if memory["std"] is None:
            return args, kwargs
        value = args[place]
        noise = self.share * memory["std"].to(value.dtype) * torch.randn_like(value)
        return (*args[:place], value + noise, *args[place + 1 :]), kwargs


@dataclass(frozen=True)
class StandardizeTargets(Change):
    """The network says standardized numbers: they are scaled to the targets, the loss scaled back.

    The same as training on standardized targets, and seen from outside the same network.
    """

    mean: float = 0.0
    std: float = 1.0
    power: int = 2  # of the size of targets in the loss

    @property
    def title(self) -> str:
        return "targets standardized"

    def returned(self, live: Live, network: nn.Module, output: Any) -> Any:
        if network is not live.root or not isinstance(output, Tensor):
            return output
        return output * self.std + self.mean

    def backward(self, live: Live, total: Tensor) -> Tensor:
        return total / self.std**self.power


@dataclass(frozen=True)
class CleanData(LossChange):
    """Examples with values that are not finite count for nothing."""

    @property
    def title(self) -> str:
        return "values that are not finite set to 0"

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        return tuple(_cleaned(item) for item in args), {
            name: _cleaned(item) for name, item in kwargs.items()
        }

    def loss(
        self, live: Live, function: Any, given: Tensor, target: Tensor, rest: dict[str, Any]
    ) -> Any:
        if not target.is_floating_point() or bool(target.isfinite().all()):
            return NotImplemented
        if target.shape == given.shape:
            target = torch.where(target.isfinite(), target, given.detach())
        return function(given, target.nan_to_num(0.0, 0.0, 0.0), **rest)


def _cleaned(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.nan_to_num(0.0, 0.0, 0.0)
    return value


@dataclass(frozen=True)
class Resupply(LossChange):
    """Minibatches are drawn at random from all that the scout has seen.

    Args:
        examples: in a minibatch; 0 for as many as before.
        shuffled: whether targets are mixed up among the inputs: a control, which must not learn.
    """

    examples: int = 0
    shuffled: bool = False

    @property
    def title(self) -> str:
        if self.shuffled:
            return "labels shuffled on purpose (control)"
        size = f" of {self.examples} examples" if self.examples else ""
        return f"minibatches{size} drawn at random"

    def _pool(self, live: Live) -> tuple[Tensor, Tensor] | None:
        memory = live.memory(self)
        if "pool" not in memory:
            memory["pool"] = pooled(live)
            memory["generator"] = torch.Generator().manual_seed(17 + live.job.reseed)
            if memory["pool"] is not None and self.shuffled:
                inputs, targets = memory["pool"]
                order = torch.randperm(len(targets), generator=memory["generator"])
                memory["pool"] = (inputs, targets[order])
        found: tuple[Tensor, Tensor] | None = memory["pool"]
        return found

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        memory = live.memory(self)
        memory["target"] = None
        if not live.training or live.busy or network is not live.root or len(args) != 1:
            return args, kwargs
        pool = self._pool(live)
        if pool is None or not isinstance(args[0], Tensor) or args[0].dim() != pool[0].dim():
            return args, kwargs
        size = self.examples or len(args[0])
        chosen = torch.randint(len(pool[0]), (size,), generator=memory["generator"])
        memory["target"] = pool[1][chosen]
        memory["before"] = len(args[0])
        return (pool[0][chosen].to(args[0].dtype),), kwargs

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        found = super().function(live, function, args, kwargs)
        if found is not NotImplemented:
            return found
        target = live.memory(self).get("target")
        if target is None or live.inside or live.busy or len(args) < 2 or self.examples:
            return NotImplemented
        second = args[1]
        if not isinstance(second, Tensor) or second.requires_grad:
            return NotImplemented
        alike = second.shape == target.shape and second.dtype == target.dtype
        if alike and name_of_function(function) in ("sub", "rsub"):
            return function(args[0], target, *args[2:], **kwargs)
        return NotImplemented

    def loss(
        self, live: Live, function: Any, given: Tensor, target: Tensor, rest: dict[str, Any]
    ) -> Any:
        drawn = live.memory(self).get("target")
        if drawn is None:
            return NotImplemented
        if drawn.dim() == target.dim():
            drawn = drawn.to(target.dtype)
        return function(given, drawn, **rest)


def pooled(live: Live) -> tuple[Tensor, Tensor] | None:
    """All captured inputs and targets; None where they are not one tensor each."""
    pool = live.yardstick.pool if live.yardstick is not None else []
    inputs = [item.inputs for item in pool if len(tensors_of((list(item.args), item.kwargs))) == 1]
    targets = [item.target for item in pool]
    known = [item for item in inputs if item is not None and item.dim()]
    if not known or len(known) != len(targets):
        return None
    if len({item.shape[1:] for item in known}) != 1 or len({t.shape[1:] for t in targets}) != 1:
        return None
    if any(not t.dim() or len(t) != len(x) for x, t in zip(known, targets, strict=True)):
        return None
    return torch.cat(known), torch.cat(targets)


@dataclass(frozen=True)
class RollLabels(LossChange):
    """Targets are moved along by so many examples of the minibatch."""

    by: int = 1

    @property
    def title(self) -> str:
        return f"labels moved along by {self.by}"

    def loss(
        self, live: Live, function: Any, given: Tensor, target: Tensor, rest: dict[str, Any]
    ) -> Any:
        return function(given, target.roll(self.by, 0), **rest)


@dataclass(frozen=True)
class GoOn(Change):
    """A pass over a DataLoader that is begun again and again goes on where it was."""

    @property
    def title(self) -> str:
        return "the next minibatch in place of the first"

    def meet(self, live: Live, network: nn.Module) -> None:
        if live.memory(self).setdefault("patched", False):
            return
        live.memory(self)["patched"] = True
        original = DataLoader.__iter__
        running: dict[int, Any] = {}

        def iterate(loader: Any) -> Any:
            key = id(loader)
            if key not in running:
                running[key] = original(loader)
            return _Continued(lambda: original(loader), running, key)

        DataLoader.__iter__ = iterate  # type: ignore[method-assign]


class _Continued:
    """An iterator that continues the one before."""

    def __init__(self, begin: Callable[[], Any], running: dict[int, Any], key: int) -> None:
        self._begin, self._running, self._key = begin, running, key
        self._given = False

    def __iter__(self) -> _Continued:
        return self

    def __next__(self) -> Any:
        try:
            found = next(self._running[self._key])
        except StopIteration:
            self._running[self._key] = self._begin()
            if self._given:
                raise
            found = next(self._running[self._key])
        self._given = True
        return found


@dataclass(frozen=True)
class OneOrder(Change):
    """Permutations that the script draws are the same for the same length, or none at all.

    Inputs and labels that were shuffled apart belong together again.
    """

    at_setup: ClassVar[bool] = True
    none: bool = False

    @property
    def title(self) -> str:
        if self.none:
            return "inputs and labels left in their order"
        return "one order for inputs and labels"

    def _order(self, size: int) -> Any:
        if self.none:
            return np.arange(size)
        return np.random.RandomState(size).permutation(size)

    def set_up(self) -> None:
        torch.randperm = _if_own(self._tensor, torch.randperm)
        np.random.permutation = _if_own(self._array, np.random.permutation)
        np.random.shuffle = _if_own(self._in_place, np.random.shuffle)
        random.shuffle = _if_own(self._in_place, random.shuffle)
        np.random.default_rng = _if_own(self._generator, np.random.default_rng)

    def _tensor(self, n: int, *_args: Any, **_kwargs: Any) -> Tensor:
        return torch.from_numpy(self._order(n)).long()

    def _array(self, x: Any) -> Any:
        if isinstance(x, int | np.integer):
            return self._order(int(x))
        return np.asarray(x)[self._order(len(x))]

    def _in_place(self, x: Any) -> None:
        found = [x[place] for place in self._order(len(x))]
        x[:] = found if isinstance(x, list) else np.asarray(found)

    def _generator(self, seed: Any = None) -> Any:
        return _OneGenerator(np.random.PCG64(seed), self)


class _OneGenerator(np.random.Generator):
    """Draws permutations of one kind alone."""

    def __init__(self, bits: Any, change: OneOrder) -> None:
        super().__init__(bits)
        self._change = change

    def permutation(self, x: Any, axis: int = 0) -> Any:
        if isinstance(x, int | np.integer):
            return self._change._order(int(x))
        return np.take(np.asarray(x), self._change._order(np.asarray(x).shape[axis]), axis)

    def shuffle(self, x: Any, axis: int = 0) -> None:
        self._change._in_place(x)


def _if_own(ours: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """Ours where the user's own code calls, else the original."""

    def call(*args: Any, **kwargs: Any) -> Any:
        own = is_users(sys._getframe(1).f_code.co_filename)
        return (ours if own else original)(*args, **kwargs)

    return call


@dataclass(frozen=True)
class RollDataset(Change):
    """The labels of a TensorDataset are moved along."""

    at_setup: ClassVar[bool] = True
    by: int = 1

    @property
    def title(self) -> str:
        return f"labels of the data set moved along by {self.by}"

    def set_up(self) -> None:
        original = TensorDataset.__init__
        by = self.by

        def init(data: Any, *tensors: Tensor) -> None:
            if len(tensors) > 1:
                tensors = (*tensors[:-1], tensors[-1].roll(by, 0))
            original(data, *tensors)

        TensorDataset.__init__ = init  # type: ignore[method-assign, assignment]


@dataclass(frozen=True)
class MatchStatistics(Change):
    """What is evaluated on is brought to the mean and variance of what is trained on."""

    @property
    def title(self) -> str:
        return "evaluation inputs on the scale of the training inputs"

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        place = _first_float(args)
        if not live.held_back or place is None or network is not live.root:
            return args, kwargs
        memory = live.memory(self)
        if "train" not in memory:
            memory["train"] = _statistics(live.yardstick.pool if live.yardstick else [])
            memory["held"] = _statistics(live.yardstick.held if live.yardstick else [])
        if memory["train"] is None or memory["held"] is None:
            return args, kwargs
        (mean, std), (other, spread) = memory["train"], memory["held"]
        value = (args[place].double() - other) / spread * std + mean
        return (*args[:place], value.to(args[place].dtype), *args[place + 1 :]), kwargs


def _statistics(items: list[Any]) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation of all features together, per feature where there are few."""
    found = [item.inputs for item in items[:100]]
    kept = [item for item in found if item is not None and item.is_floating_point() and item.dim()]
    if not kept or len({item.shape[1:] for item in kept}) != 1:
        return None
    pooled = torch.cat(kept).double()
    axes = _axes(pooled)
    std, mean = torch.std_mean(pooled, axes, correction=0, keepdim=True)
    return mean, torch.where(std > _FLOOR, std, torch.ones_like(std))


_NORMAL = ("randn_like", "randn", "normal", "normal_")
_UNIFORM = ("rand_like", "rand", "bernoulli", "uniform_", "bernoulli_")


@dataclass(frozen=True)
class NoNoise(Change):
    """Random numbers that the script itself draws while it trains are all the same.

    Args:
        uniform: what stands for numbers drawn from [0, 1); those of a normal distribution are 0.
    """

    hears: ClassVar[bool] = True
    uniform: float = 0.5

    @property
    def title(self) -> str:
        return f"no random numbers in the training loop ({self.uniform:g} in place of uniform ones)"

    def meet(self, live: Live, network: nn.Module) -> None:
        if live.memory(self).setdefault("patched", False):
            return
        live.memory(self)["patched"] = True
        for name in ("randn", "standard_normal", "rand", "random"):
            value = 0.0 if "n" in name and name != "random" and name != "rand" else self.uniform
            setattr(np.random, name, _steady(getattr(np.random, name), value, live))

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        if live.busy or not live.networks:
            return NotImplemented
        name = str(getattr(function, "__name__", ""))
        if name not in (*_NORMAL, *_UNIFORM):
            return NotImplemented
        value = 0.0 if name in _NORMAL else self.uniform
        if name in ("bernoulli", "bernoulli_"):
            value = round(self.uniform)
        found = function(*args, **kwargs)
        return found.fill_(value) if name.endswith("_") else torch.full_like(found, value)


def _steady(original: Callable[..., Any], value: float, live: Live) -> Callable[..., Any]:
    def drawn(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        if live.busy or not is_users(sys._getframe(1).f_code.co_filename):
            return found
        return found * 0 + value

    return drawn


@dataclass(frozen=True)
class MoreSteps(Change):
    """Training goes on behind the end of the script, on minibatches that were captured.

    Args:
        times: how many times as many steps in all.
        most: steps that are added at most.
        within: extra steps within each step instead: smaller minibatches of its own examples.
    """

    times: float = 5.0
    most: int = 2000
    within: int = 0

    @property
    def title(self) -> str:
        if self.within:
            return f"{self.within + 1} updates in place of one, on parts of the minibatch"
        return f"{self.times:g} times as many steps"

    def after_step(self, live: Live, optimizer: Any) -> None:
        if self.within and not live.busy and optimizer is live.optimizers[0]:
            for _ in range(self.within):
                self._step(live, live.memory(self).setdefault("count", 0), 64)

    def go_on(self, live: Live) -> None:
        """The script has ended."""
        if self.within or not live.optimizers:
            return
        for count in range(min(self.most, int((self.times - 1) * live.step))):
            if not self._step(live, count, 0):
                return
            live.count()

    def _step(self, live: Live, count: int, examples: int) -> bool:
        """One update on a captured minibatch, or on a part of it."""
        live.memory(self)["count"] = count + 1
        stick = live.yardstick
        root = live.root
        if stick is None or not stick.pool or root is None:
            return False
        item = stick.pool[count % len(stick.pool)]
        function = getattr(F, stick.function, None)
        if function is None or item.leaf < 0:
            return False
        args, target = item.args, item.target
        if examples and len(target) > examples:
            chosen = torch.randperm(len(target))[:examples]
            args = tuple(_part(arg, chosen, len(target)) for arg in args)
            target = target[chosen]
        if any(isinstance(change, Resupply) and change.shuffled for change in live.changes):
            target = target[torch.randperm(len(target))]  # the control: nothing to be learned
        live.busy = True
        try:
            modes = [module.training for module in root.modules()]
            root.train()
            with torch.enable_grad():
                value = tensors_of(root(*args, **item.kwargs))[item.leaf]
                for link in item.links:
                    value = link.follow(value)
                for optimizer in live.optimizers:
                    optimizer.zero_grad()
                loss = function(value, target)
                loss.backward()
            for optimizer in live.optimizers:
                optimizer.step()
            for module, mode in zip(root.modules(), modes, strict=True):
                module.training = mode
        finally:
            live.busy = False
        live.totals.append(float(loss.detach()))
        return True


def _part(value: Any, chosen: Tensor, size: int) -> Any:
    if isinstance(value, Tensor) and value.dim() and len(value) == size:
        return value[chosen]
    return value
