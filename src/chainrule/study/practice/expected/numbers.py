"""Answers that are numbers: one, several in order, or the sizes of a volume."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

from chainrule.errors import StudyError
from chainrule.study.practice.arithmetic import arithmetic
from chainrule.study.practice.expected.answer import Expected, Grade

_CLOSE = 5e-3  # of typed numbers: three digits are enough
_EXACT = 1e-6  # of the two computations
_LONGEST = 400
_ROUNDED = re.compile(r"\d\.\d+\s*([kmg]i?b?|thousand|million|billion)\b", re.IGNORECASE)
_EITHER = re.compile(r"-?[1-9]\d{0,2},\d{3}")
_ROUNDING = 1e-12  # of numbers that may come to 0 another way


def near(value: float, wanted: float, share: float) -> bool:
    """Within a share of what is wanted; where 0 is wanted within a tenth of that share."""
    if share == 0:
        return value == wanted
    floor = share * 1e-1 if wanted == 0 else _ROUNDING
    return math.isclose(value, wanted, rel_tol=share, abs_tol=floor)


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
        digits = "" if not self._tolerance else f", to {_digits(self._tolerance)} digits"
        return f"a number{unit}{digits}; arithmetic such as 10*(25+1) is read too"

    def grade(self, given: str) -> Grade:
        value = arithmetic(given, self.unit)
        tolerance = self._tolerance
        if _ROUNDED.search(given):
            tolerance = max(tolerance, _CLOSE)  # "14.58 KiB" stands for a whole number of bytes
        if _EITHER.fullmatch(given.strip()) and not isinstance(self.value, int):
            other = float(given.replace(",", "."))  # thousands, or a decimal comma
            value = other if near(other, self.value, tolerance) else value
        return Grade(given, _number(value), near(value, self.value, tolerance))

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


def _digits(tolerance: float) -> str:
    return "three" if tolerance >= _CLOSE else "four" if tolerance >= _CLOSE / 10 else "five"


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
        if len(sizes) != len(self.sizes):
            raise StudyError(
                f"answer '{given.strip()[:60]}' has {len(sizes)} sizes, wants "
                f"{' x '.join(self.axes)}"
            )
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
    body = re.sub(r"[a-z ]+[=:]", " ", _short(text).lower()).strip().strip("()[]{}")
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
            f"answer '{text.strip()[:60]}' cannot be read as sizes: wants whole numbers such as "
            "32x32x10"
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
        digits = _digits(self.close)
        return f"{len(self.values)} numbers in order, such as [1, -0.5], to {digits} digits"

    def grade(self, given: str) -> Grade:
        values = _values(given)
        if len(values) != len(self.values):
            raise StudyError(
                f"answer '{given.strip()[:60]}' has {len(values)} numbers, wants {len(self.values)}"
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
    body = re.sub(r"^.*=", "", _short(text)).strip()
    if body[:1] == "(" and body[-1:] == ")":
        body = body[1:-1]
    body = re.sub(r"[\[\]{}]", " ", body)  # rows of a matrix follow each other
    body = re.sub(r"\band\b", ",", body)
    if ";" in body and re.search(r"\d,\d", body):
        parts = body.split(";")  # decimal commas
    else:
        parts = re.split(r"[;,](?![^()]*\))", body)
    if len(parts) == 1:
        parts = body.split()
    return [arithmetic(part) for part in parts if part.strip()]


def _short(text: str) -> str:
    """The text, where a person may have typed it.

    Raises:
        StudyError: it is too long.
    """
    if len(text) > _LONGEST:
        raise StudyError(f"answer '{text.strip()[:30]}...' is {len(text)} characters long")
    return text
