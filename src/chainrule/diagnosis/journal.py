"""Journal: what was heard of each step, kept as numbers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from chainrule.analysis.running import tensors_of
from chainrule.analysis.twin import unwrapped
from chainrule.diagnosis.budget import Level
from chainrule.diagnosis.echoes import Echoes
from chainrule.diagnosis.examples import Examples
from chainrule.diagnosis.factor import Factor
from chainrule.diagnosis.facts import Backward, PassFacts, Sample, facts_of, loss_facts
from chainrule.diagnosis.layers import DeadWindow
from chainrule.diagnosis.losses import TargetTally, right_answers
from chainrule.diagnosis.models import Cast
from chainrule.diagnosis.opaque import plain
from chainrule.diagnosis.origin import Origin, any_bad
from chainrule.diagnosis.parameters import ParameterStep, leaves_of, norm_of, norms
from chainrule.diagnosis.sentinel import Sentinel, origin_of
from chainrule.diagnosis.series import fingerprint, series_of
from chainrule.diagnosis.turn import Follower, Pass, Turn
from chainrule.gradients.units import symmetric_units
from chainrule.nn.weighted import WeightedLayer

_KEPT_FIRST, _KEPT_LAST = 8, 256
_RISE = 3.0  # a loss this many times the largest of the last steps is looked at closely
_SLOW = 0.005  # seconds: a step this long has room for its accuracy


@dataclass(eq=False)
class Kept:
    """Weights and gradients of one optimizer's parameters, held from one moment to the next."""

    parameters: list[Tensor]
    weights: list[Tensor] | None = None
    gradients: list[Tensor | None] | None = None


@dataclass(frozen=True)
class Row:
    """The series of one step: names to numbers."""

    step: int
    values: dict[str, float]


