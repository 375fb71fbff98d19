"""Expected: the right answer of a question, able to read and grade what somebody typed.

``grade`` raises ``StudyError`` where an answer cannot be read: it says what was understood, and
costs nothing.
"""

from __future__ import annotations

import math
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from chainrule.answer import Answer
from chainrule.derivation.expression import Expr, symbols_of
from chainrule.derivation.operations import evaluate
from chainrule.derivation.reading import read_formula
from chainrule.errors import NotationError, ShapeError, StudyError
from chainrule.study.practice.arithmetic import arithmetic

LETTERS = "abcdefghijkl"
_CLOSE = 5e-3  # of typed numbers: three digits are enough
_EXACT = 1e-6  # of the two computations
_ROUNDING = 1e-12  # of numbers that may come to 0 another way
_POINTS = 64
_MOST_LETTERS = 60  # of a list of letters


@dataclass(frozen=True)
class Grade(Answer):
    """What became of an answer.

    Attributes:
        given: what was typed.
        understood: how it was read.
        right: whether it is the answer.
        remark: which known mistake it is, or what to mind; "" for nothing.
    """

    given: str
    understood: str
    right: bool
    remark: str = ""


class Expected(Answer, ABC):
    """A right answer of some kind."""

    kind: str = ""

    @property
    @abstractmethod
    def text(self) -> str:
        """The answer as one would write it."""

    @property
    @abstractmethod
    def form(self) -> str:
        """What is to be typed, in a few words."""

    @abstractmethod
    def grade(self, given: str) -> Grade:
        """Read and grade what was typed.

        Raises:
            StudyError: it cannot be read.
        """

    @abstractmethod
    def agrees(self, value: Any) -> bool:
        """Whether a second computation gives the same, to its precision."""

    def written(self, given: str) -> str:
        """Another answer, written as the right one is: options must not tell by their looks."""
        return given.strip()

    def to_dict(self) -> dict[str, Any]:
        """With the kind and the answer as text."""
        return {"kind": self.kind, "text": self.text, **super().to_dict()}


@dataclass(frozen=True)
class Number(Expected):
    """A number; whole ones are wanted exactly, others to three digits.

    Attributes:
        value: the number.
        unit: what it counts ("parameters", "bytes", "%"), "" for none.
        close: largest difference, relative to the value, that is still right; None: 0 for whole
            numbers, half a per cent for others.
    """

    value: float
    unit: str = ""
    close: float | None = None
    kind = "number"

    @property
    def text(self) -> str:
        shown = f"{self.value:,}" if isinstance(self.value, int) else f"{self.value + 0.0:.4g}"
        if self.unit == "%":
            return f"{shown} %"
        return f"{shown} {self.unit}".strip()

    @property
    def form(self) -> str:
        unit = f" of {self.unit}" if self.unit else ""
        digits = "" if isinstance(self.value, int) else ", to three digits"
        return f"a number{unit}{digits}; arithmetic such as 10*(25+1) is read too"

    def grade(self, given: str) -> Grade:
        value = arithmetic(given, self.unit)
        return Grade(given, _number(value), near(value, self.value, self._tolerance))

    def written(self, given: str) -> str:
        value = arithmetic(given, self.unit)
        return replace(self, value=value if isinstance(self.value, int) else float(value)).text

    @property
    def _tolerance(self) -> float:
        if self.close is not None:
            return self.close
        return 0.0 if isinstance(self.value, int) else _CLOSE

    def agrees(self, value: Any) -> bool:
        if isinstance(self.value, int):
            return float(value) == self.value
        return near(float(value), self.value, _EXACT)


def near(value: float, wanted: float, share: float) -> bool:
    """Within a share of what is wanted; where 0 is wanted within a tenth of that share."""
    if share == 0:
        return value == wanted
    floor = share * 1e-1 if wanted == 0 else _ROUNDING
    return math.isclose(value, wanted, rel_tol=share, abs_tol=floor)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


