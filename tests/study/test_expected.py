"""Grading: right answers in any reasonable form, wrong ones never, unreadable ones for nothing."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import StudyError
from chainrule.study.practice.expected import (
    Choice,
    Expected,
    Formula,
    Number,
    Truth,
    Vector,
    Volume,
)

VOLUME = Volume((32, 32, 10))
GATE = Formula("1{z2 > z1}*d1", ("z1", "z2", "d1"))
SEVERAL = Choice(("a", "c"), 4, several=True)
ONE = Choice(("b",), 3, texts=("10", "260 parameters", "250 parameters"),
             value=Number(260, "parameters"))  # fmt: skip

RIGHT: list[tuple[Expected, str]] = [
    (Number(260), "10*(25+1)"), (Number(260), "260"), (Number(10240), "32x32x10"),
    (Number(0.5), "1/2"), (Number(2.302585), "ln 10"), (Number(2.302585), "2.3"),
    (Number(33.0, "%"), "33 %"), (Number(33.0, "%"), "33"), (Number(0.33), "33 %"),
    (Number(0.0), "0"), (Number(-0.25), "-1/4"), (Number(1024, "bytes"), "1 KiB"),
    (VOLUME, "32x32x10"), (VOLUME, "32 x 32 x 10"), (VOLUME, "32×32×10"), (VOLUME, "(32, 32, 10)"),
    (VOLUME, "[32,32,10]"), (VOLUME, "32 32 10"), (VOLUME, "10@32x32"), (VOLUME, "10x32x32"),
    (VOLUME, "(10, 32, 32)"), (VOLUME, "32 by 32 by 10"), (VOLUME, "volume = 32x32x10"),
    (Vector((1.0, -0.5)), "[1, -0.5]"), (Vector((1.0, -0.5)), "1 -0.5"),
    (Vector((1.0, -0.5)), "(1; -1/2)"), (Vector((1.0, -0.5)), "1, -.5"),
    (Vector((3.0, 2.0)), "max(3, 1), 2"), (Vector((0.0, 1.0)), "0 1"),
    (Truth(True), "true"), (Truth(True), "T"), (Truth(True), "yes"), (Truth(False), "False."),
    (Truth(False), "n"),
    (GATE, "1[z2>z1]*d1"), (GATE, "1{z2 > z1}*d1"), (GATE, "d1*1[z1<z2]"), (GATE, "[z2>z1]*d1"),
    (GATE, "dL/dz2 = 1[z2 > z1] d1"), (GATE, "1(z2>z1)*d1"), (GATE, "I(z2>z1)*d1"),
    (GATE, "1[z2>=z1]*d1"), (GATE, "(1 - 1[z1>z2])*d1"), (GATE, "𝟙[z2>z1]·d1"),
    (Formula("2*a*b + b", ("a", "b")), "b*(2*a+1)"), (Formula("a^2", ("a",)), "a**2"),
    (SEVERAL, "a, c"), (SEVERAL, "c a"), (SEVERAL, "a and c"), (SEVERAL, "(a), (c)"),
    (SEVERAL, "ac"), (SEVERAL, "A,C"), (Choice((), 4, several=True), "none"),
    (ONE, "b"), (ONE, "(b)"), (ONE, "B."), (ONE, "260 parameters"), (ONE, "260"),
    (ONE, "10*(25+1)"), (Choice(("d",), 4, texts=("b", "d", "a", "c")), "d"),
    (Number(0.0012), "1.2e-3"), (Number(2.769), "2,769"), (Number(2.769), "2.769"),
    (Number(2769), "2,769"), (Number(14928, "bytes"), "14.58 KiB"),
    (Number(40.96, "MB"), "40.96 MB"),
    (VOLUME, "h=32, w=32, c=10"), (Vector((37.0, 3.0, -15.0, 15.0)), "[[37,3],[-15,15]]"),
    (Vector((0.125, -0.9)), "[0,125; -0,9]"), (Vector((0.125, -0.9)), "0.125 and -0.9"),
    (ONE, "(b) 260 parameters"), (ONE, "[b]"), (ONE, "b!"), (ONE, "answer b"),
    (SEVERAL, "[a, c]"), (SEVERAL, "a & c"), (Choice(("a", "b"), 2, several=True), "all"),
    (Truth(False), "falsch"), (Truth(False), "does not hold"),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "typed"), RIGHT)
def test_right(expected: Expected, typed: str) -> None:
    grade = expected.grade(typed)
    assert grade.right, grade


@pytest.mark.parametrize(
    ("expected", "typed"),
    [
        (Number(260), "261"), (Number(260), "260.4"), (Number(0.5), "0.51"), (Number(0.0), "0.01"),
        (Number(0.0012), "0.001"),
        (Number(33.0, "%"), "0.33"), (VOLUME, "32x32x11"), (VOLUME, "32x10x32"),
        (Vector((1.0, -0.5)), "1, 0.5"), (Truth(True), "false"), (GATE, "1[z1>z2]*d1"),
        (GATE, "d1"), (GATE, "0"), (SEVERAL, "a"), (SEVERAL, "a, b, c"), (SEVERAL, "none"),
        (ONE, "a"), (ONE, "250 parameters"), (ONE, "250"), (ONE, "10"),
    ],
)  # fmt: skip
def test_wrong(expected: Expected, typed: str) -> None:
    assert not expected.grade(typed).right


@pytest.mark.parametrize(
    ("expected", "typed", "words"),
    [
        (Number(260), "many", "no number"),
        (VOLUME, "big", "wants whole numbers such as 32x32x10"),
        (VOLUME, "32.5x3x3", "wants whole numbers"),
        (VOLUME, "10240", "has 1 sizes, wants height"),
        (VOLUME, "32x32", "has 2 sizes, wants height x width x channels"),
        (VOLUME, "9" * 500, "characters long"),
        (Vector((1.0,)), "1," * 500, "characters long"),
        (SEVERAL, "and" * 19 + "!", "wants all"),
        (SEVERAL, "add", "wants all letters"),
        (ONE, "a" * 10_000, "wants a letter"),
        (GATE, "1e400", "has no value"),
        (GATE, "9**999", "has no value"),
        (GATE, "1" + " " * 20_000 + "x", "characters long"),
        (GATE, "[" + "<" * 390, "cannot be read"),
        (GATE, "-" * 390, "cannot be read"),
        (GATE, "d1+" * 130, "cannot be read"),
        (Vector((1.0, 2.0)), "1", "has 1 numbers, wants 2"),
        (Truth(True), "perhaps", "wants true or false"),
        (GATE, "1[z2>z1]*d2", "names 'd2', wants only z1, z2, d1"),
        (GATE, "1[z2>", "cannot be read as a formula"),
        (SEVERAL, "e", "wants all letters"),
        (ONE, "a, b", "several letters, wants one"),
        (ONE, "whatever", "wants a letter from a to c"),
        (ONE, "123", "wants a letter from a to c"),
    ],
)
def test_unreadable(expected: Expected, typed: str, words: str) -> None:
    start = time.perf_counter()
    with pytest.raises(StudyError) as caught:
        expected.grade(typed)
    assert words in str(caught.value)
    assert time.perf_counter() - start < 5  # some patterns take for ever on short texts


@pytest.mark.parametrize(
    ("expected", "typed"),
    [(GATE, "9^9^9^9"), (GATE, "(d1)" * 90), (SEVERAL, "a " * 29 + "!")],
)
def test_comes_to_an_end(expected: Expected, typed: str) -> None:
    start = time.perf_counter()
    assert not expected.grade(typed).right
    assert time.perf_counter() - start < 5


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80) | st.text("abcd (),&z12<>[]{}^*+-/=and", max_size=60))
def test_whatever_is_typed_is_read_or_refused_in_words(typed: str) -> None:
    for expected in (Number(260), VOLUME, Vector((1.0, 2.0)), Truth(True), GATE, SEVERAL, ONE):
        with contextlib.suppress(StudyError):
            assert isinstance(expected.grade(typed).right, bool)


@pytest.mark.parametrize("expected", list({id(item): item for item, _ in RIGHT}.values()))
def test_own_text_is_right(expected: Expected) -> None:
    assert expected.grade(expected.text).right
    assert expected.form


def test_two_computations_must_agree_closely() -> None:
    assert Number(0.5).agrees(0.5 + 1e-8)
    assert not Number(0.5).agrees(0.501)  # which a person may say
    assert not Number(260).agrees(260.5)
    assert not Formula("a", ("a",)).agrees("1.001*a")