@dataclass(eq=False)
class Journal(Follower):
    """Makes rows and samples of what the watcher hears.

    Attributes:
        cast: networks, optimizers and loaders that were met.
        losses: by step, the loss that ``backward`` was called on, unscaled where that is known.
        first, last: samples of steps watched in full.
        origin: of the first value that was not finite; None while all are.
        targets: what a constant answer would reach.
        since: steps before the training that goes on now; above 0 where a program trains again.
        strangers: shapes of parameters that the loss depends on and nobody holds.
        ended: called when another training begins, before what was seen of the last is forgotten.
        wrote: called with each row.
        sampled: called after each full sample.
    """

    cast: Cast
    wrote: Callable[[Row], None]
    sampled: Callable[[Sample], None]
    failed: Callable[[Exception], None]
    ended: Callable[[], None] = lambda: None
    losses: list[float] = field(default_factory=list)
    first: list[Sample] = field(default_factory=list)
    last: deque[Sample] = field(default_factory=lambda: deque(maxlen=_KEPT_LAST))
    origin: Origin | None = None
    targets: TargetTally = field(default_factory=TargetTally)
    examples: Examples = field(default_factory=Examples)
    samples: int = 0
    alarm: bool = False
    reached: set[str] = field(default_factory=set)
    fingerprints: dict[str, int] = field(default_factory=dict)
    noises: dict[str, float] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    backwards: list[int] = field(default_factory=list)
    broken_by: Exception | None = None
    _kept: dict[int, Kept] = field(default_factory=dict)
    _steps: dict[int, ParameterStep] = field(default_factory=dict)
    _echoes: Echoes = field(default_factory=Echoes)
    _dead: dict[str, DeadWindow] = field(default_factory=dict)
    bare: list[tuple[int, float, Any]] = field(default_factory=list)
    since: int = 0
    strangers: tuple[tuple[int, ...], ...] = ()
    _factor: Factor = field(default_factory=Factor)
    recent: Turn | None = None
    _ceiling: float = math.inf
    _sentinel: Sentinel = field(default_factory=Sentinel)
    _before_step: float | None = None
    _started: float | None = None
    _closure: bool = False
    _looked_for_strangers: bool = False

    # -- what the watcher tells

    def broken(self, error: Exception) -> None:
        """Watching has failed."""
        self.broken_by = error
        self.failed(error)

    def backward_begins(self, turn: Turn, total: Tensor) -> None:
        """Look at gradients left over, and at a loss that is not finite."""
        if turn.step == 1:
            self.examples.keep_network(turn)
        if turn.level is Level.FULL and len(turn.backwards) == 1:
            left = [item.grad for item in self.cast.trainable() if item.grad is not None]
            turn.leftover = norm_of(left) if left else None
            if not self._rule_known():
                self._keep_weights(self.cast.trainable(), key=0)
        if turn.level is Level.FULL and self._rule_known() and not self._looked_for_strangers:
            self._look_for_strangers(total)
        value = turn.backwards[-1].total
        if not math.isfinite(value) and self.origin is None:
            self._find_origin(turn, total)
        elif value > self._ceiling:
            self.alarm = True

    def _look_for_strangers(self, total: Tensor) -> None:
        """Parameters in the graph that are in no network called and in no optimizer."""
        self._looked_for_strangers = True
        known = {id(item) for item in self.cast.trainable()}
        self.strangers = tuple(
            tuple(item.shape) for item in leaves_of([total])
            if isinstance(item, nn.Parameter) and id(item) not in known
        )  # fmt: skip

    def _rule_known(self) -> bool:
        return any(rule.steps for rule in self.cast.rules)

    def gradients_ready(self, turn: Turn) -> None:
        """In a loop without optimizer gradients are read here, before they can be cleared."""
        if turn.level is Level.FULL and 0 in self._kept:
            self._read_gradients(turn, 0)

    def step_begins(self, turn: Turn, optimizer: Optimizer | None) -> None:
        """Read gradients; keep weights to see the update."""
        if optimizer is None:
            return
        parameters = [item for group in optimizer.param_groups for item in group["params"]]
        if turn.backwards:
            self._look_at_gradients(turn, optimizer, parameters)
        else:  # they are computed inside ``step``, by its closure
            self._closure = True
        if turn.level is Level.FULL:
            self._keep_weights(parameters, id(optimizer))
            if turn.backwards:
                self._read_gradients(turn, id(optimizer))
                self._read_all_gradients(turn)

    def _read_all_gradients(self, turn: Turn) -> None:
        found = [item.grad for item in self.cast.trainable() if item.grad is not None]
        self._before_step = norm_of(found)
        if self.origin is None and not math.isfinite(self._before_step) and any_bad(found):
            self._find_origin(turn, None)

    def _look_at_gradients(
        self, turn: Turn, optimizer: Optimizer, parameters: list[Tensor]
    ) -> None:
        if turn.level >= Level.ECHO:
            self._echoes.hear(turn.step, id(optimizer))
        if turn.level >= Level.LIGHT and self.origin is None:
            self._sentinel.choose(parameters)
            if self._sentinel.is_bad():
                self._find_origin(turn, None)

    def step_ends(self, turn: Turn, optimizer: Optimizer | None) -> None:
        """Read the update."""
        if self._closure and optimizer is not None and turn.backwards:
            held = [item for group in optimizer.param_groups for item in group["params"]]
            self._look_at_gradients(turn, optimizer, held)
        self._closure = False
        key = 0 if optimizer is None else id(optimizer)
        kept = self._kept.pop(key, None)
        if kept is None or kept.weights is None:
            return
        if kept.gradients is None:  # computed inside ``step``, by its closure
            self._kept[key] = kept
            self._read_gradients(turn, key)
            self._kept.pop(key)
        changes = norms(
            [after.detach() - before for after, before in zip(kept.parameters, kept.weights,
                                                              strict=True)]
        )  # fmt: skip
        for parameter, change in zip(kept.parameters, changes, strict=True):
            seen = self._steps.get(id(parameter))
            if seen is not None:
                self._steps[id(parameter)] = ParameterStep(
                    seen.name, seen.size, seen.weight_norm, seen.gradient_norm, change
                )

    def turn_ends(self, turn: Turn) -> None:
        """Write the step down."""
        self.write_bare()
        value = self._loss_of(turn)
        self._factor.note(turn.backwards, self.cast.rules)
        self.losses.append(value)
        self.backwards.append(len(turn.backwards))
        row = Row(turn.step, self._values(turn, value))
        sample = None
        if turn.level is Level.FULL:
            sample = self._sample(turn)
            self.samples += 1
            (self.first if len(self.first) < _KEPT_FIRST else self.last).append(sample)
            row.values.update(series_of(sample, self._dead))
        heard = self._noises()
        self.noises.update(heard)
        row.values.update({f"noise/{name}": item for name, item in heard.items()})
        self.wrote(row)
        if sample is not None:
            self.sampled(sample)
        if not self.examples.full and turn.level >= Level.LIGHT:
            self.examples.add(turn)
        self.recent = turn
        finite = [item for item in self.losses[-50:] if math.isfinite(item)]
        self._ceiling = _RISE * max(max(finite, default=math.inf), 1e-3)
        self._steps.clear()
        self._kept.clear()
        self._echoes.noise.clear()
        self._before_step = None

    def bare_step(self, step: int, value: float, optimizer: Optimizer) -> None:
        """Keep the loss; raise the alarm where it has jumped."""
        value = self._factor.without(value)
        self.losses.append(value)
        if value > self._ceiling:
            self.alarm = True
        self.bare.append((step, value, optimizer.param_groups[0].get("lr", math.nan)))

    def another_training(self, step: int) -> None:
        """What was seen of the last one is no reference for this one."""
        self.write_bare()
        self.ended()
        self.since = step
        self.targets, self.fingerprints, self.rates = TargetTally(), {}, []
        self.first, self.last = [], deque(maxlen=_KEPT_LAST)
        self._dead.clear()
        self._sentinel.forget()
        self._looked_for_strangers = False

    def write_bare(self) -> None:
        """Hand on the rows of the bare steps since the last one that was heard."""
        before: Any = None
        alone = len(self.cast.rules) == 1  # of several each has a series of its own
        for step, value, rate in self.bare:
            values = {} if math.isnan(value) else {"train/loss": value}
            if alone and rate != before:
                values["train/learning_rate"] = before = float(rate)
            self.wrote(Row(step, values))
        self.bare.clear()

    def trouble(self, step: int, total: Tensor) -> None:
        """The loss of a bare step is not finite: what was heard last is run with these weights."""
        if self.origin is None:
            self._find_origin(self.recent, None, step, total)

    def bare_gradients(self, step: int) -> None:
        """The gradients of a bare step are there."""
        if self.origin is None and self._sentinel.is_bad():
            self._find_origin(self.recent, None, step)

    def _find_origin(
        self, turn: Turn | None, total: Tensor | None, step: int = 0, bare: Tensor | None = None
    ) -> None:
        """Of this turn's step, or of a bare step after it."""
        step = step or (0 if turn is None else turn.step)
        self.origin = origin_of(step, turn, total, bare, self.cast)
        self.alarm = True

    # -- gradients and weights

    def _keep_weights(self, parameters: list[Tensor], key: int) -> None:
        self._kept[key] = Kept(parameters, [item.detach().clone() for item in parameters])

    def _read_gradients(self, turn: Turn, key: int) -> None:
        kept = self._kept[key]
        names = self.cast.names()
        kept.gradients = [item.grad for item in kept.parameters]
        gradients, weights = norms(kept.gradients), norms(list(kept.weights or []))
        for index, parameter in enumerate(kept.parameters):
            name = names.get(id(parameter), f"parameter {index}")
            if gradients[index] is not None:
                self.reached.add(name)
            self._steps[id(parameter)] = ParameterStep(
                name, parameter.numel(), weights[index] or 0.0, gradients[index]
            )
        self._echoes.keep(turn.step, key, kept.parameters)

    def _noises(self) -> dict[str, float]:
        if not self._echoes.noise:
            return {}
        names = self.cast.names()
        return {names.get(key, "parameter"): value for key, value in self._echoes.noise.items()}

    # -- the step in numbers

    def _loss_of(self, turn: Turn) -> float:
        if not turn.backwards:
            return math.nan
        return sum(_unscaled(item) for item in turn.backwards) / len(turn.backwards)

    def _values(self, turn: Turn, value: float) -> dict[str, float]:
        values = {} if math.isnan(value) and not turn.backwards else {"train/loss": value}
        known = [item for item in turn.backwards if item.data is not None]
        if known:
            values["train/data_loss"] = sum(item.data or 0.0 for item in known) / len(known)
            penalties = [item.penalty for item in known if item.penalty is not None]
            if any(penalties):
                values["train/penalty"] = sum(penalties) / len(penalties)
        self._rates(values)
        seconds = None if self._started is None else turn.begun - self._started
        self._started = turn.begun
        if turn.level is Level.FULL or (seconds is not None and seconds > _SLOW):
            self._accuracy(turn, values)
        return values

    def _rates(self, values: dict[str, float]) -> None:
        for number, rule in enumerate(self.cast.rules):
            optimizer = rule.optimizer()
            if optimizer is None or not optimizer.param_groups:
                continue
            rate = float(optimizer.param_groups[0].get("lr", math.nan))
            if number == 0:
                self.rates.append(rate)
            if not math.isnan(rate):
                suffix = f"/{number + 1}" if number else ""
                values[f"train/learning_rate{suffix}"] = rate

    def _accuracy(self, turn: Turn, values: dict[str, float]) -> None:
        right = answers = 0
        for call in turn.calls:
            found = right_answers(call)
            if found is not None:
                right, answers = right + found[0], answers + found[1]
            self.targets.add(call)
        if answers:
            values["train/accuracy"] = right / answers

    def _sample(self, turn: Turn) -> Sample:
        passes = tuple(self._pass(item) for item in turn.passes)
        sizes = [first.shape[0] for item in passes if (first := item.inputs) and first.shape]
        for layer in turn.activations:
            if layer.on is not None:
                window = self._dead.setdefault(layer.name, DeadWindow())
                window.add(layer.on, sizes[0] if sizes else layer.shape[0])
        dead = tuple(
            (layer.name, self._dead[layer.name].dead, layer.on.numel(), self._dead[layer.name].of)
            for layer in turn.activations
            if layer.on is not None
        )
        parameters = tuple(self._steps.values())
        early = self.samples < 3 or self.samples & (self.samples - 1) == 0
        return Sample(
            turn.step, passes, tuple(loss_facts(call) for call in turn.calls[:8]),
            tuple(turn.backwards), tuple(turn.activations), parameters, dead,
            self._symmetric(turn) if early else (), turn.leftover, turn.after_backward,
            self._before_step, tuple(self.rates[-1:]),
        )  # fmt: skip

    def _pass(self, item: Pass) -> PassFacts:
        tensors = [plain(value) for value in tensors_of((list(item.args), item.kwargs))]
        given = next((value for value in tensors if value.dim()), None)
        print_ = "" if given is None else fingerprint(given)
        if print_:
            self.fingerprints[print_] = self.fingerprints.get(print_, 0) + 1
        return PassFacts(
            item.model.name, item.training, True, None if given is None else facts_of(given),
            item.autocast, print_,
        )  # fmt: skip

    def _symmetric(self, turn: Turn) -> Any:
        found: list[Any] = []
        for item in turn.passes:
            module = item.model.module()
            if module is None or isinstance(module, torch.jit.ScriptModule):
                continue
            gradients: dict[Tensor, Tensor] = {
                p: p.grad for p in module.parameters() if p.grad is not None
            }
            found += symmetric_units(_weighted(unwrapped(module)), gradients)
        return tuple(found)


def _weighted(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [
        (name, layer) for name, layer in module.named_modules()
        if isinstance(layer, WeightedLayer) and isinstance(layer.weight, nn.Parameter)
    ]  # fmt: skip


def _unscaled(item: Backward) -> float:
    """The loss without the factor of accumulation or of a gradient scaler."""
    if item.data is not None and item.penalty is not None and item.scale:
        return item.data + item.penalty
    return item.total
