"""The choice of the smallest set, with made-up skills: each rule with what it is for and not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pytest

from chainrule.diagnosis.case import CERTAIN, SYMPTOM, TRIED, Hypothesis
from chainrule.diagnosis.choice import Choice
from chainrule.diagnosis.examination import Examination
from chainrule.diagnosis.proof import Proof
from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.replaying.changes.updating import ReplaceRule, ScaleRate
from chainrule.diagnosis.replaying.messages import REPLAY, Outcome, ReplayJob
from chainrule.diagnosis.search import Search
from chainrule.diagnosis.weighing import NOTHING, Changes, counts


@dataclass(frozen=True)
class Named(Change):
    """A change that is nothing but a name."""

    name: str = ""


def kind(name: str) -> Change:
    """Changes of different classes, since of one class only one can act."""
    return type(f"Named{name}", (Named,), {})(name)


A, B, C, D = (kind(letter) for letter in "ABCD")


class Made(Search):
    """A search whose skills are made up."""

    def __init__(self, truth: Callable[[frozenset[str]], float], base: float = 0.0) -> None:
        self._truth, self.asked = truth, 0
        self.runs = {(NOTHING, 0): Outcome(ReplayJob(1, REPLAY), 0)}
        self.seconds, self.base, self.held = 100.0, base, False
        self.seeds: dict[tuple[Changes, int], float] = {}

    @property
    def left(self) -> float:
        return 100.0

    def run(self, sets: Iterable[Changes], seeds: Sequence[int] = (0,), race: bool = False) -> None:
        for changes in sets:
            self.asked += (changes, 0) not in self.runs
            self.runs[changes, 0] = Outcome(ReplayJob(1, REPLAY), 0)

    def skill(self, changes: Changes, seed: int = 0) -> float:
        if (changes, seed) in self.seeds:
            return self.seeds[changes, seed]
        if (changes, seed) not in self.runs:
            return float("nan")
        if not changes:
            return self.base
        names = (getattr(item, "name", "") or type(item).__name__ for item in changes)
        return self._truth(frozenset(names))

    def reached(self) -> float:
        return self.base


def hypothesis(change: Change, weight: int, code: str = "") -> Hypothesis:
    return Hypothesis(code or f"code-{getattr(change, 'name', '')}", change, weight, "", "")


def chosen(
    truth: dict[str, float], *hypotheses: Hypothesis, base: float = 0.0, together: str = ""
) -> set[str]:
    """Names of the changes that are chosen; skills by sorted names, else the base."""
    search = Made(lambda names: truth.get("".join(sorted(names)), base), base)
    search.run([frozenset((item.change,)) for item in hypotheses])
    if together:
        search.run([frozenset(c for c in (A, B, C, D) if getattr(c, "name", "") in together)])
    found = Choice(search, list(hypotheses)).smallest()
    return {getattr(item, "name", "") or type(item).__name__ for item in found}


@pytest.mark.parametrize(
    ("weight", "without", "with_it", "expected"),
    [
        (CERTAIN, 0.80, 0.84, True), (CERTAIN, 0.80, 0.82, False),
        (SYMPTOM, 0.70, 0.90, True), (SYMPTOM, 0.70, 0.80, False), (SYMPTOM, 0.80, 0.93, False),
        (TRIED, 0.30, 0.90, True), (TRIED, 0.60, 0.90, False), (TRIED, 0.05, 0.20, False),
        (CERTAIN, -0.9, 0.05, False),  # less bad than before is no learning
        (CERTAIN, -0.9, 0.15, True),
        (CERTAIN, float("nan"), 0.9, False),
    ],
)  # fmt: skip
def test_how_much_a_change_has_to_bring(weight, without, with_it, expected) -> None:
    assert counts(weight, without, with_it) is expected


def test_nothing_is_chosen_where_nothing_helps() -> None:
    assert chosen({"A": 0.02}, hypothesis(A, CERTAIN), hypothesis(B, TRIED)) == set()


def test_a_network_that_learns_is_left_alone() -> None:
    found = chosen({"A": 0.97, "B": 0.95}, hypothesis(A, TRIED), hypothesis(B, SYMPTOM), base=0.88)
    assert found == set()


def test_what_the_structure_says_comes_before_what_does_better() -> None:
    assert chosen({"A": 0.9, "B": 0.99}, hypothesis(A, CERTAIN), hypothesis(B, TRIED)) == {"A"}


def test_of_equals_the_one_that_speaks_is_named() -> None:
    assert chosen({"A": 0.93, "B": 0.95}, hypothesis(A, SYMPTOM), hypothesis(B, TRIED)) == {"A"}
    assert chosen({"A": 0.5, "B": 0.95}, hypothesis(A, SYMPTOM), hypothesis(B, TRIED)) == {"B"}
    assert chosen({"A": 0.64, "B": 0.71}, hypothesis(A, SYMPTOM), hypothesis(B, TRIED)) == {"A"}
    assert chosen({"A": 0.59, "B": 0.71}, hypothesis(A, SYMPTOM), hypothesis(B, TRIED)) == {"B"}


def test_causes_come_before_their_consequences() -> None:
    found = chosen(
        {"A": 0.95, "B": 0.95},
        hypothesis(A, SYMPTOM, "learning-rate-too-high"),
        hypothesis(B, SYMPTOM, "inputs-not-normalized"),
    )
    assert found == {"B"}


def test_two_faults_of_which_neither_shows_alone() -> None:
    found = chosen(
        {"AB": 0.96, "ABC": 0.96}, hypothesis(A, SYMPTOM), hypothesis(B, SYMPTOM),
        hypothesis(C, SYMPTOM), together="ABC",
    )  # fmt: skip
    assert found == {"A", "B"}  # and C is left out again


def test_a_set_grows_where_one_change_is_not_enough() -> None:
    truth = {"A": 0.4, "AB": 0.95, "B": 0.0, "AC": 0.42}
    found = chosen(truth, hypothesis(A, CERTAIN), hypothesis(B, SYMPTOM), hypothesis(C, SYMPTOM))
    assert found == {"A", "B"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (hypothesis(A, SYMPTOM), hypothesis(B, TRIED)),
        (hypothesis(A, SYMPTOM, "inputs-not-normalized"),
         hypothesis(B, SYMPTOM, "learning-rate-too-high")),
    ],
)  # fmt: skip
def test_a_set_grows_from_what_explains_most(first, second) -> None:
    truth = {"A": 0.5, "B": 0.52, "AC": 0.95, "BC": 0.53, "C": 0.0}
    assert chosen(truth, first, second, hypothesis(C, SYMPTOM)) == {"A", "C"}


def test_no_replays_are_spent_on_what_has_learned() -> None:
    search = Made(lambda names: 0.97 if names == {"A"} else 0.0)
    rows = [hypothesis(A, CERTAIN), hypothesis(B, CERTAIN), hypothesis(C, SYMPTOM)]
    search.run([frozenset((item.change,)) for item in rows])
    asked = search.asked
    assert Choice(search, rows).smallest() == frozenset((A,))
    assert search.asked == asked


def test_a_second_change_that_brings_little_is_no_second_cause() -> None:
    truth = {"A": 0.9, "AB": 0.97, "B": 0.1}
    assert chosen(truth, hypothesis(A, CERTAIN), hypothesis(B, SYMPTOM)) == {"A"}


def test_another_update_rule_is_the_last_resort() -> None:
    adam = hypothesis(ReplaceRule(), TRIED, "optimizer-unsuited")
    truth = {"ReplaceRule": 0.97, "AB": 0.95, "A": 0.0, "B": 0.05}
    named = chosen(truth, hypothesis(A, SYMPTOM), hypothesis(B, SYMPTOM), adam, together="AB")
    assert named == {"A", "B"}
    assert chosen({"ReplaceRule": 0.97}, hypothesis(A, SYMPTOM), adam) == {"ReplaceRule"}


def test_of_rates_that_do_well_the_nearest_is_taken() -> None:
    search = Made(lambda _names: 0.0)
    skills = {10.0: 0.5, 100.0: 0.95, 1000.0: 0.99}
    for factor, value in skills.items():
        search.seeds[frozenset((ScaleRate(factor),)), 0] = value
        search.runs[frozenset((ScaleRate(factor),)), 0] = Outcome(ReplayJob(1, REPLAY), 0)
    rates = [hypothesis(ScaleRate(f), SYMPTOM, "learning-rate-too-low") for f in skills]
    assert Choice(search, rates).smallest() == frozenset((ScaleRate(100.0),))


def test_equivalent_cures_are_listed() -> None:
    search = Made(lambda names: {"A": 0.95, "B": 0.93, "C": 0.5}.get("".join(sorted(names)), 0.0))
    rows = [hypothesis(A, CERTAIN), hypothesis(B, TRIED), hypothesis(C, TRIED)]
    search.run([frozenset((item.change,)) for item in rows])
    choice = Choice(search, rows)
    cures = choice.smallest()
    assert choice.equivalent(choice.named(cures), cures) == (("code-B",),)


@pytest.mark.parametrize(
    ("without", "with_it", "holds"),
    [
        ([0.1, 0.1, 0.1], [0.9, 0.9, 0.9], True),
        ([0.1, 0.1, 0.5], [0.9, 0.9, 0.8], False),  # by less than the baseline's own spread
        ([0.1, 0.2, 0.1], [0.9, 0.9, 0.25], False),  # the worst seed decides
        ([0.1, 0.2, 0.1], [0.9, 0.9, 0.35], True),
        ([0.1, 0.1, float("nan")], [0.9, 0.9, 0.9], False),
        ([-1.0, 0.3, 0.0], [0.9, 0.9, 0.9], True),  # worse than constant is nothing learned
        ([-1.0, 0.5, 0.0], [0.9, 0.9, 0.9], False),
    ],
)
def test_the_rule_of_evidence(without, with_it, holds) -> None:
    search = Made(lambda _names: 0.0)
    cure = frozenset((A,))
    for seed, (one, two) in enumerate(zip(without, with_it, strict=True)):
        search.seeds[NOTHING, seed], search.seeds[cure, seed] = one, two
    assert search.holds(cure, range(3)) is holds


def test_what_is_spoken_for_is_tried_before_a_run_passes_for_healthy() -> None:
    search = Made(lambda _names: 0.7, 0.7)
    doubtful = [hypothesis(A, SYMPTOM), hypothesis(B, TRIED)]
    assert not search.explained(doubtful)
    search.run([frozenset((A,))])
    assert search.explained(doubtful)
    near = Made(lambda _names: 0.9, 0.9)
    assert near.explained(doubtful)  # so near to perfect that a symptom's cure cannot count
    assert Made(lambda _names: 0.7, 0.7).explained(doubtful[1:])


def test_a_second_fault_counts_by_what_it_leaves_missing() -> None:
    first, second = hypothesis(A, CERTAIN), hypothesis(B, SYMPTOM)
    assert chosen({"A": 0.86, "AB": 0.99}, first, second) == {"A", "B"}
    assert chosen({"A": 0.86, "AB": 0.93}, first, second) == {"A"}
    assert chosen({"A": 0.86, "AB": 0.99}, first, hypothesis(B, TRIED)) == {"A"}
    assert chosen({"B": 0.99}, first, second, base=0.86) == set()  # nothing else is wrong


def test_all_that_speaks_is_tried_at_once_before_what_does_not() -> None:
    truth = {"AB": 0.95}
    search = Made(lambda names: truth.get("".join(sorted(names)), 0.0), 0.0)
    search._tell = lambda _text: None
    search.singles([hypothesis(A, SYMPTOM), hypothesis(B, SYMPTOM), hypothesis(C, TRIED)])
    assert (frozenset((A, B)), 0) in search.runs
    assert (frozenset((C,)), 0) not in search.runs


def test_of_several_changes_for_a_code_each_is_tried_together_with_the_rest() -> None:
    truth = {"BC": 0.95}
    search = Made(lambda names: truth.get("".join(sorted(names)), 0.0), 0.0)
    search._tell = lambda _text: None
    search.singles(
        [hypothesis(A, SYMPTOM, "a"), hypothesis(B, SYMPTOM, "a"), hypothesis(C, SYMPTOM, "c")]
    )
    assert search.skill(frozenset((B, C))) == 0.95


def test_of_equals_the_one_that_holds_with_other_seeds_too() -> None:
    truth = {"A": 0.98, "B": 1.0, "C": 0.5}
    search = Made(lambda names: truth.get("".join(sorted(names)), 0.0), 0.0)
    search._tell = lambda _text: None
    doubtful = [hypothesis(item, SYMPTOM) for item in (A, B, C)]
    search.run([frozenset((item.change,)) for item in doubtful])
    for seed in (1, 2):
        search.seeds |= {
            (NOTHING, seed): 0.0, (frozenset((A,)), seed): 0.0, (frozenset((B,)), seed): 0.9,
        }  # fmt: skip
    choice = Choice(search, doubtful)
    assert choice.alternatives(frozenset((A,))) == [frozenset((B,))]
    examination = Examination.__new__(Examination)
    examination.seeds = 3
    chance = examination._proved(search, choice, frozenset((A,)))
    assert chance.is_split
    assert not chance.holds
    steady = examination._steadiest(search, choice, chance)
    assert steady.holds
    assert steady.cures == frozenset((B,))


def test_a_code_is_mended_once() -> None:
    one, two = hypothesis(A, SYMPTOM, "same"), hypothesis(B, SYMPTOM, "same")
    assert chosen({"A": 0.6, "AB": 0.9}, one, two) == {"A"}
    assert chosen({"A": 0.6, "AB": 0.9}, one, hypothesis(B, SYMPTOM, "other")) == {"A", "B"}


def test_a_good_cure_does_not_stop_the_trial_of_what_else_speaks() -> None:
    truth = {"A": 0.84, "B": 0.99}
    search = Made(lambda names: truth.get("".join(sorted(names)), 0.0), 0.5)
    doubtful = [hypothesis(A, SYMPTOM), hypothesis(B, SYMPTOM)]
    search.run([frozenset((A,))])
    assert not search.explained(doubtful)
    search.run([frozenset((B,))])
    assert search.explained(doubtful)


def test_near_the_top_nothing_unspoken_for_is_tried() -> None:
    search = Made(lambda names: 0.85 if "A" in names else 0.0, 0.0)
    doubtful = [hypothesis(A, CERTAIN), hypothesis(B, SYMPTOM), hypothesis(C, TRIED)]
    search.run([frozenset((item.change,)) for item in doubtful])
    Choice(search, doubtful).smallest()
    assert (frozenset((A, B)), 0) in search.runs
    assert (frozenset((A, C)), 0) not in search.runs


@pytest.mark.parametrize(
    ("before", "after", "split"),
    [
        ((0.0, 0.0, 0.0), (0.9, 0.0, 0.9), True),
        (
            (0.4, 0.9, 0.0),
            (1.0, 0.98, 1.0),
            False,
        ),  # without it now and then, with it always
        ((0.4, 0.6, 0.4), (1.0, 0.62, 1.0), True),
        ((0.0, math.nan, 0.0), (0.9, 0.0, 0.9), False),
    ],
)
def test_a_cure_is_split_where_it_fails_in_a_seed(
    before: tuple[float, ...], after: tuple[float, ...], split: bool
) -> None:
    assert Proof(NOTHING, (), before, after, False, False).is_split is split


def test_two_names_of_one_change_are_equivalent() -> None:
    truth = {"A": 0.9, "AB": 0.95}
    search = Made(lambda names: truth.get("".join(sorted(names)), 0.0), 0.0)
    same = [hypothesis(A, SYMPTOM, "a"), hypothesis(A, SYMPTOM, "other"), hypothesis(B, SYMPTOM)]
    search.run([frozenset((A,)), frozenset((B,)), frozenset((A, B))])
    choice = Choice(search, same)
    assert choice.equivalent(same[:1], frozenset((A,))) == (("other",),)
