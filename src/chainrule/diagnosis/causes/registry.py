"""Registry: the causes by code, and what they make of a case."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points

from chainrule.diagnosis.case import Case, Hypothesis

Raise = Callable[[Case], Iterable[Hypothesis]]
CAUSES: dict[str, Cause] = {}
_FAMILIES = (
    "optimization", "graph", "losses", "initialization", "signal", "data", "regularization",
    "numerics",
)  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """A cause.

    Attributes:
        code: stable name in kebab-case.
        family: the file that it stands in.
        title: what it is, in a few words.
        raised: case -> hypotheses, none where nothing speaks for it.
    """

    code: str
    family: str
    title: str
    raised: Raise


def cause(code: str, title: str) -> Callable[[Raise], Raise]:
    """Register the function below as a cause.

    Args:
        code: stable name in kebab-case.
        title: what it is, in a few words.

    Examples:
        >>> @cause("example-cause", "an example")
        ... def example(case):
        ...     return ()
        >>> CAUSES.pop("example-cause").title
        'an example'
    """

    def register(raised: Raise) -> Raise:
        family = raised.__module__.rpartition(".")[2]
        CAUSES[code] = Cause(code, family, title, raised)
        return raised

    return register


def load_causes() -> dict[str, Cause]:
    """All causes: ours, and those of installed packages."""
    for family in _FAMILIES:
        importlib.import_module(f"chainrule.diagnosis.causes.{family}")
    for point in entry_points(group="chainrule.causes"):
        point.load()
    return CAUSES


def hypotheses_of(case: Case) -> tuple[list[Hypothesis], list[str]]:
    """What all causes make of a case, the strongest first, and what could not be looked at."""
    found: list[Hypothesis] = []
    unseen: list[str] = []
    for item in load_causes().values():
        try:
            found += item.raised(case)
        except Exception as error:  # noqa: BLE001 - one cause must not stop the others
            unseen.append(f"{item.code}: {type(error).__name__}: {error}")
    return sorted(found, key=lambda item: -item.weight), unseen
