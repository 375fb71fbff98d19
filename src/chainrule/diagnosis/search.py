"""Search: which smallest set of changes makes the network learn."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.diagnosis.case import CERTAIN, SYMPTOM, TRIED, Case, Hypothesis, late_skill
from chainrule.diagnosis.causes import hypotheses_of
from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.replaying.changes.updating import ReplaceRule, ScaleRate
from chainrule.diagnosis.replaying.crew import Crew
from chainrule.diagnosis.replaying.messages import BASELINE, REPLAY, Outcome, ReplayJob
from chainrule.diagnosis.symptoms import symptoms_of

_MARKS = 12
_LEAST, _MOST = 40, 3000  # steps of a replay
_ROOM = 0.12  # of skill: less than this is no fault, but advice
_SHARE = 0.85  # of the best skill: a network that reaches it learns
_NEAR = 0.06  # skills this near are alike
_LOWEST = 0.1  # below this nothing has been learned
Changes = frozenset[Change]
NOTHING: Changes = frozenset()


@dataclass
class Found:
    """What a search has come to.

    Attributes:
        case: the run as it is.
        hypotheses: all that were raised.
        cures: the hypotheses of the smallest set.
        equivalent: other sets that cure as well.
        runs: outcomes by changes and seed.
        reproduced: whether the failure is there in all seeds.
        seeds: seeds that were tried with the cure.
        proved: whether the rule of evidence holds.
    """

    case: Case
    hypotheses: list[Hypothesis] = field(default_factory=list)
    cures: list[Hypothesis] = field(default_factory=list)
    equivalent: list[list[Hypothesis]] = field(default_factory=list)
    runs: dict[tuple[Changes, int], Outcome] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    proved: bool = False
    unseen: list[str] = field(default_factory=list)
    fails: bool = False
    reference: float = math.nan


class Search:
    """A search for causes.

    Args:
        crew: runs replays.
        seconds: that all of it may take.
        steps: of a replay; None: as many as the time allows.
        seeds: how many seeds or data orders a proof needs.
        tell: is told what goes on, in one line.
    """

    def __init__(
        self, crew: Crew, seconds: float, steps: int | None, seeds: int,
        tell: Callable[[str], None], script: str = "",
    ) -> None:  # fmt: skip
        self.crew, self.seconds, self._steps, self._seeds = crew, seconds, steps, seeds
        self._tell, self._script = tell, script
        self._end = time.perf_counter() + seconds
        self.runs: dict[tuple[Changes, int], Outcome] = {}
        self._planned: dict[int, tuple[Changes, int]] = {}
        self._glance: Any = None
        self.steps = 0
        self._marks: tuple[int, ...] = ()
        self._titles: dict[Changes, str] = {}
        crew.heard = self._heard

    # -- time

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._end - time.perf_counter()

    # -- the beginning

    def begin(self) -> Case:
        """Baseline and symptoms."""
        company = self.crew.companies[self.crew.stage()]
        scouted = company.scouted
        self._choose_steps(scouted)
        self._tell(f"baseline and first replays of {self.steps:,} steps")
        limit = max(5.0, 0.25 * self.seconds)
        whole = None if self._steps is None else self.steps
        job = ReplayJob(0, BASELINE, steps=whole, seconds=limit, marks=self._marks)
        self._plan(NOTHING, 0, job)
        for change in (ScaleRate(10.0), ScaleRate(0.1)):
            self._plan(frozenset((change,)), 0)
        self._collect(until=lambda: self._glance is not None or self._is_done(NOTHING))
        return self._case(company)

    def _choose_steps(self, scouted: Any) -> None:
        pace = scouted.seconds / max(scouted.steps, 1)
        if self._steps is not None:
            wanted = self._steps
        else:
            wanted = int(max(_LEAST, min(_MOST, self.seconds / 25 / max(pace, 1e-5))))
        if scouted.finished:
            wanted = min(wanted, max(scouted.steps, 1))
        self.steps = wanted
        first = [max(1, wanted // 24), max(1, wanted // 12)]
        even = [wanted * place // _MARKS for place in range(1, _MARKS + 1)]
        self._marks = tuple(sorted({0, *first, *[max(1, mark) for mark in even]}))

    def _heard(self, outcome: Outcome, message: tuple[Any, ...]) -> None:
        if message[0] == "watched":
            self._glance = message[1]
        elif message[0] == "done" and outcome.job.role == BASELINE:
            self._glance = outcome.payload or self._glance

    def _case(self, company: Any) -> Case:
        until = time.perf_counter() + min(6.0, self.left / 6)
        while company.start is None and time.perf_counter() < until and self.crew.busy:
            self.crew._turn(until)
        record, self.unseen = self._glance or (None, ())
        baseline = self.runs.get((NOTHING, 0)) or self._running(NOTHING)
        if record is None:
            from chainrule.diagnosis.symptoms import Record

            record = Record()
        if company.start is not None:
            record = dataclasses.replace(record, start=company.start)
        return Case(
            record, symptoms_of(record), company.scouted, baseline, self._script,
            baseline.error, baseline.place,
        )  # fmt: skip

    def _running(self, changes: Changes) -> Outcome:
        for number, (planned, seed) in self._planned.items():
            if planned == changes and seed == 0 and number in self.crew._running:
                return self.crew._running[number].outcome
        return Outcome(ReplayJob(0, BASELINE), 0, ended="lost")

    # -- running sets of changes

    def _plan(self, changes: Changes, seed: int, job: ReplayJob | None = None) -> None:
        early = tuple(sorted((c for c in changes if c.at_setup), key=repr))
        rest = tuple(sorted((c for c in changes if not c.at_setup), key=repr))
        key = self.crew.stage(seed, early)
        if job is None:
            extra = any(getattr(change, "times", 0) for change in rest)
            steps = None if extra else self.steps
            marks = self._marks
            if extra:
                marks = tuple(sorted({*marks, *(int(mark * 5) for mark in marks)}))
            job = ReplayJob(
                0, REPLAY, rest, steps, seconds=max(20.0, self.seconds / 4), marks=marks
            )
        job = self.crew.plan(key, dataclasses.replace(job, changes=rest))
        self._planned[job.number] = (changes, seed)

    def _collect(self, judge: Any = None, until: Callable[[], bool] = lambda: False) -> None:
        for outcome in self.crew.run(judge, until):
            key = self._planned.pop(outcome.job.number, None)
            if key is not None:
                self.runs[key] = outcome

    def _is_done(self, changes: Changes, seed: int = 0) -> bool:
        return any(
            outcome.job.number and self._planned.get(outcome.job.number) == (changes, seed)
            for outcome in self.crew._done
        ) or (changes, seed) in self.runs

    def run(self, sets: Iterable[Changes], seeds: Sequence[int] = (0,), race: bool = False) -> None:
        """Run what has not been run yet."""
        for changes in sets:
            for seed in seeds:
                known = (changes, seed) in self.runs or (changes, seed) in self._planned.values()
                if not known and self.left > 1:
                    self._plan(changes, seed)
        self._collect(self._judge if race else None)

    def _judge(self, outcome: Outcome) -> bool:
        """Whether a replay should go on: hopeless ones are stopped after a third of the way."""
        last = outcome.readings[-1]
        if last.step < self.steps / 3 or math.isnan(last.skill):
            return True
        mine = self._at((NOTHING, 0), last.step)
        best = max(
            (self._at(key, last.step) for key in self.runs if key[1] == 0), default=math.nan
        )
        hopeless = last.skill < mine + 0.03 and best > last.skill + 0.25
        return not hopeless

    def _at(self, key: tuple[Changes, int], step: int) -> float:
        outcome = self.runs.get(key)
        if outcome is None:
            return math.nan
        known = [item.skill for item in outcome.readings if item.step <= step]
        return known[-1] if known else math.nan

    # -- skills

    def skill(self, changes: Changes, seed: int = 0) -> float:
        """Skill at the end of a replay; -1 where it failed, NaN where it was not run."""
        outcome = self.runs.get((changes, seed))
        if outcome is None:
            return math.nan
        if not any(item.step > 0 for item in outcome.readings):
            return -1.0 if outcome.ended in ("lost", "failed") else math.nan
        found = late_skill(outcome)
        if math.isnan(found):
            return self._by_loss(changes, seed)
        return -1.0 if outcome.ended == "failed" and found > 0 and not self._ended(outcome) else (
            found
        )

    def _ended(self, outcome: Outcome) -> bool:
        return outcome.steps >= 0.5 * self.steps

    def _by_loss(self, changes: Changes, seed: int) -> float:
        """Without a yardstick: how far the training loss fell, where the change left it alone."""
        if any(getattr(change, "moves_loss", False) for change in changes):
            return math.nan
        base, outcome = self.runs.get((NOTHING, seed)), self.runs[changes, seed]
        if base is None or not base.totals or not outcome.totals:
            return math.nan
        size = max(1, len(base.totals) // 20)
        start = sum(base.totals[:size]) / size
        last = outcome.totals[-max(1, len(outcome.totals) // 10) :]
        end = sum(last) / len(last)
        if not math.isfinite(end):
            return -1.0
        return max(-1.0, min(1.0, 1 - end / start)) if start > 0 else math.nan

    def baseline(self, seed: int = 0) -> float:
        """Skill of the run unchanged, at its own end where that was seen."""
        return self.skill(NOTHING, seed)

    def best(self) -> float:
        """The best that any replay of the first seed reached."""
        return max(
            (value for (changes, seed) in self.runs if seed == 0
             if not math.isnan(value := self.skill(changes))), default=math.nan,
        )  # fmt: skip

    def learns(self, value: float) -> bool:
        """Whether a skill is near enough to the best that was reached."""
        best = self.best()
        return value >= _SHARE * best or value > best - _ROOM

    # -- the search

    def singles(self, case: Case, hypotheses: list[Hypothesis]) -> None:
        """Each change by itself: cheap ones first, hopeless ones stopped early."""
        now = [item for item in hypotheses if not item.later]
        sets = list(dict.fromkeys(frozenset((item.change,)) for item in now))
        self._tell(f"{len(sets)} replays with one change each")
        self.run(sets, race=True)
        self._collect()
        if self.learns(self.skill_of_best_single(hypotheses)) and self.best() > 0.5:
            known = [item for item in hypotheses if item.later and item.weight >= SYMPTOM]
        else:
            known = [item for item in hypotheses if item.later]
        if known:
            self.run(list(dict.fromkeys(frozenset((i.change,)) for i in known)), race=True)

    def skill_of_best_single(self, hypotheses: list[Hypothesis]) -> float:
        """Of all that were run alone."""
        known = [self.skill(frozenset((item.change,))) for item in hypotheses]
        return max((value for value in known if not math.isnan(value)), default=math.nan)

    def best_of_each(self, hypotheses: list[Hypothesis], least: int) -> list[Hypothesis]:
        """For every code the change that did best by itself."""
        chosen: dict[str, Hypothesis] = {}
        for item in hypotheses:
            if item.weight < least:
                continue
            value = self.skill(frozenset((item.change,)))
            value = -2.0 if math.isnan(value) else value
            before = chosen.get(item.code)
            if before is None or value > _or(self.skill(frozenset((before.change,))), -2.0):
                chosen[item.code] = item
        return list(chosen.values())

    def combine(self, case: Case, hypotheses: list[Hypothesis]) -> None:
        """Several changes together, where no single one restores what can be reached."""
        strong = self.best_of_each(hypotheses, SYMPTOM)
        if len(strong) > 1:
            together = compatible([item.change for item in strong])
            sets = [together]
            adam = frozenset((*_without_rates(together), ReplaceRule("Adam", 1e-3)))
            fast = frozenset((*_without_rates(together), ReplaceRule("Adam", 1e-2)))
            sets += [adam, fast]
            self._tell("changes together")
            self.run(sets)

    def grow(self, hypotheses: list[Hypothesis], start: Changes) -> Changes:
        """Add, one after the other, the change that helps most."""
        current = start
        pool = self.best_of_each(hypotheses, TRIED)
        pool.sort(key=lambda item: (-item.weight, -_or(self.skill(frozenset((item.change,))), -1)))
        for _ in range(3):
            if self.learns(self.skill(current)) or self.left < self.seconds * 0.2:
                break
            options = [
                compatible([*current, item.change]) for item in pool[:10]
                if item.change not in current
            ]
            options += [
                compatible([*current, item.change]) for item in hypotheses
                if item.weight >= SYMPTOM and item.change not in current
            ]
            options = [item for item in dict.fromkeys(options) if item != current]
            self._tell(f"pairs: {len(options)} replays")
            self.run(options[:14], race=True)
            scored = [(self.skill(item), item) for item in options]
            scored = [pair for pair in scored if not math.isnan(pair[0])]
            if not scored:
                break
            top = max(scored, key=lambda pair: pair[0])
            if top[0] <= self.skill(current) + 0.02:
                break
            current = top[1]
        return current

    def shrink(self, start: Changes, weights: dict[Change, int]) -> Changes:
        """Leave out, one after the other, what is not needed."""
        current = start
        while len(current) > 1 and self.left > self.seconds * 0.1:
            smaller = [current - {change} for change in current]
            self.run(smaller)
            full = self.skill(current)
            enough = [
                (weights.get(next(iter(current - item)), 0), -self.skill(item), item)
                for item in smaller
                if self.skill(item) >= full - _NEAR
            ]
            if not enough:
                break
            current = min(enough, key=lambda entry: entry[:2])[2]
        return current

    def confirm(self, cures: Changes, seeds: Sequence[int]) -> None:
        """Baseline and cure over several seeds or data orders."""
        self._tell(f"{len(seeds)} seeds with and without")
        self.run([NOTHING, cures], seeds)

    def prepare(self, seeds: Sequence[int]) -> None:
        """Start the stages of further seeds, to be ready when they are needed."""
        for seed in seeds:
            self.crew.stage(seed)

    def holds(self, cures: Changes, seeds: Sequence[int]) -> bool:
        """The rule of evidence: the worst with the cure beats the best without, by the spread."""
        with_cure = [self.skill(cures, seed) for seed in seeds]
        without = [self.skill(NOTHING, seed) for seed in seeds]
        if any(math.isnan(value) for value in (*with_cure, *without)):
            return False
        spread = max(without) - min(without)
        return min(with_cure) > max(without) + max(0.03, min(spread, 0.5))


def compatible(changes: Sequence[Change]) -> Changes:
    """Changes that can act together: of two of one kind the last."""
    chosen: dict[Any, Change] = {}
    for change in changes:
        chosen[type(change)] = change
    if ReplaceRule in chosen:
        chosen.pop(ScaleRate, None)
    return frozenset(chosen.values())


def _without_rates(changes: Changes) -> Changes:
    return frozenset(item for item in changes if not isinstance(item, ScaleRate | ReplaceRule))


def _or(value: float, other: float) -> float:
    return other if math.isnan(value) else value


__all__ = ["CERTAIN", "NOTHING", "Changes", "Found", "Search", "compatible", "hypotheses_of"]
