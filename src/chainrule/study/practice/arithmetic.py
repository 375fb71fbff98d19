"""Arithmetic: numbers as people type them (``10*(25+1)``, ``32x32x10``, ``ln 10``, ``1,290``).

Nothing that is typed is executed: the text becomes a syntax tree of which only numbers, the four
operations, powers and a dozen functions are computed.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Any

from chainrule.errors import StudyError

_SIGNS = str.maketrans(
    {"×": "*", "·": "*", "⋅": "*", "∙": "*", "−": "-", "–": "-", "÷": "/", "π": " pi ", "√": "sqrt",
     "²": "**2", "³": "**3", "^": "**", "’": "'", "∞": " inf "}
)  # fmt: skip
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
    "log10": math.log10, "tanh": math.tanh, "abs": abs, "max": max, "min": min,
    "floor": math.floor, "ceil": math.ceil,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)), "relu": lambda x: max(0.0, x),
}  # fmt: skip
_CONSTANTS = {"e": math.e, "pi": math.pi, "inf": math.inf}
_PREFIXES = {"k": 1e3, "m": 1e6, "g": 1e9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_UNITS = frozenset(
    {"nats", "nat", "pixels", "pixel", "px", "steps", "layers", "units", "examples", "filters",
     "times"}
)  # fmt: skip
_LONGEST, _LARGEST_POWER = 200, 1000


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
        >>> round(arithmetic("ln 10"), 4), arithmetic("33 %"), arithmetic("2 kB")
        (2.3026, 0.33, 2000)
    """
    tidy = _tidied(text)
    if not tidy or len(tidy) > _LONGEST:
        raise StudyError(f"answer '{text.strip()[:40]}' cannot be read: wants a number such as 260")
    body, factor = _without_unit(tidy, unit)
    try:
        tree = ast.parse(body, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise StudyError(
            f"answer '{text.strip()}' cannot be read: understood '{body.strip()}', wants a number "
            "or arithmetic such as 10*(25+1)"
        ) from None
    try:
        value = _value(tree)
    except (ZeroDivisionError, OverflowError, ValueError, TypeError, RecursionError) as error:
        raise StudyError(f"answer '{text.strip()}' has no value: {error}") from None
    return _whole(value * factor)


def _tidied(text: str) -> str:
    """Signs and separators as Python writes them."""
    tidy = text.strip().translate(_SIGNS)
    tidy = re.sub(r"^.*[=:≈]", "", tidy).strip().rstrip(".")  # "N = 260", "answer: 260"
    tidy = re.sub(r"(?<![\w.])\d{1,3}(?:[,_' ]\d{3})+(?![\d])", _joined, tidy)
    if re.fullmatch(r"-?\d+,\d+", tidy):
        tidy = tidy.replace(",", ".")  # a decimal comma
    tidy = re.sub(r"(?<=[\d)])\s*[xX]\s*(?=[\d(])", "*", tidy)
    names = "|".join(_FUNCTIONS)
    return re.sub(rf"\b({names})\s+(\d[\d.]*)", r"\1(\2)", tidy)


def _joined(match: re.Match[str]) -> str:
    return re.sub(r"\D", "", match[0])


def _without_unit(text: str, unit: str) -> tuple[str, float]:
    """The expression without the words behind it, and what they multiply it by."""
    if text.endswith("%"):
        return text[:-1], 1 if unit == "%" else 0.01
    match = re.search(r"(?<=[\d) ])\s*([A-Za-z][A-Za-z ]*)$", text)
    if match is None or match[1].strip().lower() in _CONSTANTS:
        return text, 1
    word = match[1].strip()
    if word.lower() == unit.lower():
        return text[: match.start()], 1
    prefix = re.fullmatch(r"(ki|mi|gi|[kmg])?(b|bytes?|macs?|flops?|params?|parameters)?",
                          word.lower())  # fmt: skip
    if prefix is not None:
        return text[: match.start()], _PREFIXES.get(prefix[1] or "", 1)
    if word.lower() in _UNITS | {unit.lower(), unit.lower().rstrip("s")}:
        return text[: match.start()], 1
    raise StudyError(
        f"answer '{text}' cannot be read: understood '{text[: match.start()].strip()}', not "
        f"'{word}'; wants a number" + (f" of {unit}" if unit else "")
    )


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.Name) and node.id.lower() in _CONSTANTS:
        return _CONSTANTS[node.id.lower()]
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp):
        return _binary(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        function = _FUNCTIONS.get(node.func.id.lower())
        if function is not None:
            return function(*(_value(item) for item in node.args))
    raise StudyError(
        f"answer has '{ast.unparse(node)}' in it, which is no number: wants arithmetic such as "
        "10*(25+1), sqrt(2) or ln 10"
    )


def _binary(node: ast.BinOp) -> Any:
    left, right = _value(node.left), _value(node.right)
    if isinstance(node.op, ast.Pow):
        if abs(right) > _LARGEST_POWER or abs(left) > 1e9:
            raise StudyError("answer has a power that is too large to compute")
        result = left**right
        if isinstance(result, complex):
            raise ValueError("the root of a negative number")
        return result
    operation = _OPERATIONS.get(type(node.op))
    if operation is None:
        raise StudyError(f"answer has '{ast.unparse(node)}' in it: wants + - * / and powers")
    return operation(left, right)


def _whole(value: float) -> float:
    """2000.0 as 2000, so that counts are compared exactly."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
