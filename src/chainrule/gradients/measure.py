"""Measure: what is done with a network's outputs: nothing, or a data loss."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.errors import GradientError, ShapeError, suggestion
from chainrule.gradients.problem import Problem, Values, floats_of
from chainrule.gradients.samples import function_inputs
from chainrule.gradients.target import Target
from chainrule.nn.losses import LOSSES


def measure_of(
    target: Target, loss: Any, targets: Tensor | None, outputs: Callable[[], Any]
) -> Callable[[Any], Any]:
    """What is done with a network's outputs: nothing, or a data loss."""
    if loss is None:
        return lambda output: output
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise GradientError(
                f"loss got '{loss}'{suggestion(loss, LOSSES)}; wants one of {', '.join(LOSSES)} or "
                "a function of scores and targets"
            )
        target.loss, loss = loss, LOSSES[loss]
    scores = floats_of(outputs())[0]
    if loss in LOSSES.values() and scores.dim() != 2:
        raise ShapeError(
            f"loss wants scores (N, C), the network gives {_shape(scores)}: give a function of its "
            "output and targets as loss, or none"
        )
    if targets is None:
        targets = _targets(loss, scores)
    if targets is None and _asks_for_targets(loss):
        targets = _guessed(target, loss, scores)
    target.classes = scores.shape[-1] if scores.dim() == 2 else 0
    value = loss(scores, targets) if targets is not None else loss(scores)
    if not isinstance(value, Tensor) or value.dim():
        raise GradientError(
            f"loss gives {_shape(value)}, wants one number: take its mean or sum, or leave loss "
            "out (then the vector-Jacobian product of all outputs is checked)"
        )
    kept = targets
    return lambda output: (
        loss(floats_of(output)[0], kept) if kept is not None else loss(floats_of(output)[0])
    )


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def _targets(loss: Any, scores: Tensor) -> Tensor | None:
    """Targets drawn at random, of the kind that a loss wants."""
    generator = torch.Generator().manual_seed(3)
    wanted = {LOSSES["mse"]: "values", LOSSES["bce"]: "labels"}
    kind = wanted.get(loss) if not isinstance(loss, nn.Module) else _kind_of(loss)
    if kind == "values":
        return torch.randn(scores.shape, generator=generator, dtype=torch.float64).to(scores)
    if kind == "labels":
        return torch.randint(0, 2, scores.shape, generator=generator).to(scores)
    if loss in LOSSES.values() or kind == "classes":
        shape = (scores.shape[0], *scores.shape[2:])
        return torch.randint(0, scores.shape[1], shape, generator=generator)
    return None


def _asks_for_targets(loss: Any) -> bool:
    """Whether a function cannot be called with scores alone."""
    try:
        inspect.signature(loss).bind(None)
    except TypeError:
        return True
    except ValueError:  # written in C
        return False
    return False


def _guessed(target: Target, loss: Any, scores: Tensor) -> Tensor:
    """Targets that a function of scores and targets runs with: classes, or values."""
    reasons = []
    for words, stand_in in (("classes", LOSSES["softmax"]), ("values", LOSSES["mse"])):
        if words == "classes" and scores.dim() != 2:
            continue
        targets = _targets(stand_in, scores)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # broadcasting is only warned of
                loss(scores, targets)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            reasons.append(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
            continue
        target.notes.append(f"targets for the loss are {words} drawn at random")
        assert targets is not None
        return targets
    raise GradientError(
        f"loss {getattr(loss, '__name__', loss)} wants targets, and runs with neither classes nor "
        f"values drawn at random ({reasons[-1][:90]}): give targets"
    )


def _kind_of(loss: nn.Module) -> str:
    """What a loss of torch.nn compares with."""
    classes = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
    if isinstance(loss, classes) or type(loss).__name__ == "SVMLoss":
        return "classes"
    return "labels" if isinstance(loss, nn.BCELoss | nn.BCEWithLogitsLoss) else "values"


def loss_target(
    loss: Any, given: Any, targets: Tensor | None, dtype: torch.dtype, batch: int
) -> Target:
    """A loss as a function of its scores."""
    name = next((key for key, item in LOSSES.items() if item is loss), type(loss).__name__)
    tensors = function_inputs(given if given is not None else (max(batch, 8), 10), dtype)
    scores, *rest = tensors
    if rest:
        targets = rest[0]
    if targets is None:
        targets = _targets(loss, scores)
    if isinstance(loss, nn.BCELoss):
        scores = torch.sigmoid(scores)
    kept = targets

    def function(values: Values) -> Any:
        return loss(values["scores"].clone(), kept)

    return Target(
        Problem(f"{name} loss" if name in LOSSES else name, {"scores": scores}, function,
                inputs=frozenset({"scores"}))
    )  # fmt: skip
