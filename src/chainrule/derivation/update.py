"""Update: the first step of an update rule with its numbers put in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.derivation.answer import Number, Update
from chainrule.errors import NotationError, suggestion

_EPS = 1e-8

# first step from a state of zeros: name -> (formula with numbers, new value), from x, g, rate
_Rule = Callable[[float, float, float], tuple[str, float]]


def _sgd(x: float, g: float, rate: float) -> tuple[str, float]:
    return f"{x:.6g} - {rate:g}*{_part(g)}", x - rate * g


def _momentum(x: float, g: float, rate: float) -> tuple[str, float]:
    v = 0.9 * 0 - rate * g
    return f"v = 0.9*0 - {rate:g}*{_part(g)} = {v:.6g}; {x:.6g} + v", x + v


def _nesterov(x: float, g: float, rate: float) -> tuple[str, float]:
    """PyTorch's form: the gradient plus 0.9 times the velocity."""
    step = rate * (g + 0.9 * g)
    return f"v = 0.9*0 + {g:.6g}; {x:.6g} - {rate:g}*({g:.6g} + 0.9*v)", x - step


def _adagrad(x: float, g: float, rate: float) -> tuple[str, float]:
    cache = g * g
    made = x - rate * g / (cache**0.5 + _EPS)
    return f"c = 0 + {_part(g)}^2 = {cache:.6g}; {x:.6g} - {rate:g}*{_part(g)}/(sqrt(c) + 1e-8)", (
        made
    )


def _rmsprop(x: float, g: float, rate: float) -> tuple[str, float]:
    cache = 0.01 * g * g
    made = x - rate * g / (cache**0.5 + _EPS)
    return (
        f"c = 0.99*0 + 0.01*{_part(g)}^2 = {cache:.6g}; "
        f"{x:.6g} - {rate:g}*{_part(g)}/(sqrt(c) + 1e-8)", made,
    )  # fmt: skip


def _adam(x: float, g: float, rate: float) -> tuple[str, float]:
    made = x - rate * g / (abs(g) + _EPS)  # both moments corrected for their start at 0
    return (
        f"m = 0.1*{_part(g)}/(1 - 0.9) = {g:.6g}, v = 0.001*{_part(g)}^2/(1 - 0.999) = "
        f"{g * g:.6g}; {x:.6g} - {rate:g}*m/(sqrt(v) + 1e-8)", made,
    )  # fmt: skip


RULES: dict[str, _Rule] = {
    "sgd": _sgd, "momentum": _momentum, "nesterov": _nesterov, "adagrad": _adagrad,
    "rmsprop": _rmsprop, "adam": _adam,
}  # fmt: skip


def updates(
    names: Sequence[str], numbers: dict[str, Number], rule: str, rate: float
) -> tuple[Update, ...]:
    """The first step of a rule for each parameter that has a number; arrays without formula.

    Raises:
        NotationError: unknown rule, or the numbers are not all given.
    """
    if rule not in RULES:
        raise NotationError(
            f"update got '{rule}'{suggestion(rule, RULES)}; wants one of {', '.join(RULES)}"
        )
    missing = [name for name in names if f"d{name}" not in numbers]
    if missing:
        raise NotationError(
            f"update wants numbers for all inputs (values), the gradient by {missing[0]} has none"
        )
    return tuple(_one(name, numbers[name], numbers[f"d{name}"], rule, rate) for name in names)


def _one(name: str, value: Number, gradient: Number, rule: str, rate: float) -> Update:
    if isinstance(value, float) and isinstance(gradient, float):
        formula, made = RULES[rule](value, gradient, rate)
        return Update(name, formula, made)
    return Update(name, f"{rule}, element by element", _each(value, gradient, rule, rate))


def _each(value: Number, gradient: Number, rule: str, rate: float) -> Number:
    if isinstance(value, list) and isinstance(gradient, list):
        return [_each(x, g, rule, rate) for x, g in zip(value, gradient, strict=True)]
    assert isinstance(value, float)
    assert isinstance(gradient, float)
    return RULES[rule](value, gradient, rate)[1]


def _part(g: float) -> str:
    return f"({g:.6g})" if g < 0 else f"{g:.6g}"
