"""Grammar: how equations are written, and what is said when they are not."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from lark import Lark, Tree
from lark.exceptions import UnexpectedInput

from chainrule.errors import NotationError

Node = Any  # lark's trees and tokens, whose types say nothing about what is inside
GRAMMAR = r"""
    start: _NL? statement (_NL statement)* _NL?
    statement: declaration | equation
    declaration: target ("," target)* ":" "(" [dim ("," dim)* ","?] ")" ranges
    dim: NAME | NUMBER
    equation: target "=" expr ranges
    target: NAME index?
    index: "[" expr ("," expr)* "]"
    ranges: ("," range)*
    range: NAME "=" expr ".." expr

    ?expr: sum
    ?sum: product | sum "+" product -> plus | sum "-" product -> minus
    ?product: signed | product "*" signed -> times | product "/" signed -> over
            | product "@" signed -> matmul | product raised -> beside
    ?signed: raised | "-" signed -> negative | "+" signed
    ?raised: postfix | postfix ("^" | "**") signed -> raise_to
    ?postfix: atom | postfix (TRANSPOSE | "'") -> transpose
    ?atom: NUMBER -> number
         | NAME index? -> name
         | NAME "(" [argument ("," argument)*] ")" -> call
         | "(" expr ")"
         | ONE ("{" | "[") condition ("," condition)* ("}" | "]") -> indicator
    ?argument: expr | condition | NAME "=" expr -> option | range
    condition: expr RELATION expr

    TRANSPOSE.3: /\.T\b|\^\s*T\b|\u1d40/
    ONE.3: /1(?=\s*[\[{])/
    RELATION: ">=" | "<=" | ">" | "<"
    NUMBER.2: /\d+(\.\d+)?([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?/
    NAME: /[^\W\d]\w*/
    _NL: /[\n;](\s|;|#[^\n]*)*/
    %ignore /[ \t\r\f]+/
    %ignore /#[^\n]*/
"""
_WORDS = {
    "NAME": "a name", "NUMBER": "a number", "_NL": "a new line", "LPAR": "'('", "RPAR": "')'",
    "LSQB": "'['", "RSQB": "']'", "EQUAL": "'='", "COMMA": "','", "COLON": "':'", "ONE": "",
    "$END": "the end", "RELATION": "'>' or '<'", "STAR": "'*'", "PLUS": "'+'", "MINUS": "'-'",
}  # fmt: skip


def parsed(text: str) -> Node:
    """The syntax tree of equations.

    Raises:
        NotationError: with the line and a caret.
    """
    try:
        return _parser().parse(text)
    except UnexpectedInput as error:
        raise _explained(error, text) from None


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def _explained(error: UnexpectedInput, text: str) -> NotationError:
    token = getattr(error, "token", None)
    position = -1 if error.pos_in_stream is None else error.pos_in_stream
    if position < 0 or (token is not None and token.type == "$END"):
        position = len(text.rstrip())
    found = str(token or text[position : position + 1]).strip()
    expected = getattr(error, "accepts", None) or getattr(error, "expected", None) or set()
    words = sorted({_WORDS.get(item, "") for item in expected} - {""})
    wants = f", wants {', '.join(words[:6])}" if words else ""
    what = f"'{found}'" if found else "the end of the line"
    return NotationError(f"equations: {what} is not understood here{wants}", text, position)


def is_a(item: Node, kind: str) -> bool:
    """Whether a piece of syntax is of this kind."""
    return isinstance(item, Tree) and item.data == kind


def start_of(item: Node) -> int:
    """Where a piece of syntax begins in the text."""
    if isinstance(item, Tree):
        return 0 if item.meta.empty else int(item.meta.start_pos)
    return int(item.start_pos or 0)
