"""Arithmetic: numbers as people type them (``10*(25+1)``, ``32x32x10``, ``2 ln 10``, ``1,290``).

Nothing that is typed is executed: ``typed.tidied`` writes it as Python would, and of the syntax
tree only numbers, the four operations, powers and a dozen functions are computed.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from chainrule.errors import StudyError
from chainrule.study.practice.typed import tidied, without_unit

_OPERATIONS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "sqrt": math.sqrt, "exp": math.exp, "ln": math.log, "log": math.log, "log2": math.log2,
    "log10": math.log10, "tanh": math.tanh, "cos": math.cos, "sin": math.sin, "abs": abs,
    "max": max, "min": min, "floor": math.floor, "ceil": math.ceil,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)), "relu": lambda x: max(0.0, x),
}  # fmt: skip
_CONSTANTS = {"e": math.e, "pi": math.pi, "inf": math.inf}
_LONGEST = 200
_MOST_BITS = 1000  # of whole numbers: below the largest of the floating-point ones
_WRONG = (ZeroDivisionError, OverflowError, ValueError, TypeError, RecursionError)


def arithmetic(text: str, unit: str = "") -> float:
    """The value of what was typed, whole numbers exactly.

    Args:
        text: an expression; thousands may be set apart, a unit may follow.
        unit: of the number that is wanted ("%", "bytes", "parameters"); a percent sign means a
            hundredth where another unit is wanted.

    Raises:
        StudyError: it cannot be read; says what was understood.

    Examples:
        >>> arithmetic("10*(25+1)"), arithmetic("32x32x10"), arithmetic("1,290 parameters")
        (260, 10240, 1290)
        >>> round(arithmetic("2 ln 10"), 4), arithmetic("33 %"), arithmetic("2 kB")
        (4.6052, 0.33, 2000)
    """
    shown = text.strip()[:60]
    if len(text) > _LONGEST:
        raise StudyError(f"answer '{shown[:30]}...' is {len(text)} characters long: wants a number")
    body, factor = without_unit(tidied(text), unit)
    if not body.strip():
        raise StudyError(f"answer '{shown}' cannot be read: wants a number such as 260")
    try:
        tree = ast.parse(body.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise StudyError(
            f"answer '{shown}' cannot be read: understood '{body.strip()}', wants a number or "
            "arithmetic such as 10*(25+1)"
        ) from None
    try:
        return _whole(_checked(_value(tree) * factor))
    except _WRONG as error:
        raise StudyError(f"answer '{shown}' has no value: {error}") from None


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _checked(node.value)
    if isinstance(node, ast.Name) and node.id.lower() in _CONSTANTS:
        return _CONSTANTS[node.id.lower()]
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp):
        return _checked(_binary(node))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        function = _FUNCTIONS.get(node.func.id.lower())
        if function is not None:
            return function(*(_value(item) for item in node.args))
    raise StudyError(
        f"answer has '{ast.unparse(node)[:60]}' in it, which is no number: wants arithmetic such "
        "as 10*(25+1), sqrt(2) or ln 10"
    )


def _binary(node: ast.BinOp) -> Any:
    left, right = _value(node.left), _value(node.right)
    if isinstance(node.op, ast.Pow):
        if isinstance(left, int) and abs(right) * max(1, left.bit_length()) > _MOST_BITS:
            raise OverflowError("a power that is too large to compute")
        result = left**right
        if isinstance(result, complex):
            raise ValueError("the root of a negative number")
        return result
    operation = _OPERATIONS.get(type(node.op))
    if operation is None:
        raise StudyError(f"answer has '{ast.unparse(node)[:60]}' in it: wants + - * / and powers")
    return operation(left, right)


def _checked(value: Any) -> Any:
    """A number that can be compared with others: whole ones may not grow without end."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise OverflowError("a number that is too large to compute")
    return value


def _whole(value: float) -> float:
    """2000.0 as 2000, so that counts are compared exactly."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
