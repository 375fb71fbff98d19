"""Choice: how the steps of a run are computed, and why so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chainrule.answer import Answer
from chainrule.training.agreement import Agreement
from chainrule.training.execution import Execution


@dataclass(frozen=True)
class Trial(Answer):
    """One execution and its time.

    Attributes:
        execution: what was tried.
        seconds: shortest time of a step (s).
        steps: number of steps measured.
    """

    execution: Execution
    seconds: float
    steps: int


@dataclass(frozen=True)
class Choice(Answer):
    """How the steps of a run are computed, and why so.

    Attributes:
        execution: what was chosen.
        how: "measured", "remembered", "given" (nothing was left open), "short run" or "no memory"
            (for the plain step).
        gain: how many times faster than the plain step (float32, channels-first, fused); 1 when
            nothing was measured.
        agreement: with plain float32, first loss and first gradients; None when nothing but
            float32 and the usual order was at stake.
        trials: what was tried, the fastest first.
        seconds: what measuring took (s).
    """

    execution: Execution
    how: str
    gain: float = 1.0
    agreement: Agreement | None = None
    trials: tuple[Trial, ...] = ()
    seconds: float = 0.0

    @property
    def words(self) -> str:
        """The choice in one line."""
        words = f"steps in {self.execution.words}"
        if self.how not in ("measured", "remembered"):
            return words
        agree = f"; {self.agreement.words}" if self.agreement is not None else ""
        when = "" if self.how == "measured" else " (measured in an earlier run)"
        return f"{words}: {self.gain:.2f} x as fast as the plain step{when}{agree}"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Choice:
        """The choice that ``to_dict`` wrote."""
        agreed = values["agreement"]
        trials = tuple(
            Trial(**{**item, "execution": Execution(**item["execution"])})
            for item in values["trials"]
        )
        return cls(
            **{
                **values,
                "execution": Execution(**values["execution"]),
                "agreement": None if agreed is None else Agreement(**agreed),
                "trials": trials,
            }
        )
