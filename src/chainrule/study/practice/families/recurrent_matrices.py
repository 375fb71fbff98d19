"""What a matrix W makes of gradients through time: singular values, and all that follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drafting import (
    enough_mistakes,
    factor,
    listed,
    numbers,
    shown,
)
from chainrule.study.practice.question import LEVELS, Draft, Family, Option

_SHOWN_BY = "recurrent-gradients"
_STEPS, _VANISHED, _EXPLODED = 200, 1e-3, 1e3
_SIZES = (0.25, 0.5, 0.6, 0.75, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)


@dataclass(frozen=True)
class _Matrix:
    """W = [[a, b], [c, d]]."""

    a: float
    b: float
    c: float
    d: float

    @property
    def text(self) -> str:
        return f"[{listed((self.a, self.b))}, {listed((self.c, self.d))}]"

    @property
    def array(self) -> NDArray[np.float64]:
        return np.array([[self.a, self.b], [self.c, self.d]])

    @property
    def squares(self) -> float:
        return self.a**2 + self.b**2 + self.c**2 + self.d**2

    @property
    def determinant(self) -> float:
        return self.a * self.d - self.b * self.c

    @property
    def largest(self) -> float:
        """The largest singular value: root of the larger eigenvalue of W^T W."""
        half = self.squares / 2
        return math.sqrt(half + math.sqrt(max(0.0, half**2 - self.determinant**2)))

    @property
    def eigenvalues(self) -> tuple[float, float]:
        """Sizes of the eigenvalues, the larger first."""
        half = (self.a + self.d) / 2
        root = half**2 - self.determinant
        if root < 0:
            return math.sqrt(self.determinant), math.sqrt(self.determinant)
        low, high = sorted((abs(half - math.sqrt(root)), abs(half + math.sqrt(root))))
        return high, low


def _simple(drawn: Random, level: int, slope: float) -> _Matrix:
    """Diagonal (1), off the diagonal or a shear (2 and 3); no size of it is near 1."""
    while True:
        first, second = (drawn.choice(_SIZES) * drawn.choice((-1, 1)) for _ in range(2))
        if level == 1:
            found = _Matrix(first, 0.0, 0.0, second)
        elif drawn.random() < 0.4:
            found = _Matrix(0.0, first, second, 0.0)
        else:
            found = _Matrix(first, second, 0.0, first)
        sizes = (found.largest, *found.eigenvalues)
        if all(abs(slope * size - 1) > 0.07 for size in sizes) and abs(first) != abs(second):
            return found


_CLAIMS = (
    "no gradient ever becomes longer on its way back",
    "every gradient vanishes in the end, whatever its direction",
    "some gradients explode in the end",
    "every gradient explodes in the end, whatever its direction",
    "some gradients are longer after one step back than before",
)


def _fate(drawn: Random, level: int) -> Draft:
    """Which claims hold of the gradients that go back through a linear recurrent network."""
    slope = drawn.choice((0.25, 0.5, 0.6, 0.75, 0.8)) if level == 3 else 1.0
    matrix = _simple(drawn, level, slope)
    sigma, large, small = (slope * size for size in (matrix.largest, *matrix.eigenvalues))
    truths = (sigma <= 1, large < 1, large > 1, small > 1, sigma > 1)
    of = "W" if level < 3 else f"{slope}*W"
    ran = _Ran.of(slope * matrix.array.T)
    told = (
        f"the longest after one step is {shown(ran.first)} times as long",
        f"the longest after {_STEPS} steps is {ran.most:.2g} times as long",
        f"the longest after {_STEPS} steps is {ran.most:.2g} times as long",
        f"the shortest after {_STEPS} steps is {ran.least:.2g} times as long",
        f"the longest after one step is {shown(ran.first)} times as long",
    )
    return Draft(
        text=(
            f"A linear recurrent network `h_t = W h_(t-1) + U x_t` has `W = {matrix.text}`. A "
            "gradient by h goes back through very many steps, each multiplying it by `W^T`. "
            if level < 3 else
            f"A recurrent network `h_t = tanh(W h_(t-1) + U x_t)` has `W = {matrix.text}`. At "
            f"every step the slope of every tanh is {slope}, so a gradient by h that goes back is "
            f"multiplied by `{slope}*W^T` each time, very many times. "
        ) + "What holds? Choose all that do.",
        conventions=("the length of a gradient is its Euclidean norm", "no gradient is 0"),
        options=tuple(
            Option(claim, right, f"{claim[0].upper()}{claim[1:]}: {why}.")
            for claim, right, why in zip(_CLAIMS, truths, told, strict=True)
        ),
        proved=ran.truths,
        way=f"sending gradients of many directions back through {_STEPS} steps",
        several=True,
        solution=(
            f"the largest singular value of {of} is {shown(sigma)}: the most that one step can do",
            f"the sizes of its eigenvalues are {shown(large)} and {shown(small)}: what many steps "
            "come to",
            "a largest singular value below 1 makes gradients vanish for certain; one above 1 "
            "lets them grow in one step, but need not make them explode",
        ),
        experiment=_SHOWN_BY,
    )  # fmt: skip


@dataclass(frozen=True)
class _Ran:
    """What became of gradients of length 1, of many directions.

    Attributes:
        first: length of the longest after one step.
        peak: length of the longest after any step.
        most: length of the longest at the end.
        least: length of the shortest at the end.
    """

    first: float
    peak: float
    most: float
    least: float

    @classmethod
    def of(cls, step_back: NDArray[np.float64]) -> _Ran:
        angles = np.linspace(0, math.pi, 181)[1:-1]
        round_ = np.stack([np.cos(angles), np.sin(angles)])
        gradients = np.concatenate([np.eye(2), round_], axis=1)  # the axes exactly
        first = peak = 0.0
        for step in range(_STEPS):
            gradients = step_back @ gradients
            longest = float(np.linalg.norm(gradients, axis=0).max())
            first, peak = longest if step == 0 else first, max(peak, longest)
        lengths = np.linalg.norm(gradients, axis=0)
        return cls(first, peak, float(lengths.max()), float(lengths.min()))

    @property
    def truths(self) -> tuple[bool, ...]:
        return (
            self.peak <= 1,
            self.most < _VANISHED,
            self.most > _EXPLODED,
            self.least > _EXPLODED,
            self.first > 1,
        )


@enough_mistakes
def _largest(drawn: Random, level: int) -> Draft:
    """The largest singular value: of diagonal (1), symmetric or turning (2), other matrices (3)."""
    first, second = (drawn.choice((-1, 1)) * drawn.randint(1, 9) / drawn.choice((1, 2, 4))
                     for _ in range(2))  # fmt: skip
    if level == 1:
        matrix = _Matrix(first, 0.0, 0.0, second)
        told = f"a diagonal matrix: the larger of |{shown(first)}| and |{shown(second)}|"
    elif level == 2 and drawn.random() < 0.5:
        matrix = _Matrix(first, second, second, first)
        told = f"eigenvalues {shown(first + second)} and {shown(first - second)}, and symmetric: "
        told += "the larger size"
    elif level == 2:
        matrix = _Matrix(first, -second, second, first)
        told = f"it turns and scales: sqrt({factor(first)}^2 + {factor(second)}^2)"
    else:
        matrix = _Matrix(first, second, 0.0, drawn.choice((first, -first, 0.5)))
        told = (
            f"W^T W has the trace {shown(matrix.squares)} and the determinant "
            f"{shown(matrix.determinant**2)}: its larger eigenvalue is {shown(matrix.largest**2)}"
        )
    entries = (matrix.a, matrix.b, matrix.c, matrix.d)
    trace = matrix.a + matrix.d
    return Draft(
        text=f"What is the largest singular value of `W = {matrix.text}`, the most by which one "
        "step back through `h_t = W h_(t-1)` can lengthen a gradient?",
        conventions=("lengths are Euclidean norms",),
        expected=Number(matrix.largest),
        proved=float(np.linalg.svd(matrix.array, compute_uv=False)[0]),
        way="NumPy's singular value decomposition",
        mistakes=numbers(
            (max(entries), "takes the largest entry, signs included"),
            (math.sqrt(matrix.squares), "takes the root of the sum of all squares"),
            (matrix.eigenvalues[0], "takes the largest eigenvalue"),
            (matrix.determinant, "takes the determinant"),
            (trace, "takes the trace"),
            (max(abs(entry) for entry in entries), "takes the largest entry"),
            (sum(abs(entry) for entry in entries), "adds up all entries"),
            (matrix.largest**2, "forgets the root: these are eigenvalues of W^T W"),
            (abs(matrix.determinant) / matrix.largest, "takes the smallest singular value"),
        ),
        solution=(told, f"largest singular value {shown(matrix.largest)}"),
        experiment=_SHOWN_BY,
    )


MATRICES = (
    Family("gradient-fate", "recurrent-networks", "what W makes of gradients in the end", LEVELS,
           _fate),
    Family("largest-singular-value", "recurrent-networks", "largest singular value of W", LEVELS,
           _largest),
)  # fmt: skip
