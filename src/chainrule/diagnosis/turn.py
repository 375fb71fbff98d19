"""Turn: what belongs to one step of a training, and who is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from chainrule.diagnosis.budget import Level
from chainrule.diagnosis.facts import Backward
from chainrule.diagnosis.layers import Activations
from chainrule.diagnosis.losses import LossCall
from chainrule.diagnosis.models import Model
from chainrule.diagnosis.tail import Heard


@dataclass(eq=False)
class Pass:
    """One forward pass of a network, with its tensors; forgotten when the step has ended."""

    model: Model
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    training: bool
    autocast: str
    transformed: bool = False
    output: Any = None


@dataclass(eq=False)
class Turn:
    """What was heard from one update to the next."""

    step: int
    level: Level
    begun: float
    passes: list[Pass] = field(default_factory=list)
    calls: list[LossCall] = field(default_factory=list)
    heaviest: LossCall | None = None  # of those that the last backward() was called on
    backwards: list[Backward] = field(default_factory=list)
    activations: list[Activations] = field(default_factory=list)
    trail: list[Heard] = field(default_factory=list)
    deferred: list[tuple[int, Tensor]] = field(default_factory=list)
    leftover: float | None = None
    after_backward: float | None = None


class Follower:
    """Who is told of steps; override what you want to see. Nothing here may change the training.

    Attributes:
        alarm: something went wrong: the next step is watched in full.
    """

    alarm: bool = False

    def broken(self, error: Exception) -> None:
        """Something went wrong inside the watch."""

    def backward_begins(self, turn: Turn, total: Tensor) -> None:
        """``backward`` is about to run; the graph and the passes are still there."""

    def step_begins(self, turn: Turn, optimizer: Optimizer | None) -> None:
        """Gradients are there, weights not yet updated."""

    def step_ends(self, turn: Turn, optimizer: Optimizer | None) -> None:
        """Weights are updated."""

    def gradients_ready(self, turn: Turn) -> None:
        """``backward`` has ended, in a loop without optimizer."""

    def bare_step(self, step: int, value: float, optimizer: Optimizer) -> None:
        """A step ended of which nothing but the loss was heard; has to be quick."""

    def bare_gradients(self, step: int) -> None:
        """Gradients of a bare step are there; has to be quick."""

    def another_training(self, step: int) -> None:
        """After this step another optimizer has taken over: the program trains once more."""

    def trouble(self, step: int, total: Tensor) -> None:
        """In a bare step the loss is not finite."""

    def turn_ends(self, turn: Turn) -> None:
        """All that belongs to a step has been seen."""
