"""Case: all that is known of a run before anything is changed in it; what causes are raised by."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from chainrule.diagnosis.answer import LoaderSeen, OptimizerSeen
from chainrule.diagnosis.facts import LossFacts, TensorFacts
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.replaying.messages import Outcome
from chainrule.diagnosis.replaying.scout import Scouted
from chainrule.diagnosis.replaying.traits import Happening, Trait
from chainrule.diagnosis.source import Edit, Source, read_source
from chainrule.diagnosis.symptoms import Record
from chainrule.finding import Finding

CERTAIN, SYMPTOM, TRIED = 3, 2, 1
LOWEST = 0.1  # skill below which nothing has been learned


@dataclass(frozen=True)
class Hypothesis:
    """What may be wrong, and the change that would show it.

    Attributes:
        code: of the cause.
        change: the intervention.
        weight: CERTAIN (the structure itself is wrong, without any threshold), SYMPTOM (a number
            speaks for it) or TRIED (nothing speaks for it; it is one of the usual suspects).
        meaning: what is wrong, with its numbers.
        remedy: what to do.
        evidence: numbers by name.
        place: line; None where it is not known.
        edits: that mend it in the user's file; empty where they are not known.
        later: replay it only when nothing cheaper has cured.
        held: it is judged by the data that the script evaluates on.
        blamed: the fault is in ``place``, though the edits are elsewhere.
        decisive: as it is no weight can learn, so that nothing else is a cause without it.
    """

    code: str
    change: Change
    weight: int
    meaning: str
    remedy: str
    evidence: dict[str, Any] = field(default_factory=dict, compare=False)
    place: Place | None = field(default=None, compare=False)
    edits: tuple[Edit, ...] = field(default=(), compare=False)
    later: bool = False
    held: bool = False
    decisive: bool = False
    blamed: bool = False

    @property
    def at(self) -> Place | None:
        """The line to change, else the line where it shows."""
        if self.edits and not (self.blamed and self.place):
            return Place(self.edits[0].file, self.edits[0].line)
        return self.place


@dataclass
class Case:
    """The run as it is.

    Attributes:
        record: what was watched of the baseline.
        findings: symptoms.
        scouted: what the scout has brought home.
        baseline: the run unchanged, with the yardstick.
        script: path of the script; "" where there is none.
        crash: the error that ended it; "" for none.
    """

    record: Record
    findings: tuple[Finding, ...]
    scouted: Scouted
    baseline: Outcome
    script: str = ""
    crash: str = ""

    # -- symptoms

    def found(self, code: str) -> Finding | None:
        """The symptom of that code."""
        return next((item for item in self.findings if item.code == code), None)

    @property
    def loss(self) -> LossFacts | None:
        """The first loss call."""
        return next(iter(self.record.loss_calls), None)

    @property
    def inputs(self) -> TensorFacts | None:
        """Of the first minibatch."""
        return next(
            (item.inputs for sample in self.record.samples for item in sample.passes
             if item.inputs), None,
        )  # fmt: skip

    @property
    def optimizer(self) -> OptimizerSeen | None:
        """The first."""
        return next(iter(self.record.optimizers), None)

    @property
    def loader(self) -> LoaderSeen | None:
        """The first that was used for training."""
        return next(iter(self.record.loaders), None)

    @property
    def traits(self) -> tuple[Trait, ...]:
        """Layers of the network before its first step."""
        return self.scouted.traits

    @property
    def happenings(self) -> tuple[Happening, ...]:
        """A forward pass in order."""
        return self.scouted.happenings

    @property
    def activations(self) -> list[Happening]:
        """Activation functions between layers; softmax is none."""
        return [item for item in self.happenings if item.among >= 0]

    def output_activation(self) -> Happening | None:
        """The activation function that the network ends with."""
        return next((item for item in reversed(self.activations) if item.output), None)

    def skill(self) -> float:
        """How well the baseline does at its end."""
        return late_skill(self.baseline)

    @property
    def task(self) -> str:
        """Of the yardstick."""
        return self.scouted.task

    # -- the user's file

    def source(self, place: Place | None = None) -> Source | None:
        """The file of a place, or of the script."""
        file = place.file if place is not None else self.script
        return read_source(file) if file else None

    def place(self, text: str) -> Place | None:
        """The place that a finding names as ``file:line``; None where it names none."""
        file, _, line = text.rpartition(":")
        if not line.isdigit():
            return None
        known = [source.file for source in self.sources()]
        full = next((item for item in known if item.endswith(file)), file)
        return Place(full, int(line))

    def sources(self) -> list[Source]:
        """All files of the user's that took part."""
        places = [item.made for item in self.record.optimizers]
        places += [item.defined for item in self.record.models]
        places += [item.called for item in self.record.models]
        places += [self.loss.place if self.loss else None]
        files = dict.fromkeys([self.script, *(item.file for item in places if item)])
        return [source for file in files if file and (source := read_source(file))]


def late_skill(outcome: Outcome, until: float = math.inf) -> float:
    """Mean skill over the last readings up to a step; NaN where there is none."""
    known = [item.skill for item in outcome.readings if 0 < item.step <= until]
    if not known:
        return math.nan
    last = known[-2:] if len(known) > 3 else known[-1:]
    if any(math.isnan(value) for value in last):
        return math.nan
    return sum(last) / len(last)


def late_held(outcome: Outcome, until: float = math.inf) -> float:
    """Skill on what the script evaluates on, at the end."""
    known = [
        item.held for item in outcome.readings
        if 0 < item.step <= until and item.held == item.held
    ]  # fmt: skip
    if not known:
        return math.nan
    last = known[-2:] if len(known) > 3 else known[-1:]
    return sum(last) / len(last)
