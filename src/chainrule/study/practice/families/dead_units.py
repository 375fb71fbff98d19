"""Units that are 0 for every input, and what reaches their weights."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random

import torch

from chainrule.study.practice.expected import Number, Vector
from chainrule.study.practice.families.drawing import (
    inner,
    mistaken,
    quarters,
    row,
    shown,
    signed,
    until,
)
from chainrule.study.practice.question import LEVELS, Draft, Family, Option

Unit = tuple[list[float], float]  # weights and bias
_Box = list[tuple[float, float]]  # lowest and highest value of each input


def dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def doubles(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def score_of(unit: Unit) -> str:
    weights, bias = unit
    terms = " ".join(
        signed(w) + f" * x{place}" if abs(w) != 1 else f"{'-' if w < 0 else '+'} x{place}"
        for place, w in enumerate(weights, 1)
    )
    return f"{terms.removeprefix('+ ')} {signed(bias)}"


def _box(drawn: Random, count: int) -> _Box:
    lows = [float(drawn.randint(-3, 1)) for _ in range(count)]
    return [(low, low + drawn.randint(1, 3)) for low in lows]


def _in_box(box: _Box) -> str:
    return ", ".join(f"{shown(a)} <= x{place} <= {shown(b)}" for place, (a, b) in enumerate(box, 1))


def _highest(unit: Unit, box: _Box) -> float:
    """Interval arithmetic: each term at its own best end."""
    weights, bias = unit
    return bias + sum(max(w * a, w * b) for w, (a, b) in zip(weights, box, strict=True))


def _over_corners(unit: Unit, box: _Box) -> float:
    """A linear function is largest at a corner: the largest over all of them."""
    weights, bias = unit
    corners = doubles(list(itertools.product(*box)))
    return float((corners @ doubles(weights) + bias).max())


def _dead(drawn: Random, level: int) -> Draft:
    return (_largest_score, _which_are_dead, _killing_rate)[level - 1](drawn)


def _unit(drawn: Random, count: int) -> Unit:
    return [quarters(drawn, -2, 2, 0.5) for _ in range(count)], quarters(drawn, -8, 5, 0.5)


def _largest_score(drawn: Random) -> Draft:
    box = _box(drawn, 2)
    unit = until(lambda: _unit(drawn, 2), lambda one: abs(_highest(one, box)) > 0.4)
    weights, bias = unit
    right = _highest(unit, box)
    highs, lows = [b for _, b in box], [a for a, _ in box]
    middles = [(a + b) / 2 for a, b in box]
    state = "dead: 0 for every input" if right < 0 else "alive for some inputs"
    return Draft(
        text=f"A ReLU unit has the score `{score_of(unit)}`; its inputs lie in {_in_box(box)}. "
        "What is its largest score? (Below 0 it is dead.)",
        expected=Number(right),
        proved=_over_corners(unit, box),
        way="trying all corners of the box",
        mistakes=mistaken(
            (dot(weights, highs) + bias, "takes the largest inputs whatever the sign of the "
             "weights"),
            (right - bias, "forgets the bias"),
            (dot(weights, middles) + bias, "takes the middle of the box"),
            (dot(weights, lows) + bias, "takes the smallest inputs"),
            (bias + sum(min(w * a, w * b) for w, (a, b) in zip(weights, box, strict=True)),
             "gives the smallest score"),
            (bias + sum(abs(w) * max(abs(a), abs(b)) for w, (a, b) in zip(weights, box, strict=True)
                        ), "takes absolute values where the range does not reach"),
            (bias, "takes all inputs for 0"),
        ),
        solution=(
            "a positive weight is best at the upper end, a negative one at the lower: "
            + " + ".join(f"{inner(max(w * a, w * b))}" for w, (a, b) in zip(weights, box,
                                                                            strict=True)),
            f"with the bias {shown(bias)}: {shown(right)}, so the unit is {state}",
            f"largest score {shown(right)}",
        ),
        experiment="dead-relu",
    )  # fmt: skip


def _which_are_dead(drawn: Random) -> Draft:
    box = _box(drawn, 3)
    units: list[Unit] = []
    while len(units) < 4:
        unit = _unit(drawn, 3)
        if 0.2 < abs(_highest(unit, box)) < 5 and unit not in units:
            units.append(unit)
    tops = [_highest(unit, box) for unit in units]
    options = tuple(
        Option(f"`{score_of(unit)}`", top < 0, f"Its largest score in the box is {shown(top)}"
               + (": below 0, so it never fires." if top < 0 else ": there it fires."))
        for unit, top in zip(units, tops, strict=True)
    )  # fmt: skip
    return Draft(
        text=f"The inputs of a layer lie in {_in_box(box)}. Which of its ReLU units, with these "
        "scores, are dead (give 0 for every input)? (Select all.)",
        options=options,
        several=True,
        proved=tuple(_over_corners(unit, box) < 0 for unit in units),
        way="trying all corners of the box",
        solution=tuple(f"{option.text}: {option.why}" for option in options),
        experiment="dead-relu",
    )


def _killing_rate(drawn: Random) -> Draft:
    """One SGD update moves the score by rate * upstream * (|x|^2 + 1)."""
    x = [float(drawn.choice((-3, -2, -1, 1, 2, 3))) for _ in range(2)]
    unit = until(lambda: _unit(drawn, 2), lambda one: 1 <= dot(one[0], x) + one[1] <= 8)
    weights, bias = unit
    upstream, score = float(drawn.choice((0.5, 1, 2, 4))), dot(weights, x) + bias
    square = dot(x, x)
    right = score / (upstream * (square + 1))
    return Draft(
        text=f"A ReLU unit with weights `{row(weights)}` and bias {shown(bias)} sees the example "
        f"`{row(x)}` with the upstream gradient {shown(upstream)}. One SGD update changes weights "
        "and bias. From which learning rate on is the unit 0 for this example afterwards?",
        conventions=("the upstream gradient is dL/dh of the unit's output h",),
        expected=Number(right),
        proved=_rate_by_updates(unit, x, upstream),
        way="drawing the line through the scores after updates of torch.optim.SGD at two rates",
        mistakes=mistaken(
            (score / (upstream * square), "forgets that the bias is updated too"),
            (score / (square + 1), "forgets the upstream gradient"),
            (score / upstream, "forgets that the gradient is multiplied by the input"),
            (score / (upstream * (sum(map(abs, x)) + 1)), "adds the inputs instead of their "
             "squares"),
            (upstream * (square + 1) / score, "gives the reciprocal"),
        ),
        solution=(
            f"score before: {shown(score)}; dL/dw = {shown(upstream)} * x, dL/db = "
            f"{shown(upstream)}",
            f"the update lowers the score by rate * {shown(upstream)} * (|x|^2 + 1) = rate * "
            f"{shown(upstream * (square + 1))}",
            f"rate = {shown(score)} / {shown(upstream * (square + 1))} = {shown(right)}",
        ),
        experiment="dead-relu",
    )  # fmt: skip


def _rate_by_updates(unit: Unit, x: list[float], upstream: float) -> float:
    """Where the line through the scores after two updates crosses 0."""
    none, one = (_score_after(unit, x, upstream, rate) for rate in (0.0, 1.0))
    return none / (none - one)


def _score_after(unit: Unit, x: list[float], upstream: float, rate: float) -> float:
    weights = doubles(unit[0]).requires_grad_()
    bias = doubles(unit[1]).requires_grad_()
    inputs = doubles(x)
    torch.autograd.backward(torch.relu(weights @ inputs + bias), doubles(upstream))
    torch.optim.SGD([weights, bias], lr=rate).step()
    return float((weights @ inputs + bias).detach())


def _relu_gradient(drawn: Random, level: int) -> Draft:
    """The gradient of the weights: examples at which the unit is 0 give none."""
    (weights, bias), rows = until(
        lambda: _examples(drawn, 1 + level), lambda found: _telling(*found)
    )
    count = len(rows)
    fires = [dot(weights, x) + bias > 0 for x, _ in rows]
    scores = [dot(weights, x) + bias for x, _ in rows]
    right = _summed(rows, fires)
    examples = ", ".join(row(x) for x, _ in rows)
    return Draft(
        text=f"A ReLU unit has weights `{row(weights)}` and bias {shown(bias)}. For the examples "
        f"`{examples}` the upstream gradients `dL/dh` of its output h are "
        f"`{row([g for _, g in rows])}`. What is the gradient of its weights?",
        conventions=("L is the whole loss of the minibatch: the examples' gradients add up",),
        expected=Vector(tuple(right)),
        proved=_by_autograd((weights, bias), rows),
        way="autograd",
        mistakes=mistaken(
            (_summed(rows, [True] * count), "lets the gradient through where the unit is 0"),
            (_summed(rows, [not on for on in fires]), "lets it through only where the unit is 0"),
            ([value / count for value in right], "takes the mean instead of the sum"),
            (_summed([(x, 1.0) for x, _ in rows], fires), "forgets the upstream gradients"),
            (_summed([(weights, g) for _, g in rows], fires),
             "multiplies by the weights instead of the inputs"),
            ([dot([g for _, g in rows], fires)] * 2, "forgets the inputs"),
        ),
        solution=(
            f"scores {row(scores)}: the unit fires where they are above 0",
            f"sum of dL/dh times x over those examples = {row(right)}",
        ),
        experiment="dead-relu",
    )  # fmt: skip


def _examples(drawn: Random, count: int) -> tuple[Unit, list[tuple[list[float], float]]]:
    """A unit, and examples with their upstream gradients."""
    unit = [quarters(drawn, -2, 2, 0.5) for _ in range(2)], quarters(drawn, -3, 3, 0.5)
    rows = [([float(drawn.randint(-3, 4)) for _ in range(2)], float(drawn.choice((-2, -1, 1, 2))))
            for _ in range(count)]  # fmt: skip
    return unit, rows


def _telling(unit: Unit, rows: list[tuple[list[float], float]]) -> bool:
    """Some examples fire and some do not, and both would give a gradient."""
    scores = [dot(unit[0], x) + unit[1] for x, _ in rows]
    alive = sum(score > 0 for score in scores)
    total = _summed(rows, [score > 0 for score in scores])
    asleep = _summed(rows, [score < 0 for score in scores])
    return 0 < alive < len(rows) and 0 not in scores and all(total) and any(asleep)


def _summed(rows: list[tuple[list[float], float]], on: Sequence[bool]) -> list[float]:
    return [sum(g * x[place] for (x, g), fires in zip(rows, on, strict=True) if fires)
            for place in range(2)]  # fmt: skip


def _by_autograd(unit: Unit, rows: list[tuple[list[float], float]]) -> torch.Tensor:
    weights = doubles(unit[0]).requires_grad_()
    hidden = torch.relu(doubles([x for x, _ in rows]) @ weights + unit[1])
    torch.autograd.backward(hidden, doubles([g for _, g in rows]))
    assert weights.grad is not None
    return weights.grad


FAMILIES = (
    Family("dead-relu", "dead-units", "is a ReLU dead in a box of inputs", LEVELS, _dead),
    Family("relu-gradient", "dead-units", "gradient of a ReLU unit's weights", LEVELS,
           _relu_gradient),
)  # fmt: skip
