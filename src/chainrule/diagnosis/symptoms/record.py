"""Record: what the symptoms are read from; plain numbers, no tensors of the training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from chainrule.diagnosis.answer import LoaderSeen, ModelSeen, OptimizerSeen
from chainrule.diagnosis.facts import LossFacts, Sample
from chainrule.diagnosis.origin import Origin
from chainrule.diagnosis.places import Place
from chainrule.finding import Finding

_WINDOW = 50
_ENOUGH = 60  # steps before "it does not learn" can be said


@dataclass(frozen=True)
class Start:
    """What was found out about the untrained network and the data, on copies.

    Attributes:
        flow: findings of the flow through the network as it was initialized.
        fitted: (loss before, loss after, steps) of training on one small minibatch, above the
            least that any answer could have; None where it was not tried.
        predicted: (nearest neighbour, linear probe, most frequent class) as shares of right
            answers by cross-validation, and the examples; None where it was not tried.
        unseen: what could not be tried, and why.
        mixes: whether the answer for one example depends on others of its minibatch.
        axes: recurrent and attention layers that take the first axis for time, where it does.
    """

    flow: tuple[Finding, ...] = ()
    fitted: tuple[float, float, int] | None = None
    predicted: tuple[float, float, float, int] | None = None
    unseen: tuple[str, ...] = ()
    mixes: bool = False
    axes: str = ""


@dataclass(frozen=True)
class Record:
    """A training as far as it has been watched.

    Attributes:
        losses: by step; NaN where none was heard.
        samples: steps watched in full, in order.
        models, optimizers, loaders: who takes part.
        origin: of the first value that was not finite.
        constant: loss of the best constant answer, None where unknown.
        classes: counts of the targets by class, over the steps looked at.
        fingerprints: inputs looked at, and how often each was met.
        rates: learning rate of the first optimizer, by step looked at.
        start: what was found out at the end about the beginning.
        since: steps before this training began; above 0 where a program trains several times, of
            which the record holds the last.
        updating: optimizers at work in it.
        strangers: shapes of parameters that the loss depends on and that belong to no network and
            no optimizer.
        idle: names of optimizers that were made, with the line, where backward() was called and
            nothing has updated a weight.
    """

    losses: tuple[float, ...] = ()
    samples: tuple[Sample, ...] = ()
    models: tuple[ModelSeen, ...] = ()
    optimizers: tuple[OptimizerSeen, ...] = ()
    loaders: tuple[LoaderSeen, ...] = ()
    origin: Origin | None = None
    constant: float | None = None
    classes: dict[int, int] = field(default_factory=dict)
    fingerprints: dict[str, int] = field(default_factory=dict)
    rates: tuple[float, ...] = ()
    start: Start = field(default_factory=Start)
    since: int = 0
    updating: int = 1
    strangers: tuple[tuple[int, ...], ...] = ()
    idle: tuple[tuple[str, Place | None], ...] = ()

    @property
    def loss_calls(self) -> tuple[LossFacts, ...]:
        """The first loss call of each full sample."""
        return tuple(sample.losses[0] for sample in self.samples if sample.losses)

    @property
    def later(self) -> tuple[Sample, ...]:
        """Full samples after the first step."""
        return tuple(sample for sample in self.samples if sample.step > 1)

    @property
    def examples(self) -> int | None:
        """Examples in the first minibatch; None where no inputs were seen."""
        found = next((p.inputs for sample in self.samples for p in sample.passes if p.inputs), None)
        return found.shape[0] if found is not None and found.shape else None

    @property
    def need_not_fall(self) -> bool:
        """Whether it is a game or a reward, whose loss says nothing of success."""
        several = self.updating > 1
        calls = self.loss_calls
        own = not calls or (calls[0].task == "other" and calls[0].written_out)
        known = [value for value in self.losses if math.isfinite(value)]
        return several or (own and bool(known) and min(known) < 0 < max(known))

    def first_epoch_learns(self) -> bool:
        """Whether the loss beat the constant predictor on examples that were met the first time."""
        loader = next((item for item in self.loaders if item.examples and item.batch_size), None)
        if loader is None or self.constant is None or not self._one_scale():
            return False
        steps = (loader.examples or 0) // (loader.batch_size or 1)
        last = self.losses[:steps][-max(1, steps // 5) :]
        mean = _mean(last)
        limit = self.constant * self._counted()
        return mean is not None and mean < 0.9 * limit - 2 * _error(last)

    def window(self) -> int:
        """A tenth of the steps, at most 50."""
        return max(1, min(_WINDOW, len(self.losses) // 10))

    def first_loss(self) -> float | None:
        """Mean loss over the first window."""
        return _mean(self.losses[: self.window()])

    def last_loss(self) -> float | None:
        """Mean loss over the last window."""
        return _mean(self.losses[-self.window() :])

    def reference(self) -> tuple[str, float] | None:
        """What a loss has to beat: the constant predictor where it is known, else its start."""
        first = self.first_loss()
        if self.constant is not None and self.constant > 0 and self._one_scale():
            return "the constant predictor", self.constant * self._counted() + self._penalty()
        return None if first is None else ("the first steps", first)

    def _one_scale(self) -> bool:
        """Whether what ``backward`` is called on is one plain loss, with a penalty at most."""
        calls = self.loss_calls
        if not calls or calls[0].reduction not in ("mean", "sum") or calls[0].weighted:
            return False
        return all(
            len(sample.losses) == len(sample.backwards)
            and all(item.penalty is not None and item.scale for item in sample.backwards)
            for sample in self.samples if sample.losses
        )  # fmt: skip

    def _penalty(self) -> float:
        """What is added to the loss, in the last sample that has it."""
        return next(
            (item.penalty for sample in reversed(self.samples) for item in sample.backwards
             if item.penalty), 0.0,
        )  # fmt: skip

    def _counted(self) -> int:
        """Examples over which a loss is summed; 1 for a mean."""
        call = self.loss_calls[0]
        return (call.answers or call.input.shape[0]) if call.reduction == "sum" else 1

    def learns(self) -> bool | None:
        """Whether the loss is clearly below its reference; None where it is too early to say.

        Clearly: by 2 % of the reference, and by two standard errors of the last window.
        """
        last, against = self.last_loss(), self.reference()
        if last is None or against is None or len(self.losses) < _ENOUGH:
            return None
        if not math.isfinite(last):
            return False
        margin = max(0.02 * abs(against[1]), 2 * _error(self.losses[-self.window() :]))
        return last < against[1] - margin


def _mean(values: tuple[float, ...]) -> float | None:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else None


def _error(values: tuple[float, ...]) -> float:
    known = [value for value in values if math.isfinite(value)]
    if len(known) < 2:
        return 0.0
    mean = sum(known) / len(known)
    square = sum((value - mean) ** 2 for value in known) / (len(known) - 1)
    return math.sqrt(square / len(known))
