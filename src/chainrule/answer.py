"""Answer: the base of all results. An answer knows its numbers, not how it looks.

``report/`` knows how each kind of answer looks in each medium; the front door connects the
two (``connect``), so that ``print``, notebooks and the command line all show an answer well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

Presenter = Callable[[Any, str], str]
_presenters: list[Presenter] = []


def connect(presenter: Presenter) -> None:
    """Let ``presenter(answer, medium)`` show answers; media are ``"text"`` and ``"html"``."""
    _presenters[:] = [presenter]


class Answer:
    """A frozen dataclass of numbers that shows itself through the connected presenter."""

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain dicts, lists, numbers and strings, ready for ``json.dumps``."""
        if not is_dataclass(self):
            raise TypeError(f"{type(self).__name__} must be a dataclass")
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}

    def __str__(self) -> str:
        return _presenters[0](self, "text") if _presenters else repr(self)

    def _repr_html_(self) -> str:
        return _presenters[0](self, "html") if _presenters else f"<pre>{self!r}</pre>"


def plain(value: Any) -> Any:
    """``value`` with answers, tuples and arrays turned into dicts and lists."""
    if isinstance(value, Answer):
        return value.to_dict()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
