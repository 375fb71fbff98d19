"""The whole bank: thousands of questions, each computed two ways and read as a grader would."""

from __future__ import annotations

import pytest
from tests.reference.surroundings import surroundings

from chainrule.study.experiments import NAMES
from chainrule.study.practice.bank import all_families, draw, draw_one, families, question
from chainrule.study.practice.check import check_bank
from chainrule.study.practice.making import make
from chainrule.study.practice.question import LEVELS

TOPICS = (
    "activation-volumes", "parameters", "output-sizes", "receptive-fields", "memory-and-macs",
    "fc-as-convolution", "losses", "initial-loss", "penalties", "update-rules",
    "gradient-clipping", "backpropagation", "shared-variables", "recurrent-networks", "batchnorm",
    "dropout", "dead-units", "saturation", "symmetry", "gradient-checks", "learning-curves",
    "flat-loss", "facts",
)  # fmt: skip


def test_families_are_told_apart() -> None:
    names = [item.name for item in all_families()]
    assert len(names) >= 30
    assert len(set(names)) == len(names)
    assert tuple(dict.fromkeys(item.topic for item in all_families())) == TOPICS
    for item in all_families():
        assert item.name not in TOPICS or item.topic == item.name  # one word, one meaning
        assert set(item.levels) <= set(LEVELS), item.name
        assert item.title, item.name


@pytest.mark.slow
@pytest.mark.parametrize("topic", TOPICS)
def test_every_question_is_sound(topic: str) -> None:
    before = surroundings()
    found = check_bank(count=12, seed=1, wanted=[topic])
    assert surroundings() == before  # a question leaves the program around it as it was
    assert [row.problems for row in found.rows if row.problems] == []
    assert found.proved == found.questions >= 12
    for row in found.rows:
        assert row.different >= 6, row


def test_the_bank_is_large_enough_for_thousands() -> None:
    assert sum(len(item.levels) for item in all_families()) * 12 >= 2000


@pytest.mark.parametrize("item", all_families(), ids=lambda item: item.name)
def test_experiments_that_are_named_exist(item: object) -> None:
    found = make(item, item.levels[0], 1)
    assert found.experiment in ("", *NAMES)


def test_drawing_takes_every_family_once_before_any_again() -> None:
    wanted = ["parameters", "activation-volumes"]
    count = len(families(wanted))
    drawn = draw(2 * count, 3, wanted)
    names = [item.family for item in drawn]
    assert len(set(names[:count])) == len(set(names[count:])) == count


def test_one_is_what_all_have_at_its_place() -> None:
    drawn = draw(5, 9, ["parameters"])
    assert [draw_one(place, 9, ["parameters"]) for place in range(5)] == drawn


def test_a_level_is_kept() -> None:
    assert {item.level for item in draw(6, 2, ["parameters"], level=3)} == {3}


def test_asked_again_by_its_identifier() -> None:
    for found in draw(5, 4):
        assert question(found.id) == found
