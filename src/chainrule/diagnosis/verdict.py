"""Verdict: what a diagnosis has found, with its evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chainrule.answer import Answer

Curve = tuple[tuple[int, float], ...]
FAULTY, HEALTHY, CANNOT_TELL = "faulty", "healthy", "cannot-tell"
PROVED, LIKELY = "proved", "likely"


@dataclass(frozen=True)
class CauseFound(Answer):
    """A cause with its evidence.

    Attributes:
        code: of the cause.
        status: "proved" (its removal makes the network learn, over several seeds) or "likely"
            (symptoms alone speak for it).
        file, line: where; "" and 0 where it is not known.
        meaning: what is wrong, with its numbers.
        remedy: what to do.
        evidence: numbers by name; skills of baseline and cure by seed.
        fix: unified diff; "" where no edit is known.
        checked: whether the script with this fix was run and learned; None where it was not tried.
        intervention: the change that showed it.
    """

    code: str
    status: str
    file: str
    line: int
    meaning: str
    remedy: str
    evidence: dict[str, Any] = field(default_factory=dict)
    fix: str = ""
    checked: bool | None = None
    intervention: str = ""

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}" if self.file else ""


@dataclass(frozen=True)
class ReplaySeen(Answer):
    """One replay.

    Attributes:
        intervention: what was changed.
        codes: of the causes that it tests.
        seed: which seed or data order.
        steps: updates made.
        progress: skill at the end: 1 perfect, 0 the constant predictor; None where there is none.
        ended: how.
        curve: (step, skill).
        losses: (step, mean training loss).
    """

    intervention: str
    codes: tuple[str, ...]
    seed: int
    steps: int
    progress: float | None
    ended: str
    curve: Curve = ()
    losses: Curve = ()


@dataclass(frozen=True)
class Advice(Answer):
    """Something that would be better, and is no fault.

    Attributes:
        code: of the cause that it would be if the network did not learn.
        text: what was changed and what it brought.
    """

    code: str
    text: str


@dataclass(frozen=True)
class Diagnosis(Answer):
    """Why a network does not learn, or that it does.

    Attributes:
        verdict: "faulty", "healthy" or "cannot-tell".
        script: what was diagnosed.
        reason: the verdict in one sentence.
        causes: the smallest set whose removal makes the network learn.
        equivalent: sets of codes that cure as well as the causes named.
        ruled_out: (code, what was changed and that it changed nothing).
        advice: what would be better and is no fault.
        replays: all of them; the first is the baseline.
        yardstick: what was measured.
        suspects: (code, "certain" or "symptom") that something spoke for before anything was
            changed: what an answer without replays would have named.
        controls: (control, whether it held).
        unseen: what could not be checked, and why.
        notes: what was different from a plain run.
        patched: file to its whole text with all fixes, once that was run and learned.
        seconds: that it took.

    Examples:
        >>> answer = Diagnosis("healthy", "train.py", "it learns")
        >>> answer.exit_code, answer.to_dict()["verdict"]
        (0, 'healthy')
    """

    verdict: str
    script: str
    reason: str
    causes: tuple[CauseFound, ...] = ()
    equivalent: tuple[tuple[str, ...], ...] = ()
    ruled_out: tuple[tuple[str, str], ...] = ()
    advice: tuple[Advice, ...] = ()
    replays: tuple[ReplaySeen, ...] = field(default=(), repr=False)
    yardstick: str = ""
    suspects: tuple[tuple[str, str], ...] = ()
    controls: tuple[tuple[str, bool], ...] = ()
    unseen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    patched: dict[str, str] = field(default_factory=dict, repr=False)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Without the patched files: their diffs are in the causes."""
        found = super().to_dict()
        found.pop("patched")
        return found

    @property
    def exit_code(self) -> int:
        """0 healthy, 1 faulty, 3 cannot tell."""
        return {HEALTHY: 0, FAULTY: 1}.get(self.verdict, 3)
