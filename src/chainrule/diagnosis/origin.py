"""Origin: where the first NaN or infinity of a training came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from chainrule.answer import Answer
from chainrule.diagnosis.facts import TensorFacts
from chainrule.diagnosis.places import Place


@dataclass(frozen=True)
class Origin(Answer):
    """Where the first value that is not finite came from.

    Attributes:
        step: of the training, from 1.
        stage: "inputs", "targets", "weights", "forward", "loss", "backward" or "unknown".
        operation: the function that produced it, or the name of the tensor that holds it.
        layer: module that called the function, "" outside of modules.
        place: its line.
        inputs: facts of what it was given, all finite.
        value: "nan" or "inf".
        passed_on: operations after it that only handed it on, the first few.
        note: what could not be told.
    """

    step: int
    stage: str
    operation: str
    layer: str = ""
    place: Place | None = None
    inputs: tuple[TensorFacts, ...] = ()
    value: str = "nan"
    passed_on: tuple[str, ...] = ()
    note: str = ""


def value_of(tensor: Tensor) -> str:
    """ "nan", "inf" or "" for a tensor of finite numbers."""
    values = tensor.detach()
    if not values.is_floating_point() or bool(values.isfinite().all()):
        return ""
    return "nan" if bool(values.isnan().any()) else "inf"


def any_bad(tensors: Iterable[Tensor]) -> bool:
    """Whether one of the tensors has a NaN or an infinity."""
    return any(value_of(item) for item in tensors)