@dataclass(frozen=True)
class Volume(Expected):
    """An activation volume, height x width x channels as the course writes it; or other sizes.

    Attributes:
        sizes: in the order that ``axes`` names.
        axes: ("height", "width", "channels") or what the sizes are.
    """

    sizes: tuple[int, ...]
    axes: tuple[str, ...] = ("height", "width", "channels")
    kind = "volume"

    @property
    def text(self) -> str:
        return "x".join(map(str, self.sizes))

    @property
    def form(self) -> str:
        return f"{' x '.join(self.axes)}, such as 32x32x10"

    def grade(self, given: str) -> Grade:
        sizes, turned = _sizes(given)
        right, remark = sizes == self.sizes, ""
        if not right and len(sizes) == 3 and (*sizes[1:], sizes[0]) == self.sizes:
            right, remark = True, "read as channels x height x width"
            turned = True
        if turned and right and not remark:
            remark = "read as channels @ height x width"
        return Grade(given, "x".join(map(str, sizes)), right, remark)

    def written(self, given: str) -> str:
        return "x".join(map(str, _sizes(given)[0]))

    def agrees(self, value: Any) -> bool:
        return tuple(value) == self.sizes


def _sizes(text: str) -> tuple[tuple[int, ...], bool]:
    """Sizes between x, commas or spaces; ``10@32x32`` has its channels first."""
    body = re.sub(r"^.*[=:]", "", text).strip().strip("()[]{}").lower()
    channels, at, rest = body.rpartition("@")
    parts = [item for item in re.split(r"\s*[x×*,;]\s*|\s+by\s+|\s+", rest.strip()) if item]
    try:
        sizes = [arithmetic(item) for item in parts]
        if at:
            sizes.append(arithmetic(channels))
    except StudyError:
        sizes = []
    if not sizes or not all(isinstance(size, int) for size in sizes):
        raise StudyError(
            f"answer '{text.strip()}' cannot be read as sizes: wants whole numbers such as 32x32x10"
        )
    return tuple(int(size) for size in sizes), bool(at)


@dataclass(frozen=True)
class Vector(Expected):
    """Several numbers in order.

    Attributes:
        values: the numbers.
        close: largest difference, relative to each.
    """

    values: tuple[float, ...]
    close: float = _CLOSE
    kind = "vector"

    @property
    def text(self) -> str:
        return f"[{', '.join(f'{value + 0.0:.4g}' for value in self.values)}]"

    @property
    def form(self) -> str:
        return f"{len(self.values)} numbers in order, such as [1, -0.5], to three digits"

    def grade(self, given: str) -> Grade:
        values = _values(given)
        if len(values) != len(self.values):
            raise StudyError(
                f"answer '{given.strip()}' has {len(values)} numbers, wants {len(self.values)}"
            )
        pairs = zip(values, self.values, strict=True)
        right = all(near(value, wanted, self.close) for value, wanted in pairs)
        return Grade(given, f"[{', '.join(_number(value) for value in values)}]", right)

    def written(self, given: str) -> str:
        return replace(self, values=tuple(_values(given))).text

    def agrees(self, value: Any) -> bool:
        found = [float(item) for item in value]
        pairs = zip(found, self.values, strict=True)
        return all(near(item, wanted, _EXACT) for item, wanted in pairs)


def _values(text: str) -> list[float]:
    """Numbers between commas, semicolons or spaces; commas in brackets belong to the number."""
    body = re.sub(r"^.*=", "", text).strip()
    if body[:1] in "[({" and body[-1:] in "])}":
        body = body[1:-1]
    parts = re.split(r"[;,](?![^()]*\))", body)
    if len(parts) == 1:
        parts = body.split()
    return [arithmetic(part) for part in parts if part.strip()]


