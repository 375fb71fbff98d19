"""Target: a problem with what must be known to report on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from chainrule.analysis.graph import Graph
from chainrule.gradients.problem import Problem


@dataclass
class Target:
    """A problem with what must be known to report on it.

    Attributes:
        problem: what is checked.
        notes: what was done to make it checkable, in words.
        module: the copy that is run, None for functions.
        graph: traces the network in the mode it is in; None where it cannot be.
        loss: name of the data loss, "" without one.
        classes: number of scores, for the expected loss at the start.
    """

    problem: Problem
    notes: list[str] = field(default_factory=list)
    module: nn.Module | None = None
    graph: Callable[[], Graph | None] = lambda: None
    loss: str = ""
    classes: int = 0
