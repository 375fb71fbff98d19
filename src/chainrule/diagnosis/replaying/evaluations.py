"""Evaluations: what a script compares its network's answers with while it evaluates."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chainrule.analysis.running import tensors_of
from chainrule.diagnosis.ear import Ear
from chainrule.diagnosis.losses import LOSS_KINDS
from chainrule.diagnosis.replaying.minibatch import Minibatch, copied
from chainrule.diagnosis.replaying.scout import Scout
from chainrule.diagnosis.replaying.supply import variables_above

_HELD = 12  # minibatches
_COMPARING = ("eq", "ne", "sub", "rsub", "isclose")
_ROLES = {
    "x", "y", "xs", "ys", "input", "inputs", "target", "targets", "label", "labels", "image",
    "images", "data", "feature", "features", "token", "tokens", "truth", "true", "tensor", "t",
}  # fmt: skip
_ANSWERS = ("pred", "out", "hat", "score", "prob", "logit", "guess", "answer", "said")


class Evaluations:
    """Hears what a script compares its network's answers with while it evaluates.

    Where the comparison is not one of PyTorch's (scikit-learn, NumPy) it is looked for among the
    variables of the function that evaluates.

    Args:
        scout: gets the minibatches.
    """

    def __init__(self, scout: Scout) -> None:
        self._scout = scout
        self._ear = Ear(self._heard)
        self._called: tuple[Any, Any] | None = None
        self._derived: dict[int, Any] = {}
        self._size = 0
        self._training = False
        self._beside: Tensor | None = None  # what stands in a variable beside the network's input

    def begin(self, network: nn.Module, given: tuple[Any, Any], output: Any) -> None:
        """A network has answered without gradients."""
        leaves = tensors_of(output)
        if len(self._scout.held) >= _HELD or not leaves or not leaves[0].dim():
            return
        self._called = given
        self._derived = {id(item): item for item in leaves}
        self._size, self._training = len(leaves[0]), network.training
        with suppress(Exception):  # whatever a script keeps in its variables: it is only a guess
            self._beside = target_beside(sys._getframe(1), given, leaves[0], self._scout)
        self._ear.open()

    def concerns(self, network: nn.Module, networks: Sequence[nn.Module]) -> bool:
        """Whether a network is the one that gets the minibatches."""
        root = self._scout.pool[0].root if self._scout.pool else 0
        return root < len(networks) and network is networks[root]

    @property
    def seen(self) -> bool:
        """Whether an evaluation was heard."""
        return bool(self._scout.held)

    def note_passes(self, count: int) -> None:
        """So many passes have led to one call of backward."""
        self._scout.several = self._scout.several or count > 1

    @property
    def enough(self) -> bool:
        """Whether the scout has minibatches enough, and listens no more."""
        return self._scout.budget.enough

    def end(self) -> None:
        """Something else begins."""
        self._ear.close()
        if self._called is not None and self._beside is not None:
            self._keep(self._beside)
        self._called, self._derived, self._beside = None, {}, None

    def _heard(self, function: Any, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        if self._called is None:
            return
        given = [item for item in (*args, *kwargs.values()) if isinstance(item, Tensor)]
        if not any(id(item) in self._derived for item in given):
            return
        name = str(getattr(function, "__name__", "")).strip("_")
        other = next((item for item in given if id(item) not in self._derived), None)
        if other is not None and (name in _COMPARING or name in LOSS_KINDS):
            if other.dim() and len(other) == self._size:
                self._keep(other)
                self._called = None
                self.end()
            return
        self._derived.update((id(item), item) for item in tensors_of(output))

    def _keep(self, target: Tensor) -> None:
        assert self._called is not None
        wanted = [item.target for item in self._scout.pool[:50] if item.target.dim()]
        numbers = bool(wanted) and target.is_floating_point() and wanted[0].is_floating_point()
        if numbers and not _same_scale(target.double(), torch.cat(wanted).double()):
            return  # answers are scaled back before they are compared
        args, kwargs = copied(self._called)
        kept = Minibatch(args, kwargs, target.detach().clone(), training=self._training)
        trained = self._scout.pool[0] if self._scout.pool else kept
        kept = replace(kept, root=trained.root)
        if len(trained.networks) > 1:
            if not trained.passes_only:
                return  # what stands between the networks was heard for minibatches of one size
            kept = replace(kept, leaf=trained.leaf, links=trained.links)
        self._scout.held.append(kept)


def target_beside(
    frame: FrameType | None, given: Any, output: Tensor, scout: Scout
) -> Tensor | None:
    """The one variable beside the input that can be its target; None for none or several.

    Args:
        frame: where to begin; the user's functions above it are looked through.
        given: arguments of the forward pass.
        output: of the network, (N, ...).
        scout: knows what targets of the training look like.
    """
    if not scout.pool:
        return None
    like = torch.cat([item.target for item in scout.pool[:50] if item.target.dim()] or [output[:0]])
    inputs = tensors_of(given)
    for function, names in variables_above(frame):
        kin = {kin_of(name) for name, value in names.items() if _is_one_of(value, inputs)}
        if not kin and function == "<module>":
            return None  # so many variables: one of the right length proves nothing
        found = [
            target for name, value in names.items()
            if (not kin or kin_of(name) in kin) and not _is_one_of(value, inputs)
            and not any(word in name.lower() for word in _ANSWERS)
            and (target := as_target(value, output, like)) is not None
        ]  # fmt: skip
        if found:
            alike = all(torch.equal(found[0], item) for item in found[1:])
            return found[0] if alike else None
    return None


def kin_of(name: str) -> str:
    """What is left of a name without the words for inputs and targets.

    Examples:
        >>> kin_of("X_test"), kin_of("test_labels"), kin_of("yb"), kin_of("testX"), kin_of("y")
        ('test', 'test', 'b', 'test', '')
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    words = [word for word in re.split(r"[_\d]+", apart) if word and word not in _ROLES]
    return "_".join(word[1:] if word[0] in "xy" else word for word in words)


def _is_one_of(value: Any, tensors: list[Tensor]) -> bool:
    """Whether a variable is one of the inputs, or the array that one was made of."""
    if isinstance(value, Tensor):
        return any(value is item or value.data_ptr() == item.data_ptr() for item in tensors)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
        return False
    return any(
        tuple(item.shape) == value.shape and np.allclose(value, item.numpy(force=True))
        for item in tensors
    )


def as_target(value: Any, output: Tensor, like: Tensor) -> Tensor | None:
    """A variable as a target like those of the training; None where it cannot be one."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
        value = torch.from_numpy(np.array(value))
    if not isinstance(value, Tensor) or value.requires_grad or not value.dim() or not len(like):
        return None
    if len(value) != len(output) or value[0].numel() != like[0].numel():
        return None
    found: Tensor = value.detach().reshape(-1, *like.shape[1:])
    alike = _same_scale if like.is_floating_point() else _same_classes
    return found.to(like.dtype) if alike(found.double(), like.double()) else None


def _same_classes(one: Tensor, other: Tensor) -> bool:
    return bool((one == one.round()).all()) and bool(
        ((one >= other.min()) & (one <= other.max())).all()
    )


def _same_scale(one: Tensor, other: Tensor) -> bool:
    """Not in other units: a network whose answers are scaled back is compared elsewhere."""
    std = float(other.std()) + 1e-12
    moved = abs(float(one.mean() - other.mean())) / std
    return moved < 1.0 and 0.25 < (float(one.std()) + 1e-12) / std < 4.0
