"""Scout: runs ahead unchanged, and brings home minibatches, the loss and the pace."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.diagnosis.budget import Budget, Level
from chainrule.diagnosis.examples import Examples
from chainrule.diagnosis.losses import LossCall
from chainrule.diagnosis.models import Cast
from chainrule.diagnosis.replaying.layout import layout_of
from chainrule.diagnosis.replaying.minibatch import Minibatch, heard_of, minibatch_of
from chainrule.diagnosis.replaying.supply import cut_from, supply_of
from chainrule.diagnosis.replaying.traits import Happening, Trait
from chainrule.diagnosis.replaying.yardstick import (
    Yardstick,
    yardstick_of,
)
from chainrule.diagnosis.series import fingerprint
from chainrule.diagnosis.turn import Follower, Turn
from chainrule.diagnosis.watcher import Watcher

_MOST, _BYTES = 400, 24 * 2**20
_REPEATED = 4  # minibatches, all the same


@dataclass(frozen=True)
class Scouted:
    """What a scout brings home.

    Attributes:
        steps: updates that it saw; all there are if ``finished``.
        seconds: that they took.
        finished: whether the script came to its end.
        pace: seconds of a step.
        minibatches: captured.
        task: of the yardstick; "" where there is none.
        examples: in a minibatch.
        passes: networks that ran in the first step.
        file: with the yardstick.
        traits: of the network before its first step.
        happenings: layers and functions in the order of a forward pass.
        classes: values of the targets; empty for numbers.
        shares: of the classes, in the minibatches captured.
        held: examples that the script evaluates on, where it was seen.
        held_scale: how far their inputs' mean and spread are from those of training, in standard
            deviations (mean) or as a logarithm (spread), the larger; NaN where unknown.
        held_layout: how the features of those inputs have to be laid to be like those of training,
            with how far apart their means are (standard deviations) as they are and then.
        distinct: different minibatches among the captured.
        supply: examples that there are besides, where it is always the same minibatch; 0 where none
            were found.
        why: why there is no yardstick.
    """

    steps: int
    seconds: float
    finished: bool
    pace: float = math.nan
    minibatches: int = 0
    task: str = ""
    examples: int = 0
    passes: int = 0
    file: str = ""
    why: str = ""
    traits: tuple[Trait, ...] = ()
    happenings: tuple[Happening, ...] = ()
    classes: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    distinct: int = 0
    supply: int = 0
    held: int = 0
    held_scale: float = math.nan
    held_layout: tuple[str, float, float] = ("", math.nan, math.nan)


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
    held: list[Minibatch] = field(default_factory=list)
    call: LossCall | None = None
    examples: Examples = field(default_factory=Examples)
    cast: Cast = field(default_factory=Cast)
    networks: list[nn.Module] = field(default_factory=list)
    supply: tuple[Tensor, Tensor] | None = None
    passes: int = 0
    why: str = "no loss call was recognised"
    budget: Eager = field(default_factory=Eager)
    _bytes: int = 0
    _begun: float = field(default_factory=time.perf_counter)
    alarm: bool = False
    turns: list[frozenset[int]] = field(default_factory=list)  # networks that ran together
    several: bool = False  # whether the network runs several times for one call of backward

    def watcher(self) -> Watcher:
        """A watcher that tells this scout."""
        watcher = Watcher(self, self.budget)
        watcher.hears_within = watcher.several = True
        return watcher

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
        self._note(turn)
        call = turn.heaviest or turn.calls[-1]
        found = None
        if len(turn.passes) > 1:
            found = heard_of(turn, self.networks)
            self.why = f"{len(turn.passes)} networks take part in a step"
        elif not turn.passes[0].transformed:
            found = minibatch_of(turn.passes[0], call, turn.trail, self.networks)
        if found is None or (self.pool and found.networks != self.pool[0].networks):
            return
        if self.call is None:
            self.call = dataclasses.replace(
                call, input=call.input.detach(), output=call.output.detach(), again=None
            )
        self.pool.append(found)
        self._bytes += found.size
        if len(self.pool) == _REPEATED and distinct(self.pool) == 1:
            with suppress(Exception):  # whatever a script keeps in its variables
                self.supply = supply_of(found, sys._getframe(1), self.cast)
        late = time.perf_counter() - self._begun > self.seconds
        if len(self.pool) >= _MOST or self._bytes > _BYTES or late:
            self.budget.enough = True

    def _note(self, turn: Turn) -> None:
        """Which networks take turns."""
        together = frozenset(id(item.model) for item in turn.passes)
        if not self.turns or self.turns[-1] != together:
            self.turns.append(together)

    def turn_ends(self, turn: Turn) -> None:
        """Examples for the look at the start."""
        if not self.examples.full:
            self.examples.add(turn)

    def examined(self) -> list[Minibatch]:
        """The minibatches to measure on: of a script that knows only one, others like it."""
        repeated = self.supply is not None and distinct(self.pool) == 1
        return cut_from(self.pool[0], self.supply) if self.supply and repeated else self.pool

    def yardstick(self) -> Yardstick:
        """From what was captured; without a task where there is nothing to compare."""
        if self.several:
            self.why = "the network runs several times for one loss"
        if not self.pool or self.call is None or self.several:
            return Yardstick()
        alike = len(self.pool[0].networks) > 1 and _constant(self.pool)
        if alike or len(set(self.turns)) < len(self.turns):
            self.why = "several networks are trained in turn, perhaps against each other"
            return Yardstick()
        found = yardstick_of(self.examined(), self.call)
        found.held = self.held
        return found


def scouted(scout: Scout, yardstick: Yardstick, file: str, **facts: Any) -> Scouted:
    """The report of a scout."""
    classes, shares = yardstick.shares()
    if len(yardstick.networks) > 1:  # what the first one ends with is no output
        steps = [dataclasses.replace(item, output=False) for item in facts["happenings"]]
        facts["happenings"] = tuple(steps)
    return Scouted(
        held=sum(item.examples for item in scout.held), held_scale=_apart(scout),
        held_layout=layout_of(scout.pool, scout.held),
        classes=classes, shares=shares, distinct=distinct(scout.pool),
        supply=0 if scout.supply is None else len(scout.supply[0]),
        minibatches=len(scout.pool), task=yardstick.task, passes=scout.passes, file=file,
        examples=scout.pool[0].examples if scout.pool else 0,
        why="" if yardstick.task else scout.why, **facts,
    )  # fmt: skip


def _constant(pool: list[Minibatch]) -> bool:
    """Whether there is nothing to tell apart."""
    return all(bool((item.target == pool[0].target.flatten()[0]).all()) for item in pool)


def distinct(pool: list[Minibatch]) -> int:
    """How many different minibatches there are among the captured."""
    seen = {
        fingerprint(item.inputs) for item in pool if item.inputs is not None
    }  # fmt: skip
    return len(seen)


def _apart(scout: Scout) -> float:
    """How far the scale of what is evaluated on is from that of what is trained on."""
    sets = []
    for items in (scout.pool[:50], scout.held):
        found = [item.inputs for item in items if item.inputs is not None]
        kept = [item.double().flatten() for item in found if item.is_floating_point()]
        if not kept:
            return math.nan
        together = torch.cat(kept)
        sets.append((float(together.mean()), float(together.std()) + 1e-12))
    (mean, std), (other, spread) = sets
    return max(abs(mean - other) / std, abs(math.log(spread / std)))