@dataclass(frozen=True)
class Truth(Expected):
    """True or false."""

    value: bool
    kind = "truth"

    @property
    def text(self) -> str:
        return "true" if self.value else "false"

    @property
    def form(self) -> str:
        return "true or false"

    def grade(self, given: str) -> Grade:
        word = given.strip().strip(".!").lower()
        if word in ("true", "t", "yes", "y", "right", "correct", "1", "wahr", "it holds", "holds"):
            said = True
        elif word in ("false", "f", "no", "n", "wrong", "incorrect", "0", "not true"):
            said = False
        else:
            raise StudyError(f"answer '{given.strip()}' cannot be read: wants true or false")
        return Grade(given, "true" if said else "false", said == self.value)

    def agrees(self, value: Any) -> bool:
        return bool(value) == self.value


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
        return Grade(given, typed, self.agrees(typed))

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
    body = re.sub(r"^.*(?<![<>=])=(?!=)", "", text).strip()  # "dL/dz2 = ..."
    body = re.sub(r"(?:\b1|𝟙|\bI)?\s*[\[({]([^\[\](){}]*[<>][^\[\](){}]*)[\])}]", r" 1[\1]", body)
    body = body.replace("≥", ">=").replace("≤", "<=").replace("·", "*").replace("×", "*")
    body = body.replace("−", "-").replace("**", "^")
    try:
        found = _read(body)
    except (NotationError, ShapeError) as error:
        first = str(error).splitlines()[0]
        raise StudyError(f"answer '{text.strip()}' cannot be read as a formula: {first}") from None
    strange = [name for name in symbols_of(found) if name not in names]
    if strange:
        raise StudyError(
            f"answer '{text.strip()}' names '{strange[0]}', wants only {', '.join(names)}"
        )
    return body


@dataclass(frozen=True)
class Choice(Expected):
    """One or several of the options.

    Attributes:
        letters: those that are right, in order.
        options: how many there are.
        several: whether more than one may be right (all of them are wanted).
        texts: the options themselves, which may be typed instead of their letter.
        value: the right answer itself, where the options are numbers, volumes or the like.
    """

    letters: tuple[str, ...]
    options: int
    several: bool = False
    texts: tuple[str, ...] = ()
    value: Expected | None = None
    kind = "choice"

    @property
    def text(self) -> str:
        return ", ".join(self.letters) or "none"

    @property
    def form(self) -> str:
        last = LETTERS[self.options - 1]
        if self.several:
            return f"all letters that are right (a to {last}), such as a, c; or none"
        return f"a letter from a to {last}"

    def grade(self, given: str) -> Grade:
        letters = self._letters(given)
        return Grade(given, ", ".join(letters) or "none", letters == self.letters)

    def _letters(self, given: str) -> tuple[str, ...]:
        word = given.strip().lower().strip("().")
        if self.several and word in ("none", "none of them", "-", "no one"):
            return ()
        typed = self._typed(given)
        if typed is not None:
            return (LETTERS[typed],)
        found = re.findall(r"[a-z]", re.sub(r"\band\b", " ", word))
        spoken = len(word) <= _MOST_LETTERS and re.fullmatch(
            r"(\(?[a-z]\)?[\s,;.&+/]*(and)?\s*)+", word
        )
        known = LETTERS[: self.options]
        if not spoken or any(letter not in known for letter in found):
            raise StudyError(f"answer '{given.strip()}' cannot be read: wants {self.form}")
        if not self.several and len(set(found)) > 1:
            raise StudyError(f"answer '{given.strip()}' has several letters, wants one")
        return tuple(sorted(set(found)))

    def _typed(self, given: str) -> int | None:
        """The option that was typed itself, letter by letter or by its value."""
        texts = [text.strip().lower() for text in self.texts]
        word = given.strip().lower()
        if re.fullmatch(r"\W*[a-l]\W*", word):
            return None  # a letter, also where an option is called so
        if self.value is not None and word not in texts:
            try:
                word = self.value.written(given).lower()
            except StudyError:
                return None
        return texts.index(word) if texts.count(word) == 1 else None

    def agrees(self, value: Any) -> bool:
        return tuple(value) == self.letters
