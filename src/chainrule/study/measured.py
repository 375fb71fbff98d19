"""Measured: a number with its spread, and what a claim says of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scipy.stats import t as student

from chainrule.answer import Answer

Status = Literal["holds", "fails", "undecided"]
_CONFIDENCE = 0.95
WORST = "the worst of the runs"


@dataclass(frozen=True)
class Measured(Answer):
    """A number that an experiment found, with its spread.

    Attributes:
        name: what was measured ("fall of the full loss in 100 steps").
        value: the number.
        low: lower end of its interval; the value itself where nothing is random.
        high: upper end.
        unit: "" for a pure number; "%", "steps", "times", "nats".
        runs: how many runs it was taken over.
        spread: what the interval is ("95 % interval of the mean"; ``WORST`` where the worst run
            alone decides and low and high are its own), "" where nothing is random.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str = ""
    runs: int = 1
    spread: str = ""


def exact(name: str, value: float, unit: str = "") -> Measured:
    """A number that would come out the same again, whatever the seed.

    Examples:
        >>> exact("parameters", 260).high
        260.0
    """
    return Measured(name, float(value), float(value), float(value), unit)


def mean_of(name: str, values: Sequence[float], unit: str = "") -> Measured:
    """The mean over runs with its 95 % interval by Student's t (n - 1 degrees of freedom).

    Args:
        name: what was measured.
        values: one for each run (at least two).
        unit: of the values.

    Examples:
        >>> found = mean_of("loss", [1.0, 2.0, 3.0])
        >>> round(found.low, 2), found.value, round(found.high, 2)
        (-0.48, 2.0, 4.48)
    """
    middle, half = _interval(values)
    words = "95 % interval of the mean"
    return Measured(name, middle, middle - half, middle + half, unit, len(values), words)


def ratio_of(name: str, values: Sequence[float], unit: str = "times") -> Measured:
    """The geometric mean of ratios over runs with the 95 % interval of their logarithms.

    Examples:
        >>> round(ratio_of("faster", [2.0, 8.0, 4.0]).value, 6)
        4.0
    """
    middle, half = _interval([math.log(value) for value in values])
    low, high = math.exp(middle - half), math.exp(middle + half)
    words = "95 % interval of the geometric mean"
    return Measured(name, math.exp(middle), low, high, unit, len(values), words)


def median_of(name: str, values: Sequence[float], unit: str = "") -> Measured:
    """The median over runs with the smallest and largest: also where some values are infinite.

    Of n runs the range holds the true median with probability 1 - 2^(1 - n) (5 runs: 94 %).

    Examples:
        >>> found = median_of("steps", [3, math.inf, 5], "steps")
        >>> found.low, found.value, found.high
        (3, 5, inf)
    """
    words = "smallest to largest"
    middle = statistics.median(values)
    return Measured(name, middle, min(values), max(values), unit, len(values), words)


def worst_of(
    name: str, values: Sequence[float], unit: str = "", *, largest: bool = True
) -> Measured:
    """The worst run, which alone decides: for claims that a single run refutes ("never").

    Of n runs none was worse; that says little about chances below about 1/n. A run that is not
    a number is the worst there can be, and decides nothing.

    Args:
        name: what was measured.
        values: one for each run.
        unit: of the values.
        largest: whether the largest value is the worst, or the smallest.

    Examples:
        >>> found = worst_of("largest gradient", [0.0, 0.2, 0.1])
        >>> found.low, found.value, found.high, found.runs
        (0.2, 0.2, 0.2, 3)
    """
    unknown = any(math.isnan(value) for value in values)
    worst = math.nan if unknown else float(max(values) if largest else min(values))
    return Measured(name, worst, worst, worst, unit, len(values), WORST)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half the width of its interval."""
    half = statistics.stdev(values) / math.sqrt(len(values))
    quantile = float(student.ppf((1 + _CONFIDENCE) / 2, len(values) - 1))
    return statistics.fmean(values), half * quantile


@dataclass(frozen=True)
class Part(Answer):
    """One thing that a claim says, with the measurement that decides it.

    Attributes:
        says: the statement, one clause without a full stop.
        measured: the number it is about.
        at_least: it holds only where the whole spread is at least this.
        at_most: it holds only where the whole spread is at most this.
        when: the circumstances that this part is about ("with ten layers or more"); "" for what
            the claim needs in any circumstances.
        beside: it is told but does not decide the claim (times of this machine, asides).
    """

    says: str
    measured: Measured
    at_least: float = -math.inf
    at_most: float = math.inf
    when: str = ""
    beside: bool = False

    @property
    def status(self) -> Status:
        """Holds or fails where the whole spread lies on one side, undecided where it does not."""
        low, high = self.measured.low, self.measured.high
        if math.isnan(self.measured.value):
            return "undecided"
        if self.at_least <= low and high <= self.at_most:
            return "holds"
        if high < self.at_least or low > self.at_most:
            return "fails"
        return "undecided"

    def to_dict(self) -> dict[str, Any]:
        """With the status."""
        return {**super().to_dict(), "status": self.status}


@dataclass(frozen=True)
class Verdict(Answer):
    """What becomes of a claim.

    Attributes:
        kind: "holds", "holds when", "does not hold" or "not decided".
        words: in one sentence.
    """

    kind: str
    words: str


def verdict(parts: Sequence[Part]) -> Verdict:
    """The verdict that the parts of a claim come to.

    What is needed in any circumstances must hold; of parts with circumstances some may.

    Examples:
        >>> fast = Part("it is faster", exact("ratio", 3), at_least=2, when="deep")
        >>> slow = Part("it is faster", exact("ratio", 1), at_least=2, when="shallow")
        >>> verdict([fast, slow]).words
        'holds when deep; not when shallow'
    """
    counted = [part for part in parts if not part.beside]
    always = [part for part in counted if not part.when]
    failed = [part for part in always if part.status == "fails"]
    if failed:
        return Verdict("does not hold", f"does not hold: not so that {_and(failed)}")
    unclear = [part for part in always if part.status == "undecided"]
    if unclear:
        return Verdict("not decided", f"not decided by these runs: whether {_and(unclear)}")
    return _in_circumstances([part for part in counted if part.when])


def _in_circumstances(parts: Sequence[Part]) -> Verdict:
    by = {
        status: [part.when for part in parts if part.status == status]
        for status in ("holds", "fails", "undecided")
    }
    if not by["fails"] and not by["undecided"]:
        return Verdict("holds", "holds")
    if by["holds"]:
        words = f"holds when {_joined(by['holds'])}"
        words += f"; not when {_joined(by['fails'])}" if by["fails"] else ""
        words += f"; not decided when {_joined(by['undecided'])}" if by["undecided"] else ""
        return Verdict("holds when", words)
    if by["fails"] and not by["undecided"]:
        return Verdict("does not hold", f"does not hold when {_joined(by['fails'])}")
    return Verdict("not decided", f"not decided when {_joined(by['undecided'])}")


def _and(parts: Sequence[Part]) -> str:
    return "; ".join(part.says for part in parts)


def _joined(circumstances: Sequence[str]) -> str:
    return ", or ".join(dict.fromkeys(circumstances))
