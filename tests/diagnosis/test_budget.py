"""Sampling: the first steps in full, then within the share, whatever a look costs."""

from __future__ import annotations

import pytest

from chainrule.diagnosis import budget as module
from chainrule.diagnosis.budget import Budget, Level


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""

    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def run(clock, budget, steps, seconds, cost):
    """Train: each step takes so long, each look at a level so much more. Gives levels and cost."""
    levels, spent = [], 0.0
    for step in range(steps):
        level = budget.level(step)
        levels.append(level)
        clock.now += seconds + cost[level]
        budget.charge(step, level, cost[level])
        if step >= budget.first:
            spent += cost[level]
    return levels, spent


COSTS = {
    "cheap": {Level.BARE: 0.0, Level.LIGHT: 0.0003, Level.ECHO: 0.001, Level.FULL: 0.004},
    "dear": {Level.BARE: 0.0, Level.LIGHT: 0.02, Level.ECHO: 0.1, Level.FULL: 0.4},
}


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("share", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("seconds", [0.0005, 0.01, 0.2])
def test_what_is_spent_stays_within_the_share(clock, cost, share, seconds):
    """But for 0.3 s of debt, and the one look that is on its way."""
    steps = int(120 / seconds) if seconds > 0.001 else 100_000
    levels, spent = run(clock, Budget(share), steps, seconds, COSTS[cost])
    elapsed = clock.now - 100.0
    assert spent <= share * elapsed + 0.3 + COSTS[cost][Level.FULL] + COSTS[cost][Level.ECHO]
    assert levels[:3] == [Level.FULL] * 3
    if 0.6 * share * elapsed > 3 * COSTS[cost][Level.FULL]:
        assert levels[400:].count(Level.FULL) > 0, "what can be paid for is looked at"


def test_the_budget_can_be_overdrawn_by_a_watch_that_does_not_charge(clock):
    """The test above can fail: without charging everything is looked at."""
    budget = Budget(0.02)
    budget.charge = lambda *_: None
    _, spent = run(clock, budget, 1000, 0.01, COSTS["dear"])
    assert spent > 0.02 * (clock.now - 100.0) + 1


def test_landmarks_are_looked_at_where_a_small_debt_allows_it(clock):
    levels, _ = run(clock, Budget(0.02), 301, 0.001, COSTS["cheap"])
    assert all(levels[step] is Level.FULL for step in (10, 30, 100, 300))
    levels, _ = run(clock, Budget(0.02), 301, 0.001, COSTS["dear"])
    assert all(levels[step] is not Level.FULL for step in (10, 30, 100, 300))


def test_a_full_share_watches_every_step(clock):
    levels, _ = run(clock, Budget(1.0), 50, 0.001, COSTS["dear"])
    assert set(levels) == {Level.FULL}


def test_an_alarm_is_followed_within_reason(clock):
    budget = Budget(0.02)
    run(clock, budget, 5, 0.001, COSTS["dear"])
    followed = 0
    for step in range(50, 90):
        clock.now += 0.001
        followed += budget.level(step, alarm=True) is Level.FULL
    assert followed == 10
    assert not budget.hears_alarms


def test_an_end_by_steps_and_by_seconds(clock):
    budget = Budget(stop_steps=5, stop_seconds=2.0)
    budget.level(0)
    assert [budget.over(step) for step in (4, 5)] == [False, True]
    clock.now += 2.5
    assert budget.over(1)
