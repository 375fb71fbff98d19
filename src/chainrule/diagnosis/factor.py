"""Factor: by what a loss is multiplied before ``backward``, for steps of which no more is heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.diagnosis.facts import Backward
from chainrule.diagnosis.models import Rule


class Factor:
    """That of accumulation, as it was heard last, and that of a gradient scaler, as it is now."""

    def __init__(self) -> None:
        self._factor = self._scale = 1.0
        self._scaler: Any = None  # a weak reference

    def note(self, backwards: Sequence[Backward], rules: Sequence[Rule]) -> None:
        """What was heard of a step: its calls of ``backward`` and the optimizers."""
        heard = backwards[-1] if backwards else None
        known = heard is not None and heard.data is not None and heard.penalty is not None
        self._factor, self._scaler = 1.0, None
        if heard is None or not known:
            return
        self._factor = heard.scale or 1.0
        found = [rule.scaled_by for rule in rules if rule.scaled_by and rule.scaled_by()]
        if found:
            self._scaler = found[-1]
            self._scale = float(self._scaler().get_scale())

    def without(self, value: float) -> float:
        """The loss itself, of the number that ``backward`` was called on."""
        scaler = None if self._scaler is None else self._scaler()
        now = 1.0 if scaler is None or not self._scale else scaler.get_scale() / self._scale
        return value / (self._factor * now)
