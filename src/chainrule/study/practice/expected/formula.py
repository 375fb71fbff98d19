"""Answers that are formulas: right when they are equal everywhere, however they are written."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from chainrule.derivation.expression import Expr, symbols_of
from chainrule.derivation.operations import evaluate
from chainrule.derivation.reading import read_formula
from chainrule.errors import NotationError, ShapeError, StudyError
from chainrule.study.practice.expected.answer import Expected, Grade
from chainrule.study.practice.expected.numbers import near

_POINTS = 64
_LONGEST = 400
_TOO_LARGE = (OverflowError, ValueError, RecursionError, ZeroDivisionError)


@dataclass(frozen=True)
class Formula(Expected):
    """A formula of named scalars; any formula that is equal everywhere is right.

    Attributes:
        formula: in the notation of ``chainrule derive`` ("1{z2 > z1}*d1").
        names: the names it may use.
    """

    formula: str
    names: tuple[str, ...]
    kind = "formula"

    @property
    def text(self) -> str:
        return self.formula

    @property
    def form(self) -> str:
        return f"a formula of {', '.join(self.names)}, such as 1[a > b]*c + 2*d"

    def grade(self, given: str) -> Grade:
        typed = _formula(given, self.names)
        try:
            return Grade(given, typed, self.agrees(typed))
        except _TOO_LARGE as error:
            raise StudyError(f"answer '{given.strip()[:60]}' has no value: {error}") from None

    def agrees(self, value: Any) -> bool:
        """Equal at points drawn at random, so that both sides of every kink are met."""
        mine, other = _read(self.formula), _read(str(value))
        return all(
            _same(evaluate(mine, point, {}), evaluate(other, point, {})) for point in self._points()
        )

    def _points(self) -> Any:
        drawn = random.Random(0)
        for _ in range(_POINTS):
            yield {
                name: torch.tensor(drawn.gauss(0, 1), dtype=torch.float64) for name in self.names
            }


@lru_cache(maxsize=4096)
def _read(formula: str) -> Expr:
    """A formula of scalars; reading takes longer than evaluating, and mistakes come again."""
    return read_formula(formula, {})


def _same(one: Any, other: Any) -> bool:
    if bool(torch.isnan(torch.as_tensor(one))) and bool(torch.isnan(torch.as_tensor(other))):
        return True  # out of the domain of both
    return near(float(other), float(one), 1e-9)


def _formula(text: str, names: Sequence[str]) -> str:
    """The formula as typed, in our notation.

    Raises:
        StudyError: it cannot be read, or names what is not there.
    """
    if len(text) > _LONGEST:
        raise StudyError(f"answer '{text.strip()[:30]}...' is {len(text)} characters long")
    body = re.sub(r"^.*(?<![<>=])=(?!=)", "", text).strip()  # "dL/dz2 = ..."
    body = re.sub(r"(?:\b1|𝟙|\bI)?\s*[\[({]([^\[\](){}]*[<>][^\[\](){}]*)[\])}]", r" 1[\1]", body)
    body = body.replace("≥", ">=").replace("≤", "<=").replace("·", "*").replace("×", "*")
    body = body.replace("−", "-").replace("**", "^")
    try:
        found = _read(body)
    except (NotationError, ShapeError, *_TOO_LARGE) as error:
        first = str(error).splitlines()[0]
        raise StudyError(
            f"answer '{text.strip()[:60]}' cannot be read as a formula: {first}"
        ) from None
    strange = [name for name in symbols_of(found) if name not in names]
    if strange:
        raise StudyError(
            f"answer '{text.strip()[:60]}' names '{strange[0]}', wants only {', '.join(names)}"
        )
    return body
