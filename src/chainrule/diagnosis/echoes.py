"""Echoes: gradients of one minibatch beside those of the minibatch before."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from chainrule.diagnosis.parameters import noise


@dataclass(frozen=True, eq=False)
class Echo:
    """Gradients of one optimizer's parameters in one step, with the parameters they belong to."""

    step: int
    gradients: list[tuple[weakref.ref[Tensor], Tensor]]


class Echoes:
    """Copies of gradients, by optimizer, each kept until the next step is heard.

    Attributes:
        noise: of the step that is heard now, by identity of the parameter.

    Examples:
        >>> w = Tensor([1.0]).requires_grad_()
        >>> echoes = Echoes()
        >>> for step, w.grad in enumerate((Tensor([1.0]), Tensor([-1.0]))):
        ...     echoes.hear(step, key=0)
        ...     echoes.keep(step, key=0, parameters=[w])
        >>> echoes.noise[id(w)]
        2.0
    """

    def __init__(self) -> None:
        self.noise: dict[int, float] = {}
        self._kept: dict[int, Echo] = {}

    def keep(self, step: int, key: int, parameters: Sequence[Tensor]) -> None:
        """Copy the gradients of a step."""
        self._kept[key] = Echo(
            step,
            [
                (weakref.ref(item), item.grad.detach().clone())
                for item in parameters
                if item.grad is not None and not item.grad.is_sparse
            ],
        )

    def hear(self, step: int, key: int) -> None:
        """Compare the gradients of a step with those of the step before, if they were kept."""
        echo = self._kept.pop(key, None)
        if echo is None or echo.step != step - 1:
            return
        for reference, before in echo.gradients:
            parameter = reference()
            if parameter is None or parameter.grad is None or parameter.grad.shape != before.shape:
                continue
            (found,) = noise([before], [parameter.grad])
            if found is not None and math.isfinite(found):
                self.noise[id(parameter)] = found
