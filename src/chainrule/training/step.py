"""Step: one update of the weights from one minibatch."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from chainrule.network.build import Network
from chainrule.nn.losses import LOSSES
from chainrule.nn.penalties import apply_max_norm_, penalty, regularized_parameters
from chainrule.nn.stochastic_depth import StochasticDepth
from chainrule.training.data.dataset import Task
from chainrule.training.distributed import World
from chainrule.training.evaluation import Loss, correct
from chainrule.training.execution import Execution
from chainrule.training.minibatches import Minibatch
from chainrule.training.phases import Phases
from chainrule.training.recipe import Recipe
from chainrule.training.sharding import shard, whole
from chainrule.training.update_rules import build_optimizer

DEFAULT_L1_RATIO = 0.5


def loss_of(recipe: Recipe) -> Loss:
    """The recipe's data loss as a function of scores (N, K) and targets."""
    # the data were checked once, when they were loaded
    options: dict[str, Any] = {"check": False}
    if recipe.loss == "softmax":
        options["label_smoothing"] = recipe.label_smoothing
    return partial(LOSSES[str(recipe.loss)], **options)


class Done(NamedTuple):
    """What went forward; on the device, so that an accelerator need not be waited for.

    Attributes:
        data_loss: mean over the minibatch (one element).
        right: number of right answers (one element); 0 for regression.
    """

    data_loss: Tensor
    right: Tensor


class Step:
    """Makes updates of a module by a recipe: forward, full loss, backward, clipping, update rule.

    Args:
        module: on its device, in training mode.
        recipe: with its loss resolved.
        task: what the targets are.
        execution: how it is computed.
        phases: told where the time goes.
        here: this process among those that train together.
    """

    def __init__(
        self,
        module: nn.Module,
        recipe: Recipe,
        task: Task,
        execution: Execution,
        phases: Phases | None = None,
        here: World | None = None,
    ) -> None:
        self.module, self.recipe, self.task, self.execution = module, recipe, task, execution
        self.phases, self.here = phases or Phases(), here or World()
        self.sharded = self.here.size > 1 and recipe.sharded
        if self.sharded:
            shard(module, self.here)  # before anything holds its parameters
        self.loss = loss_of(recipe)
        chosen = regularized_parameters(
            module, biases=recipe.penalize_biases, norms=recipe.penalize_norms
        )
        self.regularized = [parameter for _, parameter in chosen]
        touched = {id(parameter) for parameter in self.regularized}
        self.trainable = [item for item in module.parameters() if item.requires_grad]
        others = [item for item in self.trainable if id(item) not in touched]
        fused = execution.update_kernel == "fused"
        self.optimizer = build_optimizer(recipe, self.regularized, others, fused=fused)
        self.device = self.trainable[0].device
        self.scaler = execution.scaler(self.device)
        self.wrapped = module
        if self.here.size > 1 and not self.sharded:
            self.wrapped = _in_step(module)
        self.forward = _compiled(self.wrapped, self.device) if execution.compiled else self.wrapped
        # alone on a CPU a loss that is not finite is seen before anything goes backward;
        # others would wait for a process that stops there
        self.looks_first = self.device.type == "cpu" and self.here.size == 1

    def gradients(self, minibatch: Minibatch) -> Done:
        """Forward and backward; the gradients lie in the parameters afterwards.

        On the CPU a loss that is not finite ends it before anything goes backward. An
        accelerator is not waited for: the caller finds such a loss in what is given back.
        """
        self.optimizer.zero_grad()
        parts = minibatch.parts(self.recipe.micro_batch_size, self.here.size)
        done = [self._part(part, part is parts[-1]) for part in parts]
        if len(done) == 1 and self.here.size == 1:
            return done[0]
        sums = torch.stack([torch.stack(column).sum() for column in zip(*done, strict=True)])
        return Done(*self.here.sum(sums))

    def update(self, rate: float) -> Tensor | None:
        """Clip and update at learning rate ``rate``; gives the norm before clipping by norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.unscale_(self.optimizer)
        norm = self._clip()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.recipe.max_norm is not None:
            apply_max_norm_(self.module, self.recipe.max_norm)
        return norm

    def penalty(self) -> Tensor:
        """R(W) of the recipe's kind, without its lambda (one element)."""
        ratio = self.recipe.l1_ratio
        value = penalty(
            self.regularized,
            self.recipe.penalty,
            l1_ratio=DEFAULT_L1_RATIO if ratio is None else ratio,
        )
        return whole(value)

    def _part(self, part: Minibatch, last: bool) -> Done:
        with self.phases.phase("forward"):
            with self.execution.arithmetic(self.device):
                scores = self.forward(part.inputs)
            if scores.dtype in (torch.bfloat16, torch.float16):
                scores = scores.float()
            data_loss = self.loss(scores, part.targets)
            full = data_loss + self._penalty_in_loss()
            scale = part.share * self.here.size  # the processes' gradients are averaged
            full = full if scale == 1 else full * scale
            seen = data_loss.detach()
            seen = seen if part.share == 1 else seen * part.share
        if not self.looks_first or math.isfinite(float(seen)):
            with self.phases.phase("backward"), self._synced(last):
                self.scaler.scale(full).backward()  # type: ignore[no-untyped-call]
        right = torch.zeros_like(seen)
        if self.task != "regression" and part.share:
            right = correct(scores.detach(), part.labels, self.task)
        return Done(seen, right)

    def _synced(self, last: bool) -> AbstractContextManager[Any]:
        """Gradients are exchanged once, after the last part."""
        if self.sharded:
            self.module.set_requires_gradient_sync(last)  # type: ignore[operator]  # FSDP's own
        elif isinstance(self.wrapped, nn.parallel.DistributedDataParallel) and not last:
            return self.wrapped.no_sync()
        return nullcontext()

    def _penalty_in_loss(self) -> Tensor | float:
        """l1 and elastic stand in the loss; torch.optim adds the gradient of l2 itself."""
        if self.recipe.penalty == "l2" or not self.recipe.weight_decay:
            return 0.0
        return self.recipe.weight_decay * self.penalty()

    def _clip(self) -> Tensor | None:
        if self.recipe.clip_norm is not None:
            return whole(nn.utils.clip_grad_norm_(self.trainable, self.recipe.clip_norm))
        if self.recipe.clip_value is not None:
            nn.utils.clip_grad_value_(self.trainable, self.recipe.clip_value)
        return None


def _compiled(module: nn.Module, device: torch.device) -> Any:
    """Through torch.compile, on CUDA as CUDA graphs, which spare the launch of every kernel."""
    if device.type == "cuda":
        return torch.compile(module, mode="reduce-overhead")
    return torch.compile(module)


def _in_step(module: nn.Module) -> nn.Module:
    """Averages gradients over the processes.

    Looking for layers that go unused in a step takes time, and without it one that does is an
    error: a network in notation has none, but for stochastic depth.
    """
    known = isinstance(module, Network)
    skips = any(isinstance(layer, StochasticDepth) for layer in module.modules())
    return nn.parallel.DistributedDataParallel(
        module, find_unused_parameters=not known or skips, forward_sync_buffers=False
    )
