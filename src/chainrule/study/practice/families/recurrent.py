"""Recurrent networks by hand: gradients through time, and what W makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import torch

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drafting import (
    enough_mistakes,
    factor,
    halves,
    listed,
    numbers,
    shown,
)
from chainrule.study.practice.families.recurrent_matrices import MATRICES
from chainrule.study.practice.question import LEVELS, Draft, Family

_SHOWN_BY = "recurrent-gradients"
_BELOW_1 = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95)
_AUTOGRAD = "PyTorch's autograd"


@dataclass(frozen=True)
class _Cell:
    """``h_t = w*h_(t-1) + u*x_t``, with or without tanh, from h_0 on; L is the last h."""

    w: float
    u: float
    start: float
    inputs: tuple[float, ...]
    squashed: bool

    @property
    def steps(self) -> int:
        return len(self.inputs)

    @property
    def states(self) -> list[float]:
        """h_0 to h_T."""
        found = [self.start]
        for x in self.inputs:
            z = self.w * found[-1] + self.u * x
            found.append(math.tanh(z) if self.squashed else z)
        return found

    @property
    def slopes(self) -> list[float]:
        """Of the nonlinearity at each step."""
        return [1 - h * h if self.squashed else 1.0 for h in self.states[1:]]

    def upstream(self) -> list[float]:
        """dL/dz_t of each step, from the last back."""
        found = [1.0 * self.slopes[-1]]
        for slope in self.slopes[-2::-1]:
            found.append(found[-1] * self.w * slope)
        return found[::-1]

    def uses(self) -> list[float]:
        """What each use of w adds to dL/dw."""
        return [up * h for up, h in zip(self.upstream(), self.states, strict=False)]

    def by_autograd(self, by: str) -> float:
        leaves = {
            "w": torch.tensor(self.w, dtype=torch.float64, requires_grad=True),
            "h_0": torch.tensor(self.start, dtype=torch.float64, requires_grad=True),
        }
        h = leaves["h_0"]
        for x in self.inputs:
            h = leaves["w"] * h + self.u * x
            h = torch.tanh(h) if self.squashed else h
        return float(torch.autograd.grad(h, leaves[by])[0])

    @property
    def text(self) -> str:
        rule = "w*h_(t-1) + u*x_t"
        rule = f"tanh({rule})" if self.squashed else rule
        count = {2: "two", 3: "three", 4: "four", 5: "five"}[self.steps]
        return (
            f"A recurrent network `h_t = {rule}` with `w = {shown(self.w)}, u = {shown(self.u)}, "
            f"h_0 = {shown(self.start)}` reads the {count} inputs `{listed(self.inputs)}`; "
            f"`L = h_{self.steps}`."
        )


def _cell(drawn: Random, level: int) -> _Cell:
    """Level 1 is linear with L by h_0; level 2 with L by w; level 3 has tanh."""
    while True:
        small = level == 3
        steps = drawn.randint(3, 5) if level == 1 else drawn.choice((2, 3))
        w = drawn.choice((-2.0, -1.5, -0.5, 0.5, 0.8, 1.5, 2.0))
        inputs = tuple(halves(drawn, -2, 2) / (2 if small else 1) for _ in range(steps))
        cell = _Cell(w, drawn.choice((0.5, 1.0, 2.0)), halves(drawn, -2, 2), inputs, small)
        if cell.start and all(abs(h) > 0.1 for h in cell.states) and abs(sum(cell.uses())) > 0.1:
            return cell


@enough_mistakes
def _through_time(drawn: Random, level: int) -> Draft:
    cell = _cell(drawn, level)
    return _by_start(cell) if level == 1 else _by_weight(cell)


def _by_start(cell: _Cell) -> Draft:
    w, steps = cell.w, cell.steps
    right = w**steps
    return Draft(
        text=f"{cell.text} What is `dL/dh_0`?",
        conventions=(),
        expected=Number(right),
        proved=cell.by_autograd("h_0"),
        way=_AUTOGRAD,
        mistakes=numbers(
            (w ** (steps - 1), "goes back one step too few"),
            (w ** (steps + 1), "goes back one step too many"),
            (w * steps, "adds the steps up where the chain rule multiplies"),
            (w, "goes back a single step"),
            (cell.states[-1], "gives the value of L"),
            (sum(cell.uses()), "is the gradient by w"),
        ),
        solution=(
            f"each step back multiplies by dh_t/dh_(t-1) = w = {shown(w)}, whatever the inputs",
            f"{factor(w)}^{steps} = {shown(right)}",
        ),
        experiment=_SHOWN_BY,
    )


def _by_weight(cell: _Cell) -> Draft:
    uses, states = cell.uses(), cell.states
    right = sum(uses)
    linear = _Cell(cell.w, cell.u, cell.start, cell.inputs, False)
    straight = sum(cell.w ** (cell.steps - 1 - t) * states[t] for t in range(cell.steps))
    return Draft(
        text=f"{cell.text} What is `dL/dw`?",
        conventions=("w is the same in all steps, and h_0 does not depend on it",),
        expected=Number(right),
        proved=cell.by_autograd("w"),
        way=_AUTOGRAD,
        mistakes=numbers(
            (uses[-1], "counts the last step alone"),
            (uses[0], "counts the first step alone"),
            *([(straight, "forgets the slope of tanh"),
               (sum(linear.uses()), "leaves tanh out altogether")] if cell.squashed else []),
            (sum(states[:-1]) if not cell.squashed else
             sum(s * h for s, h in zip(cell.slopes, states, strict=False)),
             "forgets that each use must go through the later steps"),
            (right / cell.steps, "averages over the steps, but they add up"),
            (math.prod(uses), "multiplies the steps, but they add up"),
            (math.prod(cell.slopes) * cell.w**cell.steps, "is the gradient by h_0"),
            (-right, "has the sign turned"),
        ),
        solution=(
            f"forward: h = {listed(states)}",
            *([f"slopes 1 - h_t^2 = {listed(cell.slopes)}"] if cell.squashed else []),
            *(f"step {t + 1}: dL/dz_{t + 1} x h_{t} = {shown(up)} x {factor(h)} = {shown(up * h)}"
              for t, (up, h) in enumerate(zip(cell.upstream(), states, strict=False))),
            f"the uses of w add up to {shown(right)}",
        ),
        experiment=_SHOWN_BY,
    )  # fmt: skip


@enough_mistakes
def _how_soon(drawn: Random, level: int) -> Draft:
    """Steps until a gradient is small (1), with the slope of sigmoid or tanh (2), or large (3)."""
    bound = (
        drawn.choice((0.1, 0.05, 0.02, 0.01, 0.001, 1e-4))
        if level < 3
        else drawn.choice((10, 100, 1000))
    )
    while True:
        w = (
            drawn.choice((0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95))
            if level == 1
            else halves(drawn, 1, 6) / 2
        )
        slope = 1.0 if level == 1 else drawn.choice((0.25, 0.2, 0.1, 0.5, 0.75, 0.9))
        each = w * slope
        if each > 0 and abs(math.log(each)) > 0.04 and (each < 1) == (level < 3):
            exact = math.log(bound) / math.log(each)
            steps = math.ceil(exact)
            if 2 < steps < 120 and 0.02 < steps - exact < 0.98:
                break
    side = "below" if level < 3 else "above"
    kind = "" if level == 1 else (
        f", where each step also multiplies by the slope of the nonlinearity, {shown(slope)} all "
        "along"
    )  # fmt: skip
    told = f"{shown(w)}" if level == 1 else f"{shown(w)} x {shown(slope)} = {shown(each)}"
    return Draft(
        text=f"A recurrent network multiplies the gradient by `w = {shown(w)}` at each step back "
        f"in time{kind}. After how many steps is the gradient first {side} {shown(bound)} times "
        "what it was at the end?",
        conventions=("the smallest whole number of steps",),
        expected=Number(steps),
        proved=_counted(each, bound),
        way="a loop over the steps",
        mistakes=numbers(
            (steps - 1, "rounds down"),
            (steps + 1, "takes one step too many"),
            *([(math.ceil(math.log(bound) / math.log(slope if level == 2 else w)),
                "forgets w" if level == 2 else "forgets the slope of the nonlinearity")]
              if level == 2 or (level == 3 and w > 1 and slope < 1) else []),
            (2 * steps, "takes the square root of the factor"),
            (max(1, math.ceil(steps / 2)), "squares the factor"),
            (max(1, math.ceil(abs(1 - bound) / abs(1 - each))), "lets the gradient change along a "
             "line"),
            (max(1, round(1 / bound) if bound < 1 else round(bound)), "does not use the factor"),
        ),
        solution=(
            f"after t steps the factor is {told}, to the power t" if level == 1 else
            f"each step multiplies by {told}",
            f"t > ln {shown(bound)} / ln {shown(each)} = {shown(exact)}",
            f"so t = {steps}",
        ),
        experiment=_SHOWN_BY,
    )  # fmt: skip


def _counted(each: float, bound: float) -> int:
    gradient, steps = 1.0, 0
    while (gradient >= bound) if each < 1 else (gradient <= bound):
        gradient *= each
        steps += 1
    return steps


FAMILIES = (
    Family("gradient-through-time", "recurrent-networks", "gradient of a recurrent network",
           LEVELS, _through_time),
    Family("steps-to-vanish", "recurrent-networks", "steps until a gradient has vanished", LEVELS,
           _how_soon),
    *MATRICES,
)  # fmt: skip
