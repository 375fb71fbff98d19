"""Questions: proved before they are asked, options that differ, mistakes called by their names."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch

from chainrule.errors import StudyError
from chainrule.study.practice.check import faults
from chainrule.study.practice.expected import Number
from chainrule.study.practice.making import make
from chainrule.study.practice.question import Draft, Family, Mistake, Option, Question

GOOD = Draft(
    text="How many parameters has a filter of 5x5 on one channel?",
    way="counting",
    proved=26,
    solution=("5 x 5 weights and 1 bias = 26",),
    expected=Number(26, "parameters"),
    mistakes=(
        Mistake("25", "forgets the bias"),
        Mistake("50", "counts twice"),
        Mistake("27", "has a bias too many"),
    ),
)
CHOICES = Draft(
    text="Which of these numbers are even, of all that are here?",
    way="dividing by two",
    proved=(True, False, True),
    solution=("2 and 4 have no rest",),
    options=(Option("2", True, ""), Option("3", False, "3 leaves 1"), Option("4", True, "")),
    several=True,
)


def _made(draft: Draft, level: int = 1, seed: int = 0) -> Question:
    return make(Family("kind", "topic", "title", (1, 2, 3), lambda *_: draft), level, seed)


def test_a_question_that_fails_its_proof_is_not_asked() -> None:
    with pytest.raises(StudyError, match=r"failed its own proof.*computed 26.*counting gives 25"):
        _made(replace(GOOD, proved=25))
    with pytest.raises(StudyError, match="failed its own proof"):
        _made(replace(CHOICES, proved=(True, True, True)))


def test_first_level_has_options_others_have_none() -> None:
    assert len(_made(GOOD).options) == 4
    assert not _made(GOOD, 2).options
    assert not _made(replace(GOOD, mistakes=GOOD.mistakes[:2])).options  # too few to choose from


def test_options_look_alike() -> None:
    texts = {option.text for option in _made(GOOD).options}
    assert texts == {"26 parameters", "25 parameters", "50 parameters", "27 parameters"}


def test_options_stand_anywhere() -> None:
    places = {_made(GOOD, seed=seed).expected.text for seed in range(30)}
    assert places == {"a", "b", "c", "d"}


def test_wrong_options_are_refuted() -> None:
    (wrong,) = [option for option in _made(GOOD).options if option.text.startswith("25")]
    assert wrong.why == "25 parameters: forgets the bias; counting gives 26 parameters."


def test_mistakes_that_are_no_mistakes_are_left_out() -> None:
    doubled = (*GOOD.mistakes, Mistake("26", "is right"), Mistake("5*5", "is 25 again"))
    found = _made(replace(GOOD, mistakes=doubled), 2)
    assert [mistake.answer for mistake in found.mistakes] == ["25", "50", "27"]


def test_mistakes_that_a_grader_or_a_reader_cannot_tell_are_left_out() -> None:
    near = (Mistake("0.501", "is near enough to be right"), Mistake("0.6", "is wrong"))
    assert [one.answer for one in _made(_number(0.5, near), 2).mistakes] == ["0.6"]
    alike = (Mistake("1.23457", "looks the same in four digits"), Mistake("2", "is wrong"))
    exact = replace(_number(1.23456, alike), expected=Number(1.23456, close=1e-6))
    assert [one.answer for one in _made(exact, 2).mistakes] == ["2"]


def _number(value: float, mistakes: tuple[Mistake, ...]) -> Draft:
    return replace(GOOD, expected=Number(value), proved=value, mistakes=mistakes)


def test_a_known_mistake_is_called_by_its_name() -> None:
    assert _made(GOOD, 2).grade("5*5").remark == "forgets the bias"
    assert _made(GOOD, 2).grade("24").remark == ""
    first = _made(GOOD)
    assert "forgets the bias" in first.grade("25").remark


def test_all_right_options_are_wanted() -> None:
    found = _made(CHOICES)
    assert found.grade(found.expected.text).right
    assert not found.grade(found.expected.text[0]).right


def test_one_right_option_where_one_is_wanted() -> None:
    with pytest.raises(StudyError, match="has 2 right options, wants one"):
        _made(replace(CHOICES, several=False))


def test_empty_answers_say_what_is_wanted() -> None:
    with pytest.raises(StudyError, match="answer is empty, wants a number of parameters"):
        _made(GOOD, 2).grade("  ")


def test_unknown_levels_are_refused() -> None:
    with pytest.raises(StudyError, match=r"level got 4, but family 'kind' has 1, 2, 3"):
        _made(GOOD, 4)


def test_same_seed_same_question_and_random_state_is_left_alone() -> None:
    def draw(drawn: Random, _: int) -> Draft:
        torch.rand(3)
        return replace(GOOD, text=f"{GOOD.text} {drawn.random()} {torch.rand(1).item()}")

    family = Family("kind", "topic", "title", (1,), draw)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert make(family, 1, 3) == make(family, 1, 3)
    assert make(family, 1, 3) != make(family, 1, 4)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text": "Hm?"}, "its text has 3 characters"),
        ({"solution": ()}, "its solution is missing"),
        ({"text": "What is the value of this tensor(3.) here?"}, "not meant for people"),
        ({"text": "What is the value of 0.3333333333333333 here?"}, "not meant for people"),
        ({"text": "What is the value of this `code here, please?"}, "odd number of backticks"),
        ({"options": (Option("1", True, ""), Option("1", False, "x"), Option("2", False, "x"))},
         "two options say the same"),
        ({"options": (Option("1", True, ""), Option("2", False, "x"))}, "it has 2 options"),
        ({"options": (Option("1", True, ""), Option("2", False, ""), Option("3", False, "x"))},
         "not refuted"),
        ({"mistakes": (Mistake("13*2", "is right"),)}, "accidentally right"),
        ({"expected": Number(27, "parameters"), "mistakes": (Mistake("27", "is right"),)},
         "accidentally right"),
    ],
)  # fmt: skip
def test_check_sees(change: dict[str, object], words: str) -> None:
    """Each fault that the check of the bank looks for is seen in a question that has it."""
    healthy = _made(GOOD, 2)
    assert list(faults(healthy)) == []
    found = list(faults(replace(healthy, **change)))
    assert any(words in fault for fault in found), found
