"""Marker: which optimizer's steps are the steps of the training."""

from __future__ import annotations

import weakref

from torch.optim import Optimizer

from chainrule.diagnosis.models import Cast, Rule


class Marker:
    """One optimizer marks the steps: the first that was seen, while it is at work.

    Args:
        cast: knows the optimizers.

    Attributes:
        changed: whether the last change of the marker was the begin of another training.
    """

    def __init__(self, cast: Cast) -> None:
        self.changed = False
        self._cast = cast
        self._optimizer: weakref.ref[Optimizer] | None = None
        self._rule: Rule | None = None
        self._others = self._bare = 0

    @property
    def is_known(self) -> bool:
        """Whether an optimizer has made a step."""
        return self._optimizer is not None

    def is_it(self, optimizer: Optimizer) -> bool:
        """Whether this optimizer marks the steps."""
        return self._optimizer is not None and self._optimizer() is optimizer

    def stepped(self, optimizer: Optimizer) -> bool:
        """An optimizer has updated: whether that ends a step; it may become the marker by it."""
        self.changed = False
        if self.is_it(optimizer):
            self._others = 0
            return True
        rule = self._cast.rule(optimizer)
        gone = self._optimizer is not None and self._optimizer() is None
        # made after the last step of the other one
        successor = self._rule is not None and rule.born >= max(self._rule.last, 1)
        idle = self._others > 3 * max(len(self._cast.rules), 1)
        if not (self._optimizer is None or gone or successor or idle):
            self._others += 1
            return False
        self.changed = (gone or successor) and rule is not self._rule  # else it was made anew
        self._optimizer, self._rule, self._others = weakref.ref(optimizer), rule, 0
        return True

    def stepped_bare(self) -> None:
        """It has updated in a bare step: has to be quick."""
        self._bare += 1
        self._others = 0

    def hand_on(self, step: int) -> None:
        """Hand the bare steps, the last of which was ``step``, on to the optimizer's record."""
        if self._rule is not None and self._bare:  # the optimizer itself may be gone
            self._rule.steps += self._bare
            self._rule.last = step
        self._bare = 0
