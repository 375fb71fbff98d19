"""Live: a replay while it runs; hands what happens to the changes and lays the yardstick on."""

from __future__ import annotations

import math
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from chainrule.analysis.running import first_tensor
from chainrule.analysis.tracer import same_random_state
from chainrule.diagnosis.ear import Ear
from chainrule.diagnosis.marker import Marker
from chainrule.diagnosis.models import Cast
from chainrule.diagnosis.opaque import within_transform
from chainrule.diagnosis.parameters import held
from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.replaying.messages import Reading, ReplayJob
from chainrule.diagnosis.replaying.minibatch import Minibatch
from chainrule.diagnosis.replaying.stand import PlayTaps, Stand
from chainrule.diagnosis.replaying.yardstick import Yardstick
from chainrule.diagnosis.tail import Tail

_BY_HAND = 20  # calls of ``backward`` without an optimizer's step: the loop updates by itself


class Live:
    """The listener of a replay.

    Args:
        job: what is to be run.
        cast: networks, optimizers and loaders that were met before the pause.
        yardstick: is laid on at the job's marks; None for none.
        tell: sends a message to the conductor.

    Attributes:
        step: updates made.
        networks: those that were called with gradients, in order.
        training: whether the forward pass that is running is one of training.
        busy: whether it is run by us.
        held_back: whether it is run on what the script evaluates on.
    """

    def __init__(
        self,
        job: ReplayJob,
        cast: Cast,
        yardstick: Yardstick | None,
        tell: Callable[[tuple[Any, ...]], None],
    ) -> None:
        self.job, self.cast, self.yardstick, self._tell = job, cast, yardstick, tell
        self.changes = job.changes
        self.step = self.backwards = 0
        self.networks: list[nn.Module] = []
        self.training = self.busy = self.held_back = False
        self.inside = 0  # depth of the forward passes
        self.totals: list[float] = []
        self.optimizers: list[Optimizer] = []
        self.stepped: Callable[[Live], None] = lambda _live: None
        self.ended: Callable[[str], Any] = lambda _why: None
        self.watchers: list[Any] = []  # deaf while the network is run by us
        self._memory: dict[Change, dict[str, Any]] = {}
        self._known: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self._own = Cast()  # counts apart from a watcher that may share the other
        self._marker = Marker(self._own)
        self._born: weakref.WeakKeyDictionary[Optimizer, int] = weakref.WeakKeyDictionary()
        self._marks = set(job.marks)
        self._begun = time.perf_counter()
        self._spent = 0.0
        self._since = 0
        self._depth = 0
        self.taps = PlayTaps(self)
        self._mode: Stand | None = None
        self._at_start = False

    def memory(self, change: Change) -> dict[str, Any]:
        """What a change remembers during this replay."""
        return self._memory.setdefault(change, {})

    def open(self) -> None:
        """Begin."""
        self.taps.open()
        hearing = [change for change in self.changes if change.hears]
        if hearing:
            self._mode = Stand(self, hearing)
            # PyTorch leaves both ends of its modes without types
            self._mode.__enter__()  # type: ignore[no-untyped-call]
        self._at_start = 0 in self._marks

    def restart(self, job: ReplayJob, tell: Callable[[tuple[Any, ...]], None]) -> None:
        """In a fork from the middle of a run: go on as another replay."""
        self.job, self._tell, self.changes = job, tell, job.changes
        self._marks, self._memory, self.totals = set(job.marks), {}, []
        self._since, self._begun = 0, time.perf_counter()
        self.stepped, self.ended = (lambda _live: None), (lambda _why: None)
        for network in self.networks:
            for change in self.changes:
                change.meet(self, network)
        self.open()

    def close(self) -> None:
        """Let go of PyTorch again; a replay in a process of its own has no need to."""
        if self._mode is not None:
            self._mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self._mode = None
        self.taps.close()

    @property
    def root(self) -> nn.Module | None:
        """The network that gets the minibatches."""
        first = 0 if self.yardstick is None else self.yardstick.first
        return self.networks[first] if first < len(self.networks) else None

    @property
    def speaker(self) -> nn.Module | None:
        """The network whose output goes into the loss."""
        last = 0 if self.yardstick is None else self.yardstick.networks[-1]
        return self.networks[last] if last < len(self.networks) else None

    @property
    def complete(self) -> bool:
        """Whether all networks that take part have been met."""
        needed = (0,) if self.yardstick is None else self.yardstick.networks
        return max(needed) < len(self.networks)

    # -- forward

    def called(self, original: Any, module: nn.Module, args: Any, kwargs: Any) -> Any:
        """A module is called; of those inside others nothing is changed."""
        if self.inside or self._depth or torch.compiler.is_compiling():  # depth: recomputed
            return original(module, *args, **kwargs)
        first = next(module.parameters(), None)
        if first is None or first.is_meta:
            return original(module, *args, **kwargs)
        if not self.busy:
            self.training = torch.is_grad_enabled()
        if self.training and module not in self._known:
            self._meet(module)
        for change in self.changes:
            args, kwargs = change.forward(self, module, args, kwargs)
        self.inside += 1
        try:
            output = original(module, *args, **kwargs)
        finally:
            self.inside -= 1
        for change in self.changes:
            output = change.returned(self, module, output)
        return output

    def _meet(self, module: nn.Module) -> None:
        self._known.add(module)
        self.networks.append(module)
        for change in self.changes:
            change.meet(self, module)
        if self._at_start and self.complete:
            self._at_start = False
            self.read()

    # -- the yardstick

    def read(self) -> Reading | None:
        """Lay the yardstick on."""
        if self.yardstick is None or not self.yardstick.task or not self.complete:
            return self._read_totals()
        begun = time.perf_counter()
        held = math.nan
        try:
            with torch.no_grad(), same_random_state(), self.alone():
                with evaluating(self.networks):
                    loss, error, skill = self.yardstick.measure(self._say)
                held = self._read_held()
        except Exception as failure:  # noqa: BLE001 - a changed network may fail in any way
            self._tell(("note", f"the yardstick failed: {type(failure).__name__}: {failure}"))
            loss, error, skill = math.nan, None, math.nan
        self._spent += time.perf_counter() - begun
        reading = Reading(self.step, loss, error, skill, self._mean_total(), held)
        self._tell(("reading", reading))
        return reading

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside, the network is run by us: no change counts steps, no watcher hears it."""
        before, self.busy, self.training = self.training, True, False
        ears = [item for item in self.watchers if not item.inside]
        for item in ears:
            item.inside = True
        try:
            yield
        finally:
            self.busy, self.training = False, before
            for item in ears:
                item.inside = False

    def _read_held(self) -> float:
        """Skill on what the script evaluates on, in the mode in which it does so."""
        if self.yardstick is None or not self.yardstick.held:
            return math.nan
        mode = self.yardstick.held[0].training and not any(
            change.settles_mode for change in self.changes
        )
        self.held_back = True
        try:
            with evaluating(self.networks, mode):
                return self.yardstick.measure(self._say, self.yardstick.held)[2]
        finally:
            self.held_back = False

    def _read_totals(self) -> Reading | None:
        reading = Reading(self.step, math.nan, None, math.nan, self._mean_total())
        self._tell(("reading", reading))
        return reading

    def _mean_total(self) -> float:
        recent = self.totals[self._since :]
        self._since = len(self.totals)
        return sum(recent) / len(recent) if recent else math.nan

    def _say(self, item: Minibatch) -> Tensor | None:
        root = self.root
        if root is None:
            return None
        if item.leaf < 0:
            return self._say_inside(root, item)
        value = item.said(self.networks)
        if value is None:
            return None
        for change in reversed(self.changes):
            value = change.read(self, value)
        return value

    def _say_inside(self, root: nn.Module, item: Minibatch) -> Tensor | None:
        """What the loss inside the network is given."""
        tail = Tail()
        tail.begin(item.target)
        ear = Ear(lambda function, args, kwargs, output: tail.hear(function, args, kwargs, output))
        with ear:
            root(*item.args, **item.kwargs)
        call = next((call for call in reversed(tail.calls) if not call.written_out), None)
        return None if call is None else call.input

    # -- backward

    def backward(self, tensors: Any) -> Any:
        """``backward`` is called: gives the number that it is to be called on."""
        if self.busy or self._depth or not isinstance(tensors, Tensor) or within_transform(tensors):
            return tensors
        self.backwards += 1
        if tensors.numel() == 1:
            self.totals.append(float(tensors.detach()))
        for change in self.changes:
            tensors = change.backward(self, tensors)
        return tensors

    def before_backward(self, tensors: Any) -> None:
        """Gradients are about to be computed."""
        self._depth += 1

    def after_backward(self) -> None:
        """Gradients have been computed."""
        self._depth -= 1
        if self._depth or self.busy:
            return
        for change in self.changes:
            change.gradients(self)
        if not self._marker.is_known and (not self.cast.rules or self.backwards > _BY_HAND):
            self._stepped()

    def before_grad(self, outputs: Any, inputs: Any, higher: bool) -> bool:
        """``torch.autograd.grad``: of a step if it is called on parameters."""
        leaf = first_tensor(inputs)
        if self.busy or self._depth or higher or leaf is None or within_transform(leaf):
            return False
        if not (leaf.is_leaf and leaf.requires_grad):
            return False
        self.backwards += 1
        total = first_tensor(outputs)
        if total is not None and total.numel() == 1:
            self.totals.append(float(total.detach()))
        self._depth += 1
        return True

    # -- updates

    def before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """An optimizer is about to update."""
        if self.busy:
            return
        if not any(item is optimizer for item in self.optimizers):
            self._take_in(optimizer)
        for change in self.changes:
            change.before_step(self, optimizer)

    def _take_in(self, optimizer: Optimizer) -> None:
        """An optimizer's first step; one over the same weights as another takes its place."""
        parts = held([optimizer])
        for place, other in enumerate(self.optimizers):
            if list(map(id, held([other]))) == list(map(id, parts)):
                self.optimizers[place] = optimizer
                return
        self.optimizers.append(optimizer)

    def after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """An optimizer has updated."""
        if self.busy:
            return
        for change in sorted(self.changes, key=lambda item: item.late):
            change.after_step(self, optimizer)
        rule = self._own.rule(optimizer)
        if not rule.steps:
            rule.born = self._born.get(optimizer, 0)
        rule.steps += 1
        rule.last = self.step + 1
        if self._marker.stepped(optimizer):
            self._stepped()

    def _stepped(self) -> None:
        self.step += 1
        if self.step in self._marks:
            self.read()
        self.stepped(self)
        if self.job.steps is not None and self.step >= self.job.steps:
            self.finish("steps")
        elif time.perf_counter() - self._begun > self.job.seconds:
            self.finish("seconds")

    def count(self) -> None:
        """One more step, made by a change."""
        self.step += 1
        if self.step in self._marks:
            self.read()

    def finish(self, why: str, error: str = "", place: Any = None) -> None:
        """Tell the conductor, and end this process."""
        if why == "script":
            for change in self.changes:
                change.go_on(self)
        seconds = time.perf_counter() - self._begun
        if self.step not in self._marks and self.step:
            self.read()
        self.busy = True  # steps that are made from here on are ours: of a look at the start
        payload = self.ended(why)
        done = {"ended": why, "steps": self.step, "seconds": seconds, "error": error,
                "place": place, "totals": _thinned(self.totals), "payload": payload}  # fmt: skip
        self._tell(("done", done))
        os._exit(0)

    # -- the rest of what a listener hears

    def made(self, made: Any) -> None:
        """An optimizer, a schedule or a loader is being constructed."""
        self.cast.note_made(made)
        if isinstance(made, Optimizer):
            self._born.setdefault(made, self.step)

    def assembled(self, child: nn.Module) -> None:
        """A module has become part of another."""

    def compiled(self, target: Any, result: Any) -> None:
        """Nothing is compiled here."""

    def switched(self) -> None:
        """A module was switched to training or evaluation."""

    def iterated(self, loader: Any) -> None:
        """A pass over a DataLoader begins."""


@contextmanager
def evaluating(networks: list[nn.Module], training: bool = False) -> Iterator[None]:
    """Networks in evaluation mode (or training); modes and buffers afterwards as they were."""
    modules = [module for network in networks for module in network.modules()]
    modes = [module.training for module in modules]
    buffers = [buffer for network in networks for buffer in network.buffers()]
    before = [buffer.detach().clone() for buffer in buffers]
    for module in modules:
        module.training = training
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        for buffer, value in zip(buffers, before, strict=True):
            buffer.data.copy_(value)


def _thinned(values: list[float], most: int = 400) -> list[float]:
    """Means of neighbours, so that curves stay small."""
    size = -(-len(values) // most) or 1
    parts = [values[place : place + size] for place in range(0, len(values), size)]
    return [sum(part) / len(part) for part in parts]
