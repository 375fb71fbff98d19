"""Choosing: the fastest execution of a training step, by measuring it before the first one.

What a recipe leaves open (threads, memory format, precision, kernel of the update rule,
compiling) is tried on copies of the network with a real minibatch, the slower half dropped
after each round. The winner must agree with plain float32 in its loss and its gradients, else
the next one is taken. The choice is remembered for this network, hardware and PyTorch.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from chainrule.analysis.describe import describe
from chainrule.analysis.twin import with_weights
from chainrule.errors import ChainruleError
from chainrule.training.agreement import agreement
from chainrule.training.choice import Choice, Trial
from chainrule.training.data.dataset import Dataset
from chainrule.training.execution import PRECISE, Execution, execution_of, threads
from chainrule.training.minibatches import Minibatch, Minibatches, steps_per_epoch
from chainrule.training.recipe import Recipe
from chainrule.training.remembered import name_of, recall, remember
from chainrule.training.shortage import is_shortage
from chainrule.training.step import Step

SHORT_RUN = 10.0  # seconds; a shorter run would not win back what measuring costs
SHARE, MOST_SECONDS = 0.05, 15.0  # of the run, for measuring
WORTH = 0.97  # a choice must take less than this share of the plain step's time
_LONG_RUN = 300.0  # seconds; from here on compiling for an accelerator pays
_STEP_SECONDS = 0.25  # measured with fewer examples when a step takes longer
_LEAST_EXAMPLES = 8
_HOPELESS = 4.0  # times slower than the best so far in its first step


def choose(
    module: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    *,
    announce: Callable[[float], object] = lambda seconds: None,
) -> Choice:
    """The execution for a run; ``module`` and random state are left as they were.

    Args:
        module: on its device, initialized.
        dataset: on the same device.
        recipe: with its loss resolved.
        announce: told the most seconds that measuring may take, before it begins.
    """
    usual = execution_of(recipe)
    candidates = list(_candidates(module, recipe, usual))
    if len(candidates) < 2:
        return Choice(usual, "given")
    length = expected_seconds(module, dataset, recipe)
    if length < SHORT_RUN:
        return Choice(usual, "short run")
    minibatch = next(Minibatches(dataset, recipe, usual).epoch(0))
    compiles = _may_compile(recipe, minibatch.inputs.device, length)
    # a short run is not to remember what was chosen for a long one, which can wait for compiling
    tried = [*candidates, *([replace(usual, compiled=True)] if compiles else [])]
    name = name_of(module, tuple(minibatch.inputs.shape), recipe, tried)
    known = recall(name)
    if known is not None:
        return known
    budget = min(MOST_SECONDS, SHARE * length)
    announce(budget)
    race = Race(module, recipe, dataset, minibatch, budget)
    try:
        choice = race.run(usual, candidates, compiles)
    except Exception as error:
        if is_shortage(error):
            return Choice(usual, "no memory")  # the first step of the run says what fits
        raise
    remember(name, choice)
    return choice


def _may_compile(recipe: Recipe, device: torch.device, length: float) -> bool:
    """Only where it can pay: compiling takes a minute, and gained nothing on a CPU of two cores."""
    open_choice = recipe.compiled is None and not recipe.sharded
    return open_choice and device.type == "cuda" and length >= _LONG_RUN


def expected_seconds(module: nn.Module, dataset: Dataset, recipe: Recipe) -> float:
    """A rough length of the run (s), the same at every call: a millisecond a step, 3e10 MAC/s."""
    try:
        totals = describe(module, dataset.input_shape).totals
        macs = totals.macs + totals.backward_macs
    except ChainruleError:
        macs = 0
    examples = recipe.epochs * len(dataset.train)
    steps = recipe.epochs * steps_per_epoch(len(dataset.train), recipe.batch_size)
    return steps * 1e-3 + examples * macs / 3e10


def _candidates(module: nn.Module, recipe: Recipe, usual: Execution) -> Iterator[Execution]:
    """All ways that the recipe leaves open and that can matter here, the usual one first."""
    yield usual
    if recipe.precise:
        return
    cores = torch.get_num_threads()
    device = next(item.device for item in module.parameters() if item.requires_grad)
    images = any(isinstance(layer, nn.Conv2d) for layer in module.modules())
    open_fields: dict[str, list[Any]] = {}
    if recipe.threads is None and cores > 1 and device.type == "cpu":
        open_fields["threads"] = [None, 1]
    if recipe.memory_format == "auto" and images:
        open_fields["memory_format"] = ["channels-first", "channels-last"]
    if recipe.precision == "auto" and device.type in ("cpu", "cuda"):
        open_fields["precision"] = ["float32", "bfloat16"]
    for values in itertools.product(*open_fields.values()):
        found = replace(usual, **dict(zip(open_fields, values, strict=True)))
        if found != usual:
            yield found


class Race:
    """Tries executions on a copy of the network, the slower half dropped after each round.

    Args:
        module: copied for each trial.
        recipe: with its loss resolved.
        dataset: whose task counts.
        minibatch: to train on, again and again.
        budget: seconds.
    """

    def __init__(
        self,
        module: nn.Module,
        recipe: Recipe,
        dataset: Dataset,
        minibatch: Minibatch,
        budget: float,
    ) -> None:
        self.module, self.recipe, self.task = module, recipe, dataset.task
        self.minibatch, self.budget = minibatch, budget
        self.device = minibatch.inputs.device
        self.begun = time.perf_counter()
        self.best: dict[Execution, Trial] = {}

    def run(self, usual: Execution, candidates: list[Execution], compiled: bool = False) -> Choice:
        """The fastest candidate that agrees with plain float32; the winner also compiled."""
        self._fit_to_the_budget(usual)
        left = candidates
        while len(left) > 1:
            each = max(0.0, self._seconds_left()) / 2 / len(left)
            for execution in left:
                self._time(execution, each)
            kept = (len(left) + 1) // 2 if self._seconds_left() > 0 else 1
            left = sorted(left, key=self._seconds)[:kept]
        ranked = sorted(self.best, key=self._seconds)
        self._time_the_other_kernel(ranked[0])
        if compiled:
            self._time_compiled(min(self.best, key=self._seconds))
        return self._choice(usual, sorted(self.best, key=self._seconds))

    def _choice(self, usual: Execution, ranked: list[Execution]) -> Choice:
        plain = self._seconds(usual)
        chosen, agreed = usual, None
        for execution in ranked:
            if self._seconds(execution) > WORTH * plain:
                break
            found = agreement(self._step(PRECISE), self._step(execution), self.minibatch)
            if found.holds:
                chosen, agreed = execution, found
                break
        return Choice(
            execution=chosen,
            how="measured",
            gain=plain / self._seconds(chosen),
            agreement=agreed,
            trials=tuple(self.best[execution] for execution in ranked),
            seconds=time.perf_counter() - self.begun,
        )

    def _fit_to_the_budget(self, usual: Execution) -> None:
        """Fewer examples where a step of all takes long."""
        first = self._time(usual, 0.0)
        if first > _STEP_SECONDS:
            count = len(self.minibatch.labels)
            fewer = max(_LEAST_EXAMPLES, int(count * _STEP_SECONDS / first))
            self.minibatch = self.minibatch.rows(slice(0, fewer))._replace(share=1.0)
            del self.best[usual]

    def _time(self, execution: Execution, seconds: float) -> float:
        """Steps for about so many seconds, one at least; gives the shortest."""
        with threads(execution.threads):
            step = self._step(execution)
            took = self._one(step)  # kernels are prepared in the first one
            bound = math.inf if execution.compiled else _HOPELESS  # the first step compiles
            if took > bound * min(map(self._seconds, self.best), default=took):
                seconds = 0.0
            times: list[float] = []
            end = time.perf_counter() + seconds
            while not times or time.perf_counter() < end:
                times.append(self._one(step))
        before = self.best.get(execution)
        shortest = min([*times, *([before.seconds] if before else [])])
        steps = len(times) + (before.steps if before else 0)
        self.best[execution] = Trial(execution, shortest, steps)
        return shortest

    def _time_the_other_kernel(self, winner: Execution) -> None:
        recipe = self.recipe
        if recipe.update_kernel != "auto" or recipe.sharded or recipe.update_rule == "rmsprop":
            return  # the last two have no fused kernel to compare with
        trial = self.best[winner]
        other = replace(winner, update_kernel="foreach")
        self._time(other, trial.seconds * trial.steps)
        self._time(winner, trial.seconds * trial.steps)

    def _time_compiled(self, winner: Execution) -> None:
        """Beyond the budget: the run is long, and PyTorch keeps what it has compiled."""
        other, trial = replace(winner, compiled=True), self.best[winner]
        try:
            self._time(other, trial.seconds * trial.steps)
        except RuntimeError:  # which all errors of torch.compile are
            # no compiler here, or a network it cannot read: neither is the user's fault
            self.best.pop(other, None)

    def _step(self, execution: Execution) -> Step:
        # without hooks: other people's would run once more for each step measured
        twin = with_weights(self.module).to(self.device)
        module = execution.place(twin).train()
        return Step(module, self.recipe, self.task, execution)

    def _one(self, step: Step) -> float:
        begun = time.perf_counter()
        inputs = step.execution.lay_out(self.minibatch.inputs)
        step.gradients(self.minibatch._replace(inputs=inputs))
        step.update(0.0)  # the same work, and the weights stay sensible
        if step.device.type == "cuda":
            torch.cuda.synchronize(step.device)
        return time.perf_counter() - begun

    def _seconds(self, execution: Execution) -> float:
        return self.best[execution].seconds

    def _seconds_left(self) -> float:
        return self.budget - (time.perf_counter() - self.begun)
