"""Answer: the base of all results. An answer knows its numbers, not how it looks.

``report/`` knows how each kind of answer looks in each medium; the front door connects the
two (``connect``), so that ``print``, notebooks and the command line all show an answer well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

Presenter = Callable[[Any, str], str]
_presenters: list[Presenter] = []


def connect(presenter: Presenter) -> None:
    """Let ``presenter(answer, medium)`` show answers; media are ``"text"`` and ``"html"``."""
    _presenters[:] = [presenter]


class Answer:
    """A frozen dataclass of numbers that shows itself through the connected presenter."""

    __dataclass_fields__: ClassVar[dict[str, Any]]  # every answer is a dataclass

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain dicts, lists, numbers and strings, ready for ``json.dumps``."""
        return {name: plain(getattr(self, name)) for name in self.__dataclass_fields__}

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
