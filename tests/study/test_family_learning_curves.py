"""Learning curves: the faults again from the curves alone, the rest by counting."""

from __future__ import annotations

from tests.reference.practice import numbers, questions, right, rows

from chainrule.study.picture import Panel
from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.learning_curves import FAMILIES
from chainrule.study.practice.question import Question


def value(question: Question) -> float:
    found = right(question)
    assert isinstance(found, Number)
    return found.value


def fault(question: Question) -> str:
    """As one reads the numbers: no training is run."""
    data, full = rows(question.text)[1], rows(question.text)[2:]
    accuracy, held = numbers(question.text.split("At the end")[1])
    if full and full[0][0] > 1.5 * data[0]:
        return "penalty"
    if data[0] > 10:
        return "too high"
    if accuracy > 99 and held < 85:
        return "overfits"
    return "healthy" if held > 86 else "too low"


def test_faults_from_the_curves() -> None:
    for question in questions(FAMILIES, "name-the-curve", 24):
        if question.level == 1:  # it shows the first losses too
            (chosen,) = (option.text for option in question.options if option.right)
            assert fault(question) in chosen, question.id
        assert question.figure
        assert isinstance(question.figure.panels[0], Panel)


def test_stops_epoch_by_epoch() -> None:
    for question in questions(FAMILIES, "early-stopping", 40):
        losses = rows(question.text)[0]
        if question.level == 1:
            assert value(question) == losses.index(min(losses)) + 1
            continue
        patience = int(numbers(question.text.split("patience of")[1])[0])
        assert value(question) == next(
            epoch for epoch in range(patience + 1, len(losses) + 1)
            if min(losses[epoch - patience : epoch]) >= min(losses[: epoch - patience])
        ), question.id  # fmt: skip


def test_flat_as_the_course_says() -> None:
    """CS231n: too low a rate and wrong initialization are causes; penalty, classes are not."""
    for question in questions(FAMILIES, "flat-loss"):
        for option in question.options:
            rate = float(option.text.split()[-1]) if "rate" in option.text else 1.0
            causes = rate < 1e-3 or "deviation" in option.text or "biases" in option.text
            assert option.right == causes, question.id


def test_covers_all_families() -> None:
    assert {one.name for one in FAMILIES} == {"name-the-curve", "early-stopping", "flat-loss"}
