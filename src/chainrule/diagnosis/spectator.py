"""Spectator: who is told of a watch while it lasts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from chainrule.finding import Finding

if TYPE_CHECKING:
    from chainrule.diagnosis.watch import Watching

_LOG = logging.getLogger("chainrule")


class Spectator(Protocol):
    """Who is told of a watch while it lasts."""

    def stepped(self, watching: Watching) -> None:
        """A step was watched in full."""

    def found(self, finding: Finding) -> None:
        """A symptom has been seen for the first time."""

    def broken(self, message: str) -> None:
        """Watching has failed and ended; the training goes on."""


def told(finding: Finding) -> str:
    """A finding in one line.

    Examples:
        >>> told(Finding("wrong-mode", "train.py:7", {}, "net is trained in evaluation mode"))
        'wrong-mode (train.py:7): net is trained in evaluation mode'
    """
    place = f" ({finding.place})" if finding.place else ""
    return f"{finding.code}{place}: {finding.meaning}"


class Logged:
    """Tells the logger "chainrule": findings as warnings, a failure as an error."""

    def stepped(self, watching: Watching) -> None:
        """Nothing."""

    def found(self, finding: Finding) -> None:
        """A symptom has been seen for the first time."""
        _LOG.warning("%s", told(finding))

    def broken(self, message: str) -> None:
        """Watching has failed and ended."""
        _LOG.error("%s", message)
