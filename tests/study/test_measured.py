"""Numbers with their spread, and the verdicts they come to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from chainrule.study.measured import (
    WORST,
    Part,
    exact,
    mean_of,
    median_of,
    ratio_of,
    verdict,
    worst_of,
)

VALUES = [2.3, 1.9, 2.8, 2.2, 2.6]


def test_mean_has_the_interval_of_student() -> None:
    found = mean_of("x", VALUES)
    low, high = stats.t.interval(0.95, 4, np.mean(VALUES), stats.sem(VALUES))
    assert found.value == pytest.approx(np.mean(VALUES), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


def test_mean_covers_the_truth_in_95_of_100() -> None:
    drawn = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        found = mean_of("x", list(drawn.normal(1.0, 2.0, 5)))
        covered += found.low <= 1.0 <= found.high
    assert 0.935 < covered / 2000 < 0.965


def test_ratio_is_the_mean_of_logarithms() -> None:
    found = ratio_of("x", VALUES)
    logs = mean_of("x", [math.log(value) for value in VALUES])
    assert found.value == pytest.approx(stats.gmean(VALUES))
    assert (found.low, found.high) == pytest.approx((math.exp(logs.low), math.exp(logs.high)))


def test_median_takes_what_never_came_to_an_end() -> None:
    found = median_of("steps", [10, math.inf, 30, math.inf, math.inf])
    assert (found.low, found.value, found.high) == (10, math.inf, math.inf)


@pytest.mark.parametrize(("largest", "worst"), [(True, 2.8), (False, 1.9)])
def test_worst_run_alone_decides(largest: bool, worst: float) -> None:
    found = worst_of("x", VALUES, "nats", largest=largest)
    assert (found.low, found.value, found.high) == (worst, worst, worst)
    assert (found.runs, found.unit, found.spread) == (5, "nats", WORST)


def test_one_bad_run_of_many_refutes() -> None:
    values = [0.0] * 40 + [1e-3]
    assert Part("it is never above 0", worst_of("x", values), at_most=0).status == "fails"
    assert Part("its mean is 0", mean_of("x", values), at_most=0).status == "undecided"


@pytest.mark.parametrize("values", [[math.nan, 0.0], [0.0, math.nan], [1.0, math.nan, 2.0]])
def test_a_run_that_is_not_a_number_decides_nothing(values: list[float]) -> None:
    for largest in (True, False):
        found = worst_of("x", values, largest=largest)
        assert math.isnan(found.value)
        assert Part("it is", found, at_most=5).status == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [(1, 2, "holds"), (0, 0.5, "fails"), (0.5, 1.5, "undecided"), (0.5, 5, "undecided")],
)
def test_status_needs_the_whole_spread(low: float, high: float, status: str) -> None:
    measured = mean_of("x", [low, high])
    part = Part("it is", measured.__class__("x", (low + high) / 2, low, high), at_least=1)
    assert part.status == status


def test_not_a_number_decides_nothing() -> None:
    assert Part("it is", exact("x", math.nan), at_least=1).status == "undecided"


def _part(value: float, when: str = "", beside: bool = False) -> Part:
    return Part(f"it is {value}", exact("x", value), at_least=1, when=when, beside=beside)


def _unclear(when: str = "") -> Part:
    return Part("it may be", mean_of("x", [0, 2]), at_least=1, when=when)


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ([_part(1), _part(2)], "holds"),
        ([_part(1), _part(0)], "does not hold"),
        ([_part(0), _unclear()], "does not hold"),
        ([_part(1), _unclear()], "not decided"),
        ([_part(1), _part(1, "deep"), _part(0, "shallow")], "holds when"),
        ([_part(1, "deep"), _unclear("shallow")], "holds when"),
        ([_part(0, "deep"), _part(0, "shallow")], "does not hold"),
        ([_part(0, "deep"), _unclear("shallow")], "not decided"),
        ([_part(0), _part(1, "deep")], "does not hold"),
        ([_part(1), _part(0, beside=True)], "holds"),
    ],
)
def test_verdict(parts: list[Part], kind: str) -> None:
    assert verdict(parts).kind == kind


def test_verdict_names_circumstances() -> None:
    words = verdict([_part(1, "deep"), _part(0, "shallow"), _unclear("wide")]).words
    assert words == "holds when deep; not when shallow; not decided when wide"
