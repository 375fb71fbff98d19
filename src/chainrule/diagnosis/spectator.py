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


class Logged:
    """Tells the logger "chainrule": findings as warnings, a failure as an error."""

    def stepped(self, watching: Watching) -> None:
        """Nothing."""

    def found(self, finding: Finding) -> None:
        """A symptom has been seen for the first time."""
        place = f" ({finding.place})" if finding.place else ""
        _LOG.warning("%s%s: %s", finding.code, place, finding.meaning)

    def broken(self, message: str) -> None:
        """Watching has failed and ended."""
        _LOG.error("%s", message)
