"""Examination: one diagnosis from beginning to end, and what it comes to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from chainrule.diagnosis.account import percent, replays_of, ruled_out, suspects_of
from chainrule.diagnosis.case import CERTAIN, LOWEST, SYMPTOM, Case, Hypothesis, late_held
from chainrule.diagnosis.causes import hypotheses_of
from chainrule.diagnosis.choice import Choice
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.proof import Proof, checked_controls, proof_of
from chainrule.diagnosis.replaying.company import Company
from chainrule.diagnosis.replaying.crew import Crew
from chainrule.diagnosis.script import Script
from chainrule.diagnosis.search import Search
from chainrule.diagnosis.source import applied, diff, read_source
from chainrule.diagnosis.verdict import (
    CANNOT_TELL,
    FAULTY,
    HEALTHY,
    LIKELY,
    PROVED,
    Advice,
    CauseFound,
    Diagnosis,
)
from chainrule.diagnosis.weighing import GOOD, NOTHING, Changes, alone, counts

_HELD, _LEARNED = 50, 0.5  # examples, and skill from which on a failure on others is one

Tell = Callable[[str], None]


class Examination:
    """One diagnosis from beginning to end."""

    def __init__(
        self, script: Script | None, recipe: dict[str, Any] | None, seconds: float,
        steps: int | None, jobs: int, seeds: int, tell: Tell, name: str = "",
        program: Callable[[], None] | None = None, ray: str | None = None,
    ) -> None:  # fmt: skip
        self.program, self._ray = program, ray
        self.script, self.recipe = script, recipe
        self.seconds, self.steps, self.jobs, self.seeds = seconds, steps, jobs, seeds
        self._tell = tell
        self._begun = time.perf_counter()
        self._name = name if script is None else " ".join([script.name, *script.arguments])
        self.controls: list[tuple[str, bool]] = []
        self.unseen: list[str] = []

    def run(self) -> Diagnosis:
        """Examine."""
        deadline = self._begun + self.seconds
        with self._crew(deadline) as crew:
            self._tell("running the script to its first training step")
            key = crew.stage()
            crew.ready([key], self.seconds * 0.6)
            company = crew.companies[key]
            if company.state != "ready":
                return self._nothing_seen(company)
            path = "" if self.script is None or self.script.module else str(
                Path(self.script.name).absolute())  # fmt: skip
            search = Search(crew, deadline - time.perf_counter(), self.steps, self._tell, path)
            return self._examined(crew, company, search)

    def _crew(self, deadline: float) -> Crew:
        options: dict[str, Any] = {
            "recipe": self.recipe, "jobs": self.jobs, "deadline": deadline, "program": self.program,
        }  # fmt: skip
        if self._ray is None:
            return Crew(self.script, **options)
        from chainrule.diagnosis.replaying.on_ray import RayCrew

        return RayCrew(self.script, address=self._ray, **options)

    def _examined(self, crew: Crew, company: Company, search: Search) -> Diagnosis:
        case = search.begin()
        hypotheses, failed = hypotheses_of(case)
        self.unseen += [*failed, *search.unseen]
        search.singles([item for item in hypotheses if not item.held])
        case.baseline = search.runs.get((NOTHING, 0), case.baseline)
        hypotheses = self._with_evaluation(case, search, hypotheses)
        if search.broke_late():
            search.move_on()
            search.singles([item for item in hypotheses if not item.held])
        search.held = False
        if search.best() > search.baseline() + 0.05:
            search.prepare(range(1, self.seeds))
        return self._judged(case, search, hypotheses)

    def _with_evaluation(
        self, case: Case, search: Search, hypotheses: list[Hypothesis]
    ) -> list[Hypothesis]:
        """Hypotheses about evaluation raised once more: it may have come at the script's end."""
        again, _ = hypotheses_of(search.as_it_ended(case))
        known = {(item.code, item.change) for item in hypotheses}
        fresh = [item for item in again if item.held and (item.code, item.change) not in known]
        return hypotheses + fresh

    # -- what it comes to

    def _judged(self, case: Case, search: Search, hypotheses: list[Hypothesis]) -> Diagnosis:
        choice = Choice(search, [item for item in hypotheses if not item.held])
        cures = choice.smallest()
        if not cures and any(item.held for item in hypotheses):
            choice = self._by_evaluation(search, hypotheses)
            cures = choice.smallest()
        if moved := self._only_measured(search, cures):
            rest = [item for item in hypotheses if item.change not in moved]
            search.forget(moved)
            search.singles([item for item in rest if not item.held])
            return self._judged(case, search, rest)
        needed = {item.change for item in hypotheses if item.decisive}
        if needed and not needed & cures:
            return self._without_cure(case, search, hypotheses)
        if cures:
            proofs = [self._steadiest(search, choice, self._proved(search, choice, cures))]
            cures = proofs[0].cures
            self.controls = checked_controls(search, cures, self.unseen)
            if not search.held:
                proofs += self._besides(search, cures, hypotheses)
            return self._told(case, search, choice, proofs, hypotheses)
        search.held = False
        base = search.reached()
        if case.record.start.axes and not base > GOOD:  # else it may be a sequence, and meant so
            return self._end(
                CANNOT_TELL, "the answer for one example depends on the others of its minibatch: "
                f"{case.record.start.axes} takes the first axis for time (batch_first=False)",
                case, search, hypotheses,
            )  # fmt: skip
        certain = any(item.weight >= CERTAIN for item in hypotheses)
        if base >= LOWEST and base >= 0.6 * search.best() and not certain:
            return self._learned(case, search, hypotheses)
        return self._without_cure(case, search, hypotheses)

    def _only_measured(self, search: Search, cures: Changes) -> Changes:
        """Changes of the data that are not shown to teach anything.

        They come with minibatches of their own to measure on, which may be easier to answer; for
        the run unchanged as well, and then they are none of its causes.
        """
        early = frozenset(change for change in cures if change.at_setup)
        if not early:
            return NOTHING
        base, after = search.baseline(), search.skill(cures)
        unchanged = search.by_yardstick_of(cures) if search.left > 2 else math.nan
        if math.isnan(unchanged):
            self.unseen.append("the run unchanged by the minibatches of a change of the data")
        return NOTHING if unchanged <= base + 0.5 * (after - base) else early

    def _proved(
        self, search: Search, choice: Choice, cures: Changes, without: Changes = NOTHING
    ) -> Proof:
        """The cures held against the run without them, over several seeds."""
        seeds = range(self.seeds)
        search.confirm(cures, seeds, without)
        return proof_of(search, cures, choice.named(cures - without), seeds, without)

    def _steadiest(self, search: Search, choice: Choice, proof: Proof) -> Proof:
        """The proof; where it does not hold with other seeds that of an equal that does."""
        if proof.holds or not proof.is_split:
            return proof
        for cures in choice.alternatives(proof.cures)[:3]:
            if search.left < 8:
                break
            other = self._proved(search, choice, cures)
            if other.holds:
                return other
        return proof

    def _besides(self, search: Search, cures: Changes, hypotheses: list[Hypothesis]) -> list[Proof]:
        """It fits now: does what it is evaluated on need something else, too?"""
        held = [item for item in hypotheses if item.held and item.weight >= SYMPTOM]
        if not held or search.left < 4:
            return []
        search.held = True
        options = {item: cures | {item.change} for item in held}
        search.run(options.values())
        base = search.skill(cures)
        helped = [item for item in held if counts(item.weight, base, search.skill(options[item]))]
        best = max(helped, key=lambda item: search.skill(options[item]), default=None)
        if best is None:
            search.held = False
            return []
        return [self._proved(search, Choice(search, held), options[best], cures)]

    def _by_evaluation(self, search: Search, hypotheses: list[Hypothesis]) -> Choice:
        """It fits: what of the data that the script evaluates on?"""
        held = [item for item in hypotheses if item.held]
        search.held = True
        search.run([alone(item) for item in held])
        return Choice(search, held)

    def _told(
        self, case: Case, search: Search, choice: Choice, proofs: list[Proof],
        hypotheses: list[Hypothesis],
    ) -> Diagnosis:  # fmt: skip
        broken = [name for name, held in self.controls if not held]
        chosen = [item for proof in proofs for item in proof.chosen]
        proved = all(proof.holds for proof in proofs) and not broken
        causes = tuple(
            self._cause(item, PROVED if proof.holds and not broken else LIKELY, proof.evidence)
            for proof in proofs for item in proof.chosen
        )  # fmt: skip
        base, after = search.baseline(), search.skill(proofs[-1].cures)
        patched, checked = self._repaired(search, chosen, after)
        if checked is not None:
            causes = tuple(replace(item, checked=checked) if item.fix else item for item in causes)
        if broken:
            return self._end(
                CANNOT_TELL, f"a control failed: {broken[0]} does not hold", case, search,
                hypotheses, causes=causes,
            )  # fmt: skip
        certain = any(item.weight >= CERTAIN for item in chosen)
        if not proved and not certain and any(proof.is_split for proof in proofs):
            return self._end(
                CANNOT_TELL, "what makes a difference with one seed makes none with another", case,
                search, hypotheses,
            )  # fmt: skip
        names = " and ".join(item.code for item in chosen)
        without = "it" if len(chosen) == 1 else "them"
        where = ", on what it is evaluated on," if search.held else ""
        return self._end(
            FAULTY,
            f"{names}: without {without} the network goes{where} from {percent(base)} to "
            f"{percent(after)} of the way from the constant predictor to perfect answers",
            case, search, hypotheses, causes=causes, equivalent=self._equivalent(choice, proofs),
            patched=patched,
        )  # fmt: skip

    @staticmethod
    def _equivalent(choice: Choice, proofs: list[Proof]) -> tuple[tuple[str, ...], ...]:
        """Sets of codes that cure as well; with what the evaluation needs besides."""
        before, choice.search.held = choice.search.held, proofs[0].held
        found = choice.equivalent(list(proofs[0].chosen), proofs[0].cures)
        choice.search.held = before
        rest = [item.code for proof in proofs[1:] for item in proof.chosen]
        return tuple(tuple(sorted({*codes, *rest})) for codes in found)

    def _repaired(
        self, search: Search, chosen: list[Hypothesis], after: float
    ) -> tuple[dict[str, str], bool | None]:
        """The script with all edits, run: its text, and whether it learned; None: not tried."""
        edits = [edit for item in chosen for edit in item.edits]
        own = "" if self.script is None else str(Path(self.script.name).absolute())
        source = read_source(own) if own else None
        if source is None or not all(item.edits for item in chosen) or search.left < 5:
            return {}, None
        if any(edit.file != own for edit in edits):
            return {}, None
        text = applied(source.text, edits)
        value = search.changed_script(text)
        if math.isnan(value):
            return {}, None
        learned = value >= 0.8 * after or value >= after - 0.12
        return ({own: text} if learned else {}), learned

    def _cause(self, item: Hypothesis, status: str, evidence: dict[str, Any]) -> CauseFound:
        place = item.at
        fix = ""
        if item.edits:
            source = read_source(item.edits[0].file)
            if source is not None:
                after = applied(source.text, [e for e in item.edits if e.file == source.file])
                fix = diff(Place(source.file, 1).short, source.text, after)
        return CauseFound(
            item.code, status, place.short if place else "", place.line if place else 0,
            item.meaning, item.remedy, dict(item.evidence) | evidence, fix,
            intervention=item.change.title,
        )  # fmt: skip

    def _learned(self, case: Case, search: Search, hypotheses: list[Hypothesis]) -> Diagnosis:
        base, best = search.reached(), search.best()
        if math.isnan(base):
            why = case.scouted.why or f"the run made {case.baseline.steps:,} steps in this time"
            return self._end(
                CANNOT_TELL, f"there is nothing to measure by: {why}", case, search, hypotheses
            )
        if best < LOWEST:
            return self._end(
                CANNOT_TELL, "neither the run nor any replay of it got better than the constant "
                "predictor", case, search, hypotheses,
            )  # fmt: skip
        known = late_held(case.baseline)
        if case.scouted.held >= _HELD and known < LOWEST and base > _LEARNED:
            return self._end(
                CANNOT_TELL, f"it learns what it is trained on ({percent(base)}) and next to "
                f"nothing of what it is evaluated on ({percent(max(known, 0.0))}), and no change "
                "that was tried mends that", case, search, hypotheses,
            )  # fmt: skip
        advice = []
        for item in hypotheses:
            value = search.skill(frozenset((item.change,)))
            if value > base + 0.05:
                text = (
                    f"{item.change.title}: {percent(value)} in place of {percent(base)} after "
                    f"{search.steps:,} steps"
                )
                advice.append(Advice(item.code, text))
        return self._end(
            HEALTHY, f"the network learns ({percent(base)} of the way from the constant predictor "
            "to perfect answers), and no change does clearly better", case, search, hypotheses,
            advice=tuple(advice[:5]),
        )  # fmt: skip

    def _without_cure(self, case: Case, search: Search, hypotheses: list[Hypothesis]) -> Diagnosis:
        base = search.baseline()
        certain = [item for item in hypotheses if item.weight >= CERTAIN]
        certain.sort(key=lambda item: not item.decisive)
        if certain:
            causes = tuple(self._cause(item, LIKELY, {}) for item in certain[:1])
            return self._end(
                FAULTY, f"{certain[0].code}: {certain[0].meaning}", case, search, hypotheses,
                causes=causes,
            )  # fmt: skip
        if case.crash:
            return self._end(
                CANNOT_TELL, f"the script breaks down: {case.crash}", case, search, hypotheses
            )
        if not case.task and case.record.need_not_fall:
            return self._end(
                CANNOT_TELL, "its loss need not fall (a reward, or networks trained against each "
                "other): there is no task to measure by", case, search, hypotheses,
            )  # fmt: skip
        symptoms = [item for item in hypotheses if item.weight >= SYMPTOM]
        reason = (
            f"the network does not learn ({percent(base)}), and no change that was tried makes it"
        )
        if symptoms:
            reason += f"; symptoms speak for {', '.join(dict.fromkeys(i.code for i in symptoms))}"
        return self._end(CANNOT_TELL, reason, case, search, hypotheses)

    def _nothing_seen(self, company: Company) -> Diagnosis:
        place = f" ({company.place})" if company.place else ""
        if company.state == "untrained" and not company.error:
            reason = (
                f"script '{self._name}' ended without a training step: no network was run with "
                "gradients and no backward() was called"
            )
        elif company.error:
            reason = f"script '{self._name}' breaks down before its first step: {company.error}"
        else:
            reason = (
                f"script '{self._name}' did not come to its first training step within "
                f"{self.seconds * 0.6:.0f} s: a larger budget (--seconds) gives it more"
            )
        return Diagnosis(
            CANNOT_TELL, self._name, reason + place, notes=company.notes,
            seconds=time.perf_counter() - self._begun,
        )  # fmt: skip

    def _end(
        self, verdict: str, reason: str, case: Case, search: Search, hypotheses: list[Hypothesis],
        causes: tuple[CauseFound, ...] = (), equivalent: tuple[tuple[str, ...], ...] = (),
        advice: tuple[Advice, ...] = (), patched: dict[str, str] | None = None,
    ) -> Diagnosis:  # fmt: skip
        if search.left < 1:
            self.unseen.append(
                f"more: the time was up after {len(search.runs)} replays of {search.steps:,} steps;"
                f" --seconds {3 * self.seconds:.0f} gives three times as much"
            )
        named = {item.code for item in causes} | {code for codes in equivalent for code in codes}
        return Diagnosis(
            verdict, self._name, reason, causes, equivalent,
            ruled_out(search, hypotheses, named), advice, replays_of(search, hypotheses),
            case.task, suspects_of(hypotheses), tuple(self.controls),
            tuple(dict.fromkeys(self.unseen)),
            tuple(dict.fromkeys((*search.crew.companies[search.crew.stage()].notes,
                                 *search.crew.notes))), patched or {},
            seconds=time.perf_counter() - self._begun,
        )  # fmt: skip
