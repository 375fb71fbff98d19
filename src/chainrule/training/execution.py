"""Execution: how a training step is computed, apart from what it computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.answer import Answer
from chainrule.training.recipe import Recipe

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
FIELDS = ("precision", "memory_format", "update_kernel", "threads", "compiled")


@dataclass(frozen=True)
class Execution(Answer):
    """How a training step is computed. The mathematics is the same in each.

    Attributes:
        precision: of the network's arithmetic, "float32", "bfloat16" or "float16" (autocast:
            weights, their gradients, update rule and loss stay float32).
        memory_format: order of images and filters in memory, "channels-first" or "channels-last".
        update_kernel: "fused" (one kernel for the whole update rule) or "foreach".
        threads: of the CPU; None leaves PyTorch's own number.
        compiled: whether the network goes through torch.compile.

    Examples:
        >>> print(Execution("bfloat16", "channels-last", threads=1).words)
        bfloat16, channels-last, fused updates, 1 thread
    """

    precision: str = "float32"
    memory_format: str = "channels-first"
    update_kernel: str = "fused"
    threads: int | None = None
    compiled: bool = False

    @property
    def words(self) -> str:
        """The execution in a few words."""
        parts = [self.precision, self.memory_format, f"{self.update_kernel} updates"]
        if self.threads is not None:
            parts.append(f"{self.threads} thread{'s' if self.threads > 1 else ''}")
        return ", ".join([*parts, *(["compiled"] if self.compiled else [])])

    def settings(self) -> dict[str, Any]:
        """The fields of a recipe that say the same."""
        return {name: getattr(self, name) for name in FIELDS}

    def place(self, module: nn.Module) -> nn.Module:
        """Lay the filters of ``module`` out in this memory format, in place; gives it back."""
        # PyTorch's stubs know memory_format for tensors alone
        return module.to(memory_format=self._format)  # type: ignore[call-overload,no-any-return]

    def lay_out(self, inputs: Tensor) -> Tensor:
        """Images (N, C, H, W) in this memory format; vectors as they are."""
        if inputs.dim() != 4 or self.memory_format == "channels-first":
            return inputs.contiguous()
        return inputs.contiguous(memory_format=torch.channels_last)

    def arithmetic(self, device: torch.device) -> AbstractContextManager[Any]:
        """Context in which the network computes in this precision."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(device.type, dtype=_DTYPES[self.precision])

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Scales the loss where gradients would vanish (float16 alone; Micikevicius 2018)."""
        return torch.amp.GradScaler(device.type, enabled=self.precision == "float16")

    @property
    def _format(self) -> torch.memory_format:
        last = self.memory_format == "channels-last"
        return torch.channels_last if last else torch.contiguous_format


PRECISE = Execution(update_kernel="foreach")


def execution_of(recipe: Recipe) -> Execution:
    """The execution a recipe names; what it leaves open is as it is without measuring.

    Examples:
        >>> execution_of(Recipe()) == Execution()
        True
        >>> execution_of(Recipe(precise=True)).words
        'float32, channels-first, foreach updates'
    """
    # PyTorch's fused kernels of SGD and AdaGrad do not take sharded tensors
    usual = PRECISE if recipe.precise or recipe.sharded else Execution()
    given = {name: getattr(recipe, name) for name in FIELDS}
    open_ones = {name for name, value in given.items() if value in ("auto", None)}
    return Execution(
        **{**usual.settings(), **{k: v for k, v in given.items() if k not in open_ones}}
    )


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Context with this many threads (None: as it is), put back afterwards."""
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
