"""Explain: what a reader of the notation stumbled over, in the notation's own words."""

from __future__ import annotations

from typing import Any

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from chainrule.errors import NotationError, suggestion

LAYERS = (
    *("INPUT", "CONV", "CONV1D", "FC", "MAXOUT", "POOL", "POOL1D", "AVGPOOL", "AVGPOOL1D", "GAP"),
    *("RELU", "LRELU", "ELU"),
    *("SIGMOID", "TANH", "BN", "DROPOUT", "DROPCONNECT", "RES", "DROPPATH"),
)
_WORDS = {
    "NUMBER": "a whole number",
    "DECIMAL": "a number",
    "_SEPARATOR": "a comma, '->' or a new line",
    "$END": "the end",
    "LSQB": "'['",
    "RSQB": "']'",
    "LPAR": "'('",
    "RPAR": "')'",
    "MINUS": "'-'",
    "SLASH": "'/'",
    "AT": "'@'",
    "X": "'x'",
}


def explain(error: UnexpectedInput, text: str) -> NotationError:
    """What was found and what was expected, in the words of the notation."""
    position = error.pos_in_stream
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return NotationError(
            f"the text ends too early; {_expected(error.accepts or error.expected)}",
            text,
            len(text.rstrip()),
        )
    position = _start_of_word(text, len(text) if position is None else position)
    found = _word_at(text, position)
    if found.upper().startswith("SOFTMAX"):
        return NotationError(
            "SOFTMAX is applied by the loss: leave it out and train with --loss softmax",
            text,
            position,
        )
    expected = _terminals(error)
    letters = _letters(found)
    if position < (error.pos_in_stream or 0) or (letters and letters.upper() not in LAYERS):
        hint = suggestion(letters, LAYERS)
        if hint:
            return NotationError(f"unknown layer '{found}'{hint}", text, position)
    names = set(expected)
    if text.count("[", 0, position) <= text.count("]", 0, position):
        names.discard("RSQB")
    return NotationError(f"found '{found}', {_expected(names)}", text, position)


def _terminals(error: UnexpectedInput) -> set[str]:
    """Names of the terminals that could have come."""
    if isinstance(error, UnexpectedToken):
        return set(error.accepts or error.expected)
    return set(error.allowed or ()) if isinstance(error, UnexpectedCharacters) else set()


def _expected(terminals: Any) -> str:
    names = {str(name) for name in terminals}
    layers = {"CONV", "FC", "POOL"} <= names
    words = ["a layer (CONV, FC, POOL, RELU, ...)"] if layers else []
    for name in sorted(names):
        if name in _WORDS:
            words.append(_WORDS[name])
        elif not layers and name in LAYERS:
            words.append(name)
        elif not layers and len(name) == 1:
            words.append(f"'{name.lower()}'")
    unique = list(dict.fromkeys(words))
    return f"expected {' or '.join(unique)}" if unique else "expected another layer"


def _start_of_word(text: str, position: int) -> int:
    """Back to the beginning when the reader stopped inside a word ("RELU|U")."""
    if position < len(text) and text[position].isalpha():
        while position and text[position - 1].isalpha():
            position -= 1
    return position


def _word_at(text: str, position: int) -> str:
    end = position
    while end < len(text) and text[end] not in ",\n[]#" and not text.startswith("->", end):
        end += 1
    return text[position:end].strip() or text[position : position + 1]


def _letters(word: str) -> str:
    end = 0
    while end < len(word) and word[end].isalpha():
        end += 1
    return word[:end]
