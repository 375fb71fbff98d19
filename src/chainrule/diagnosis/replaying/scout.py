"""Scout: runs ahead unchanged, and brings home minibatches, the loss and the pace."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from chainrule.diagnosis.budget import Budget, Level
from chainrule.diagnosis.examples import Examples
from chainrule.diagnosis.losses import LossCall
from chainrule.diagnosis.replaying.traits import Happening, Trait
from chainrule.diagnosis.replaying.yardstick import Minibatch, Yardstick, minibatch_of, yardstick_of
from chainrule.diagnosis.series import fingerprint
from chainrule.diagnosis.turn import Follower, Turn
from chainrule.diagnosis.watcher import Watcher

_MOST, _BYTES = 400, 24 * 2**20


@dataclass(frozen=True)
class Scouted:
    """What a scout brings home.

    Attributes:
        steps: updates that it saw; all there are if ``finished``.
        seconds: that they took.
        finished: whether the script came to its end.
        minibatches: captured.
        task: of the yardstick; "" where there is none.
        examples: in a minibatch.
        passes: networks that ran in the first step.
        calls: forward passes before the first that was trained on.
        file: with the yardstick.
        traits: of the network before its first step.
        happenings: layers and functions in the order of a forward pass.
        classes: values of the targets; empty for numbers.
        shares: of the classes, in the minibatches captured.
        distinct: different minibatches among the captured.
        why: why there is no yardstick.
    """

    steps: int
    seconds: float
    finished: bool
    minibatches: int = 0
    task: str = ""
    examples: int = 0
    passes: int = 0
    calls: int = 0
    file: str = ""
    why: str = ""
    traits: tuple[Trait, ...] = ()
    happenings: tuple[Happening, ...] = ()
    classes: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    distinct: int = 0


class Eager(Budget):
    """Every step is heard with its minibatch and loss until there are enough."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.enough = False

    def level(self, step: int, alarm: bool = False) -> Level:
        if self.enough:
            self.wake, self.wake_step = float("inf"), 10**18
            return Level.BARE
        return Level.LIGHT


@dataclass(eq=False)
class Scout(Follower):
    """Captures minibatches from what a watcher hears."""

    seconds: float = 2.5
    pool: list[Minibatch] = field(default_factory=list)
    call: LossCall | None = None
    examples: Examples = field(default_factory=Examples)
    passes: int = 0
    why: str = "no loss call was recognised"
    budget: Eager = field(default_factory=Eager)
    _bytes: int = 0
    _begun: float = field(default_factory=time.perf_counter)
    alarm: bool = False

    def watcher(self) -> Watcher:
        """A watcher that tells this scout."""
        return Watcher(self, self.budget)

    def broken(self, error: Exception) -> None:
        """The watch has failed."""
        self.why = f"{type(error).__name__}: {error}"

    def backward_begins(self, turn: Turn, total: Tensor) -> None:
        """A minibatch has been run and its loss computed."""
        if turn.step == 1 and len(turn.backwards) == 1:
            self.passes = len(turn.passes)
            self.examples.keep_network(turn)
        if not turn.calls or not turn.passes:
            self.why = "no loss call was recognised" if turn.passes else "no network was recognised"
            return
        call = turn.calls[-1]
        found = None
        if len(turn.passes) == 1 and not turn.passes[0].transformed:
            found = minibatch_of(turn.passes[0], call, turn.trail)
        else:
            self.why = f"{len(turn.passes)} networks take part in a step"
        if found is None:
            return
        if self.call is None:
            self.call = dataclasses.replace(
                call, input=call.input.detach(), output=call.output.detach(), again=None
            )
        self.pool.append(found)
        self._bytes += found.size
        late = time.perf_counter() - self._begun > self.seconds
        if len(self.pool) >= _MOST or self._bytes > _BYTES or late:
            self.budget.enough = True

    def turn_ends(self, turn: Turn) -> None:
        """Examples for the look at the start."""
        if not self.examples.full:
            self.examples.add(turn)

    def yardstick(self) -> Yardstick:
        """From what was captured; without a task where there is nothing to compare."""
        if not self.pool or self.call is None:
            return Yardstick()
        return yardstick_of(self.pool, self.call)


def scouted(scout: Scout, yardstick: Yardstick, file: str, **facts: Any) -> Scouted:
    """The report of a scout."""
    classes, shares = yardstick.shares()
    return Scouted(
        classes=classes, shares=shares, distinct=_distinct(scout.pool),
        minibatches=len(scout.pool), task=yardstick.task, passes=scout.passes, file=file,
        examples=scout.pool[0].examples if scout.pool else 0,
        why="" if yardstick.task else scout.why, **facts,
    )  # fmt: skip


def _distinct(pool: list[Minibatch]) -> int:
    """How many different minibatches there are among the captured."""
    seen = {
        fingerprint(item.inputs) for item in pool if item.inputs is not None
    }  # fmt: skip
    return len(seen)
