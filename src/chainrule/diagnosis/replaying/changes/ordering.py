"""Ordering: changes of which examples come together: order, pairing, size of minibatches."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from chainrule.analysis.running import tensors_of
from chainrule.diagnosis.places import is_users
from chainrule.diagnosis.replaying.change import Args, Change, Keywords
from chainrule.diagnosis.replaying.changes.losing import LossChange, name_of_function
from chainrule.diagnosis.replaying.messages import IMPOSSIBLE

if TYPE_CHECKING:
    from chainrule.diagnosis.replaying.live import Live


@dataclass(frozen=True)
class Resupply(LossChange):
    """Minibatches are drawn at random from all that the scout has seen.

    Args:
        examples: in a minibatch; 0 for as many as before.
    """

    examples: int = 0

    @property
    def title(self) -> str:
        size = f" of {self.examples} examples" if self.examples else ""
        return f"minibatches{size} drawn at random"

    def _pool(self, live: Live) -> tuple[Tensor, Tensor] | None:
        memory = live.memory(self)
        if "pool" not in memory:
            memory["pool"] = pooled(live)
            memory["generator"] = torch.Generator().manual_seed(17 + live.job.reseed)
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
        if pool is None:
            live.finish(IMPOSSIBLE, "minibatches cannot be drawn: inputs are not one tensor")
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

        # on the class, for loaders that are made later, too; this process ends with the replay
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

        # on the class: the script has yet to make its data sets
        TensorDataset.__init__ = init  # type: ignore[method-assign, assignment]
