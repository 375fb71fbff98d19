"""Finding and Proof: what was noticed, and how it was shown a second way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chainrule.answer import Answer


@dataclass(frozen=True)
class Finding(Answer):
    """Something worth knowing, with the number that it rests on.

    Attributes:
        code: stable name in kebab-case ("unused-layer").
        place: layer or file and line; "" for the whole network.
        evidence: numbers with their units, by name.
        meaning: one sentence: what it is and why it matters.
        remedy: what to try; "" where nothing needs mending.
    """

    code: str
    place: str
    evidence: dict[str, Any] = field(default_factory=dict)
    meaning: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Proof(Answer):
    """One answer, computed and then computed again in an independent way.

    Attributes:
        claim: what was shown ("output shapes").
        way: the second way, in a few words.
        compared: how many numbers were compared.
        differences: (where, computed, proved) for each number that differs.
        note: what could not be compared and why; "" when everything was.
    """

    claim: str
    way: str
    compared: int
    differences: tuple[tuple[str, Any, Any], ...] = ()
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the second way agrees wherever it could be taken."""
        return not self.differences
