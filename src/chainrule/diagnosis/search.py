"""Search: which smallest set of changes makes the network learn."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chainrule.diagnosis.case import (
    CERTAIN,
    SYMPTOM,
    TRIED,
    Case,
    Hypothesis,
    late_held,
    late_skill,
)
from chainrule.diagnosis.replaying.changes.more_steps import MoreSteps
from chainrule.diagnosis.replaying.changes.updating import ClipGradients, ReplaceRule, ScaleRate
from chainrule.diagnosis.replaying.crew import Crew
from chainrule.diagnosis.replaying.messages import BASELINE, REPLAY, Outcome, ReplayJob
from chainrule.diagnosis.symptoms import symptoms_of
from chainrule.diagnosis.weighing import (
    GOOD,
    NEAR,
    NOTHING,
    Changes,
    alone,
    compatible,
    counts,
    known,
)

_MARKS = 12
_LEAST, _MOST = 40, 2500  # steps of a replay
_RATES = (ScaleRate, ReplaceRule, ClipGradients, MoreSteps)


class Search:
    """A search for causes.

    Args:
        crew: runs replays.
        seconds: that all of it may take.
        steps: of a replay; None: as many as the time allows.
        tell: is told what goes on, in one line.
    """

    def __init__(
        self, crew: Crew, seconds: float, steps: int | None,
        tell: Callable[[str], None], script: str = "",
    ) -> None:  # fmt: skip
        self.crew, self.seconds, self._steps = crew, seconds, steps
        self._tell, self._script = tell, script
        self._end = time.perf_counter() + seconds
        self.runs: dict[tuple[Changes, int], Outcome] = {}
        self._planned: dict[int, tuple[Changes, int]] = {}
        self._glance: Any = None
        self.unseen: tuple[str, ...] = ()
        self.steps = 0
        self._marks: tuple[int, ...] = ()
        self.late: tuple[Any, ...] | None = None  # the copy that replays are forked from
        self.held = False  # whether skills are those on what the script evaluates on
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
        beyond = (self.steps * place // 6 for place in range(7, 200))
        marks = tuple(sorted({*self._marks, *beyond}))
        job = ReplayJob(
            0, BASELINE, steps=None, seconds=limit, marks=marks, watched=self.steps,
            late=tuple(self.steps * 2**power for power in range(6)),
        )  # fmt: skip
        self._plan(NOTHING, 0, job)
        for change in (ScaleRate(10.0), ScaleRate(0.1)):
            self._plan(frozenset((change,)), 0)
        self._collect(until=lambda: self._glance is not None or self._is_done(NOTHING))
        return self._case(company)

    def _choose_steps(self, scouted: Any) -> None:
        pace = scouted.pace
        if self._steps is not None:
            wanted = self._steps
        else:
            wanted = int(max(_LEAST, min(_MOST, self.seconds / 40 / max(pace, 1e-5))))
        if scouted.finished:
            wanted = min(wanted, max(scouted.steps, 1))
        self.steps = wanted
        self._set_marks()

    def _set_marks(self, begun: int = 0) -> None:
        wanted = self.steps - begun
        first = [max(1, wanted // 24), max(1, wanted // 12)]
        even = [wanted * place // _MARKS for place in range(1, _MARKS + 1)]
        marks = {0, *first, *[max(1, mark) for mark in even]}
        self._marks = tuple(sorted(begun + mark for mark in marks))

    def _heard(self, outcome: Outcome, message: tuple[Any, ...]) -> None:
        if message[0] == "watched":
            self._glance = message[1]
        elif message[0] == "done" and outcome.job.role == BASELINE:
            self._glance = outcome.payload or self._glance

    def _case(self, company: Any) -> Case:
        until = time.perf_counter() + min(6.0, self.left / 6)
        while company.start is None and time.perf_counter() < until and self.crew.busy:
            self.crew.hear(until)
        record, self.unseen = self._glance or (None, ())
        baseline = self.runs.get((NOTHING, 0)) or self._running(NOTHING)
        if record is None:
            from chainrule.diagnosis.symptoms import Record

            record = Record()
        if company.start is not None:
            record = dataclasses.replace(record, start=company.start)
        return Case(
            record, symptoms_of(record), company.scouted, baseline, self._script,
            baseline.error,
        )  # fmt: skip

    def as_it_ended(self, case: Case) -> Case:
        """The case with what was watched up to the baseline's end."""
        record = self._glance[0] if self._glance else case.record
        record = dataclasses.replace(record, start=case.record.start)
        return dataclasses.replace(case, record=record, findings=symptoms_of(record))

    def _running(self, changes: Changes) -> Outcome:
        for number, planned in self._planned.items():
            outcome = self.crew.so_far(number)
            if planned == (changes, 0) and outcome is not None:
                return outcome
        return Outcome(ReplayJob(0, BASELINE), 0, ended="lost")

    # -- running sets of changes

    def _plan(self, changes: Changes, seed: int, job: ReplayJob | None = None) -> None:
        early = tuple(sorted((c for c in changes if c.at_setup), key=repr))
        rest = tuple(sorted((c for c in changes if not c.at_setup), key=repr))
        key = self.crew.stage(seed, early)
        if self.late is not None and seed == 0 and not early and changes:
            key = self.late
        if job is None:
            extra = any(getattr(change, "times", 0) for change in rest)
            steps = None if extra else self.steps
            marks = self._marks
            if extra:
                marks = tuple(
                    sorted({*marks, *(mark * times for mark in marks for times in (5, 20))})
                )
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

    def _is_done(self, changes: Changes) -> bool:
        ended = (
            self.crew.has_ended(number)
            for number, planned in self._planned.items() if planned == (changes, 0)
        )  # fmt: skip
        return (changes, 0) in self.runs or any(ended)

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
        if any(getattr(change, "times", 0) for change in outcome.job.changes):
            return True  # what it brings comes at its end
        last = outcome.readings[-1]
        if last.step < self.steps / 3 or math.isnan(last.skill):
            return True
        mine = self._at((NOTHING, 0), last.step)
        best = max((self._at(key, last.step) for key in self.runs if key[1] == 0), default=math.nan)
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
        until = math.inf if changes else self.steps  # the baseline went on to its own end
        if self.held:
            return late_held(outcome, until)
        found = late_skill(outcome, until)
        if math.isnan(found):
            return self._by_loss(changes, seed)
        cut_short = outcome.ended == "failed" and outcome.steps < 0.5 * self.steps
        return -1.0 if cut_short and found > 0 else found

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
        """Skill of the run unchanged, after as many steps as the replays."""
        return self.skill(NOTHING, seed)

    def reached(self) -> float:
        """Skill of the run unchanged after as many steps, or at its own end if that is better."""
        outcome = self.runs.get((NOTHING, 0))
        if outcome is None:
            return math.nan
        late = late_held(outcome) if self.held else late_skill(outcome)
        base = self.baseline()
        return base if math.isnan(late) else max(base, late)

    def broke_late(self) -> bool:
        """Whether the run unchanged got worse after as many steps as the replays have."""
        outcome = self.runs.get((NOTHING, 0))
        if outcome is None or outcome.steps < 1.2 * self.steps:
            return False
        broken = outcome.totals and not math.isfinite(outcome.totals[-1])
        return bool(broken) or late_skill(outcome) < self.baseline() - 0.15

    def move_on(self) -> None:
        """Replay from shortly before the run got worse, or longer; those so far count no more."""
        base = self.runs[NOTHING, 0]
        good = max(item.skill for item in base.readings)
        broken = next(
            (item.step for item in base.readings
             if item.step > self.steps and not item.skill > good - 0.15), base.steps,
        )  # fmt: skip
        self.late = self.crew.copy_before(broken - 1)
        begun = self.crew.companies[self.late].late if self.late else 0
        self.steps = min(base.steps, begun + 4 * self.steps)
        self._set_marks(begun)
        self.runs = {key: value for key, value in self.runs.items() if key == (NOTHING, 0)}
        self._tell(f"replays from step {begun:,}, before the run got worse")

    def best(self) -> float:
        """The best that any replay of the first seed reached."""
        return max(
            (value for (changes, seed) in self.runs if seed == 0
             if not math.isnan(value := self.skill(changes))), default=math.nan,
        )  # fmt: skip

    # -- the search

    def singles(self, hypotheses: list[Hypothesis]) -> None:
        """Each change by itself: what something speaks for first, the usual suspects after it.

        In between all that something speaks for is tried at once: of several faults no cure does
        anything alone, and then there is no need to try what nothing speaks for.
        """
        spoken = [item for item in hypotheses if item.weight >= SYMPTOM]
        rest = [item for item in hypotheses if item.weight < SYMPTOM]
        stages: tuple[Callable[[], None], ...] = (
            lambda: self._each([item for item in spoken if item.weight >= CERTAIN]),
            lambda: self._each([item for item in spoken if not item.later]),
            lambda: self._each([item for item in spoken if item.later]),
            lambda: self.together(hypotheses),
            lambda: self._each([item for item in rest if not item.later]),
            lambda: self._each([item for item in rest if item.later]),
        )
        for stage in stages:
            stage()
            if self.explained(hypotheses):
                break

    def _each(self, hypotheses: list[Hypothesis]) -> None:
        sets = list(dict.fromkeys(alone(one) for one in hypotheses))
        if sets:
            self._tell(f"{len(sets)} replays with one change each")
        self.run(sets, race=True)  # without any, too: what runs already is waited for

    def explained(self, hypotheses: list[Hypothesis]) -> bool:
        """Whether what something speaks for has cured, or nothing is wrong."""
        best, base = self.best(), self.reached()
        spoken = [item for item in hypotheses if item.weight >= SYMPTOM and not item.held]
        if not self._is_open(spoken, base) and not counts(TRIED, base, best) and base > 0.6:
            return True
        cures = {alone(item): item.weight for item in spoken} | self._spoken_sets(spoken)
        untried = any((alone(item), 0) not in self.runs for item in spoken)
        enough = 0.95 if untried else GOOD  # another may do better than good
        return any(
            counts(weight, base, value) and value > max(best - NEAR, enough)
            for cure, weight in cures.items() if not math.isnan(value := self.skill(cure))
        )  # fmt: skip

    def _is_open(self, spoken: list[Hypothesis], base: float) -> bool:
        """Whether something that speaks has not been tried, alone and all at once."""
        together = self._all_at_once(spoken)
        untried = [alone(item) for item in spoken] + ([together] if len(together) > 1 else [])
        return base <= GOOD and any((option, 0) not in self.runs for option in untried)

    def _all_at_once(self, hypotheses: list[Hypothesis]) -> Changes:
        strong = self.best_of_each(hypotheses, SYMPTOM)
        strong.sort(key=lambda item: item.weight)
        return compatible([item.change for item in strong if not isinstance(item.change, _RATES)])

    def _spoken_sets(self, spoken: list[Hypothesis]) -> dict[Changes, int]:
        """Sets of several changes that were run, of which something speaks for each."""
        changes = {item.change for item in spoken}
        return {
            key: SYMPTOM for key, seed in self.runs if seed == 0 and len(key) > 1 and key <= changes
        }

    def best_of_each(self, hypotheses: list[Hypothesis], least: int) -> list[Hypothesis]:
        """For every code the change that did best by itself."""
        chosen: dict[str, Hypothesis] = {}
        for item in hypotheses:
            if item.weight < least:
                continue
            before = chosen.get(item.code)
            value = known(self.skill(alone(item)), -2.0)
            if before is None or value > known(self.skill(alone(before)), -2.0):
                chosen[item.code] = item
        return list(chosen.values())

    def together(self, hypotheses: list[Hypothesis]) -> None:
        """All that something speaks for at once: as it is, and with a rule that suits most."""
        hypotheses = [item for item in hypotheses if not item.held]
        rest = self._all_at_once(hypotheses)
        strong = self.best_of_each(hypotheses, SYMPTOM)
        rates = [item.change for item in strong if isinstance(item.change, ScaleRate)]
        if len(rest) + len(rates) < 2:
            return
        self._tell("changes together")
        self.run([option for option in (rest, *(compatible([*rest, rate]) for rate in rates))
                  if len(option) > 1])  # fmt: skip
        if rest and not self.explained(hypotheses):
            self.run(self._other_ways(rest, hypotheses))
        if rest and not self.explained(hypotheses):
            self.run([compatible([*rest, ReplaceRule("Adam", rate)]) for rate in (1e-3, 1e-2)])

    def _other_ways(self, together: Changes, hypotheses: list[Hypothesis]) -> list[Changes]:
        """The set with another change for one of its codes, of those that alone did no worse.

        While something else is wrong no change of a code does anything, and which of them is the
        right one does not show.
        """
        codes = {item.code: item.change for item in hypotheses if item.change in together}
        found = []
        for item in hypotheses:
            chosen = codes.get(item.code)
            if chosen is None or item.change in together or item.weight < SYMPTOM or item.held:
                continue
            worse = known(self.skill(frozenset((chosen,))), -1.0) - NEAR
            if known(self.skill(alone(item)), -1.0) >= worse:
                found.append((together - {chosen}) | {item.change})
        return [option for option in found if len({*map(type, option)}) == len(option)][:6]

    def changed_script(self, source: str) -> float:
        """Skill of a changed script, run from its beginning; NaN where there was no time for it."""
        key = self.crew.stage(0, (), source)
        self._tell("running the mended script")
        self.crew.ready([key], self.left)
        if self.crew.companies[key].state != "ready":
            return -1.0 if self.left > 1 else math.nan
        steps = self.crew.companies[key].scouted.steps
        finished = self.crew.companies[key].scouted.finished
        wanted = steps if finished else self.steps
        marks = tuple(sorted({*self._marks, max(1, wanted - 1), wanted}))
        job = ReplayJob(0, REPLAY, (), wanted, self.left, marks)
        job = self.crew.plan(key, job)
        done = [item for item in self.crew.run() if item.job.number == job.number]
        if not done or done[0].ended == "seconds":
            return math.nan
        return late_held(done[0]) if self.held else late_skill(done[0])

    def by_yardstick_of(self, cures: Changes) -> float:
        """Skill of the run unchanged by the minibatches that the cures make of the data.

        NaN where they leave the data alone, or there was no time.
        """
        early = tuple(sorted((c for c in cures if c.at_setup), key=repr))
        company = self.crew.companies.get((0, early, None)) if early else None
        if company is None or company.scouted is None:
            return math.nan
        job = ReplayJob(
            0, REPLAY, (), self.steps, self.left, self._marks, yardstick=company.scouted.file
        )
        job = self.crew.plan(self.crew.stage(), job)
        done = [item for item in self.crew.run() if item.job.number == job.number]
        return late_skill(done[0]) if done else math.nan

    def forget(self, changes: Changes) -> None:
        """Replays with one of these changes count no more."""
        self.runs = {key: value for key, value in self.runs.items() if not key[0] & changes}

    def confirm(self, cures: Changes, seeds: Sequence[int], without: Changes = NOTHING) -> None:
        """With the cure and without it, over several seeds or data orders."""
        self._tell(f"{len(seeds)} seeds with and without")
        self.run([without, cures], seeds)

    def prepare(self, seeds: Sequence[int]) -> None:
        """Start the stages of further seeds, to be ready when they are needed."""
        for seed in seeds:
            self.crew.stage(seed)

    def holds(self, cures: Changes, seeds: Sequence[int], without: Changes = NOTHING) -> bool:
        """The rule of evidence: the worst with the cure beats the best without, by the spread."""
        with_cure = [self.skill(cures, seed) for seed in seeds]
        known = [self.skill(without, seed) for seed in seeds]
        if any(math.isnan(value) for value in (*with_cure, *known)):
            return False
        # all that is worse than the constant predictor has learned nothing, one as the other
        before = [max(value, 0.0) for value in known]
        spread = max(before) - min(before)
        return min(with_cure) > max(before) + max(0.03, spread)
