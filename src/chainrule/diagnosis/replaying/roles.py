"""Roles: what scouts and baselines do besides running."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from chainrule.analysis.running import tensors_of
from chainrule.analysis.tracer import same_random_state
from chainrule.diagnosis.beginning import start_of
from chainrule.diagnosis.budget import Budget
from chainrule.diagnosis.keeping import Keeping
from chainrule.diagnosis.marker import Marker
from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.replaying.evaluations import Evaluations
from chainrule.diagnosis.replaying.live import Live, evaluating
from chainrule.diagnosis.replaying.messages import ReplayJob, StageJob
from chainrule.diagnosis.replaying.scout import Scout, scouted
from chainrule.diagnosis.replaying.traits import (
    Happening,
    Trait,
    happenings_of,
    traits_of,
)
from chainrule.diagnosis.taps import Taps
from chainrule.diagnosis.watch import Watching

Tell = Callable[[tuple[Any, ...]], None]
_START_SECONDS = 3.0
_SHARE = 0.3
_PASSES = 8  # that are looked at between two calls of backward


def scouting(live: Live, job: ReplayJob, stage: StageJob, tell: Tell) -> None:
    """Make a replay the scout: it hears every step until it has minibatches enough."""
    scout = Scout(seconds=min(1.0 if job.brief else 2.5, job.seconds * 0.6))
    watcher = scout.watcher()
    watcher.cast = scout.cast = live.cast
    scout.networks = live.networks  # grows as they are met
    watcher.marker = Marker(live.cast)
    taps = Taps(watcher)
    taps.open()
    watcher.start()
    live.watchers.append(watcher)
    begun = time.perf_counter()

    look = Look(Evaluations(scout))
    live.changes = (look,)

    def report(why: str) -> None:
        look.evaluations.end()
        seconds = time.perf_counter() - begun
        watcher.stop()
        taps.close()
        yardstick = scout.yardstick()
        file = str(Path(stage.scratch) / f"yardstick-{stage.number}.pickle")
        try:
            Path(file).write_bytes(pickle.dumps(yardstick))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            scout.why = f"what was captured cannot be kept: {error}"
            yardstick = type(yardstick)()
            Path(file).write_bytes(pickle.dumps(yardstick))
        found = scouted(
            scout, yardstick, file, steps=live.step, seconds=seconds, finished=why == "script",
            pace=look.pace(seconds, live.step),
            traits=tuple(look.traits), happenings=tuple(look.happened),
        )  # fmt: skip
        tell(("scouted", found))
        if not job.brief:
            tell(("start", start_of(scout.examples, _START_SECONDS)))

    live.ended = report
    if job.brief:
        live.stepped = lambda live: live.finish("steps") if look.has_enough(job) else None


@dataclass(frozen=True, eq=False)
class Look(Change):
    """Changes nothing: sees the network before its first step, and what it is evaluated on."""

    evaluations: Evaluations
    traits: list[Trait] = field(default_factory=list)
    happened: list[Happening] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # of steps of which nothing was heard

    def meet(self, live: Live, network: nn.Module) -> None:
        self.traits.extend(traits_of(network))

    def forward(
        self, live: Live, network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not self.happened and live.training and not live.busy:
            with (
                suppress(Exception), torch.no_grad(), same_random_state(), live.alone(),
                evaluating([network]),
            ):  # fmt: skip
                self.happened.extend(happenings_of(network, args, kwargs))
        own = self.evaluations.concerns(network, live.networks)
        if live.training or own:  # a further network goes on with the evaluation
            self.evaluations.end()
            live.memory(self)["given"] = (args, kwargs)
        return args, kwargs

    def returned(self, live: Live, network: nn.Module, output: Any) -> Any:
        own = self.evaluations.concerns(network, live.networks)
        if not live.training and not live.busy and own and live.step:
            self.evaluations.begin(network, live.memory(self)["given"], output)
        if live.training and not live.busy and own:
            ends = live.memory(self).setdefault("ends", [])
            ends.append({item.grad_fn for item in tensors_of(output) if item.grad_fn is not None})
            del ends[:-_PASSES]  # each holds a graph
        return output

    def after_step(self, live: Live, optimizer: Optimizer) -> None:
        if self.evaluations.enough:
            self.times.append(time.perf_counter())

    def has_enough(self, job: ReplayJob) -> bool:
        """Whether a scout in a hurry has what is wanted of it."""
        return self.evaluations.enough and (self.evaluations.seen or not job.evaluation)

    def pace(self, seconds: float, steps: int) -> float:
        """Seconds of a step, of those that were not heard if there are enough."""
        if len(self.times) > 20:
            return (self.times[-1] - self.times[0]) / (len(self.times) - 1)
        return seconds / max(steps, 1)

    def backward(self, live: Live, total: Tensor) -> Tensor:
        self.evaluations.end()
        ends = live.memory(self).pop("ends", [])
        if len(ends) > 1:
            self.evaluations.note_passes(_taking_part(ends, total))
        return total


def _taking_part(ends: list[set[Any]], total: Tensor) -> int:
    """How many of the forward passes lead to a number; those of an evaluation do not."""
    seen: set[Any] = set()
    waiting: list[Any] = [total.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting.extend(item for item, _ in node.next_functions)
    return sum(bool(end & seen) for end in ends)


def watching(
    live: Live, job: ReplayJob, tell: Tell, leave_copy: Callable[[Live, Callable[[], None]], None]
) -> None:
    """Make a replay the baseline: symptoms are read while it runs, and copies of it are left."""
    watch = Watching(None, Budget(_SHARE, 3), Keeping(None), spectator=_Silent())
    watch.share_cast(live.cast)
    watch.start()
    live.watchers.append(watch.ear)

    def stepped(live: Live) -> None:
        if live.step == job.watched:
            tell(("watched", watch.glance()))
        if live.step in job.late:
            leave_copy(live, watch.stop)

    def ended(_why: str) -> Any:
        return watch.glance()

    live.stepped, live.ended = stepped, ended


class _Silent:
    """Nobody is told while the watch lasts."""

    def stepped(self, watching: Watching) -> None:
        """Nothing."""

    def found(self, finding: Any) -> None:
        """Nothing."""

    def broken(self, message: str) -> None:
        """Nothing."""
