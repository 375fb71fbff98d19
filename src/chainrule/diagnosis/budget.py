"""Budget: how closely the next step is watched, so that watching stays within its share."""

from __future__ import annotations

import time
from enum import IntEnum

_LANDMARKS = frozenset((10, 30, 100, 300))
_ALARMS = 10
_ALLOWANCE = 0.3  # seconds that landmarks may take beyond the share, in all
_MOST_SAMPLES = 1000  # about so many full samples, however long the run
_NEVER = float("inf")


class Level(IntEnum):
    """How closely a step is watched.

    BARE: the loss alone. LIGHT: minibatch, output and loss call too. ECHO: gradients as well, to
    be compared with those of the step before. FULL: every layer.
    """

    BARE = 0
    LIGHT = 1
    ECHO = 2
    FULL = 3


class Budget:
    """Decides step by step, from the time that watching has taken so far.

    Three fifths of the share go to full samples, the rest to light ones. The first steps are
    watched in full whatever they cost and not charged. Steps 10, 30, 100 and 300 are too, charged,
    as long as what was spent beyond the share stays below 0.3 s.

    Args:
        share: of the training time that watching may take; 1 watches every step in full.
        first: steps at the start that are watched in full.
        stop_steps, stop_seconds: after so many steps or seconds nothing is watched; None: never.

    Attributes:
        wake: until this time (``time.perf_counter``) all steps are bare.
        wake_step: and until this step.

    Examples:
        >>> budget = Budget(share=0.02, first=2)
        >>> [budget.level(step).name for step in range(3)]
        ['FULL', 'FULL', 'ECHO']
    """

    def __init__(
        self,
        share: float = 0.02,
        first: int = 3,
        stop_steps: int | None = None,
        stop_seconds: float | None = None,
    ) -> None:
        self.share, self.first = share, first
        self.samples = 0
        self.wake, self.wake_step = 0.0, 0
        self._shares = {Level.FULL: 0.6 * share, Level.LIGHT: 0.4 * share}
        self._spent = {Level.FULL: 0.0, Level.LIGHT: 0.0}
        self._price = {Level.FULL: 0.0, Level.LIGHT: 0.0}
        self._stop_steps, self._stop_seconds = stop_steps, stop_seconds
        self._begun: float | None = None
        self._last = Level.BARE
        self._last_full = 0.0
        self._alarms = _ALARMS
        self._begins: tuple[int, ...] = ()

    def again(self, step: int) -> None:
        """Another training begins with this step (counted from 0): look, if it can be afforded."""
        self._begins = (step, step + 1, step + 2)

    def over(self, step: int) -> bool:
        """Whether watching was to end before this step (counted from 0)."""
        if self._stop_steps is not None and step >= self._stop_steps:
            return True
        return self._stop_seconds is not None and self.elapsed >= self._stop_seconds

    @property
    def hears_alarms(self) -> bool:
        """Whether an alarm would still be followed."""
        return self._alarms > 0

    @property
    def elapsed(self) -> float:
        """Seconds since the first step."""
        return 0.0 if self._begun is None else time.perf_counter() - self._begun

    def charge(self, step: int, level: Level, seconds: float) -> None:
        """A step (counted from 0) was watched at a level, which took so long."""
        if level is Level.BARE:
            return
        account = Level.FULL if level >= Level.ECHO else Level.LIGHT
        if step >= self.first:
            self._spent[account] += seconds
        self._price[account] = max(seconds, 0.8 * self._price[account])

    def level(self, step: int, alarm: bool = False) -> Level:
        """How closely to watch a step.

        Args:
            step: its number, from 0.
            alarm: something has just gone wrong: look, within reason, whatever it costs.
        """
        now = time.perf_counter()
        if self._begun is None:
            self._begun = now
        self._last = self._decide(step, now, alarm)
        if self._last is Level.FULL:
            self._last_full = now
            self.samples += 1
        return self._last

    def _decide(self, step: int, now: float, alarm: bool) -> Level:
        landmark = step in _LANDMARKS or step in self._begins
        if step < self.first or self.share >= 1 or (landmark and self._can_afford(now)):
            return Level.FULL
        if alarm and self._alarms:
            self._alarms -= 1
            return Level.FULL
        if self._last is Level.FULL:
            return Level.ECHO
        full, light = self._due(Level.FULL), self._due(Level.LIGHT)
        full = max(full, self._last_full + (now - (self._begun or now)) / _MOST_SAMPLES)
        if now >= full:
            return Level.FULL
        if now >= light:
            return Level.LIGHT
        self.wake = min(full, light)
        self.wake_step = min((mark for mark in _LANDMARKS if mark > step), default=10**18)
        return Level.BARE

    def _can_afford(self, now: float) -> bool:
        """Whether a landmark may be looked at."""
        earned = (now - (self._begun or now)) * self._shares[Level.FULL]
        needed = self._spent[Level.FULL] + self._price[Level.FULL]
        return needed - earned < _ALLOWANCE

    def _due(self, level: Level) -> float:
        """When the next sample at this level can be paid for."""
        if not self.share:
            return _NEVER
        needed = self._spent[level] + self._price[level]
        return (self._begun or 0.0) + needed / self._shares[level]
