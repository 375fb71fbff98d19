"""Flow: how activations go forward through a network, and gradients back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.analysis.running import first_tensor
from chainrule.analysis.tracer import same_random_state
from chainrule.analysis.twin import left_out_hooks, unwrapped, with_weights
from chainrule.errors import ChainruleError, DataError, GradientError, ShapeError, suggestion
from chainrule.gradients.flow_answer import Flow
from chainrule.gradients.flow_rows import finite, row_of
from chainrule.gradients.recurrence import recurrence_findings, recurrent_matrices
from chainrule.gradients.reference import reference
from chainrule.gradients.signals import Watch
from chainrule.gradients.symptoms import Reference, symptoms
from chainrule.gradients.units import symmetric_units
from chainrule.gradients.update import Step, UpdateRule, first_step
from chainrule.network.source import describe_name
from chainrule.network.source import network as find_network
from chainrule.nn.guard import check_count, check_size
from chainrule.nn.losses import LOSSES

_RANDOM = "random upstream gradient"
Loss = Callable[[Tensor, Tensor], Tensor]


def flow(
    module: Any,
    inputs: Tensor,
    targets: Tensor | None = None,
    *,
    loss: str | Loss | None = None,
    batch: int = 64,
    learning_rate: float = 0.01,
    update_rule: UpdateRule | None = None,
    jacobians: bool = True,
    seed: int = 0,
) -> Flow:
    """Activations, gradients, update ratios, dead and symmetric units, Jacobians by layer.

    A copy on the CPU is run in the mode that each layer is in, in minibatches; what is given
    stays as it is, random state included. A layer is a module without children, or an activation
    function called by a module. Findings compare with the same network, freshly initialized by He
    et al. (Glorot where it has no ReLU), on the same inputs.

    Args:
        module: a network in any form ``chainrule.network`` takes.
        inputs: (N, ...) examples as the network takes them, finite.
        targets: (N,) class numbers or (N, K) numbers; without them a random upstream gradient
            of unit variance stands in for that of a loss.
        loss: name of a data loss, or a function of scores and targets that gives their mean; by
            default softmax for class numbers, mse for numbers.
        batch: examples per minibatch; gradients are averaged over minibatches.
        learning_rate: of the one step whose update ratios are told.
        update_rule: class or function that makes a ``torch.optim.Optimizer`` from parameters, as
            ``update_rule(parameters, lr=learning_rate)``; plain gradient descent by default.
        jacobians: whether to compute singular values, the costly part.
        seed: fixes the weights of networks given by text, dropout, and what else is drawn.

    Raises:
        DataError: no inputs, or inputs or targets that cannot be used.
        ShapeError: inputs do not fit the network or the targets.
        GradientError, RecipeError: an argument that cannot be used.
        NetworkError: no such network.

    Source: X. Glorot and Y. Bengio, AISTATS 2010 (activations and gradients by layer); CS231n,
    Stanford, notes on neural networks 3 (update ratios, about 1e-3; first layers).

    Examples:
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        >>> torch.nn.init.constant_(net[0].bias, -10.0).shape
        torch.Size([4])
        >>> found = flow(net, torch.rand(8, 2), torch.zeros(8, dtype=torch.long))
        >>> found["1"].dead, found.findings[0].code
        (4, 'dead-relu')
    """
    check_count("flow", "batch", batch, "64 is customary")
    check_size("learning_rate", learning_rate, "0.01 is customary", zero=True)
    inputs = _checked(inputs, targets)
    with same_random_state():
        torch.manual_seed(seed)
        given = find_network(module, input=tuple(inputs.shape[1:]))
        look = _Look(given, inputs, targets, loss, batch)
        torch.manual_seed(seed)
        watch = look.passes(jacobians)
        torch.manual_seed(seed)
        usual = reference(with_weights(given), look.inputs, batch)
    names: dict[Tensor, str] = {item: name for name, item in look.twin.named_parameters()}
    step = first_step(look.gradients, names, update_rule, learning_rate)
    answer = _answer(look, watch, step, usual)
    return replace(
        answer,
        network=describe_name(module),
        update=f"{step.rule}, learning rate {learning_rate:g}",
        notes=_notes(given, look.twin),
    )


def _answer(look: _Look, watch: Watch, step: Step, usual: Reference) -> Flow:
    signals, examples = watch.signals, len(look.inputs)
    rows = tuple(row_of(item, examples, look.gradients, step) for item in signals.values())
    modules = [(item.name, item.module) for item in signals.values() if item.module is not None]
    symmetric = symmetric_units(modules, look.gradients)
    recurrent = recurrent_matrices(signals.values())
    findings = [
        *symptoms(rows, signals, usual, symmetric, examples),
        *recurrence_findings(recurrent),
    ]
    return Flow(
        "", _mode(look.twin), examples, look.loss_name, finite(look.value), "",
        rows, recurrent, symmetric, tuple(findings),
    )  # fmt: skip


def _checked(inputs: Any, targets: Any) -> Tensor:
    if not isinstance(inputs, Tensor):
        inputs = torch.as_tensor(inputs) if hasattr(inputs, "dtype") else inputs
    if not isinstance(inputs, Tensor) or inputs.dim() == 0 or not len(inputs):
        got = tuple(inputs.shape) if isinstance(inputs, Tensor) else f"a {type(inputs).__name__}"
        raise DataError(f"inputs got {got}, wants a tensor (N, ...) of at least one example")
    if inputs.is_floating_point() and not bool(inputs.isfinite().all()):
        place = int((~inputs.isfinite()).flatten(1 if inputs.dim() > 1 else 0).nonzero()[0, 0])
        raise DataError(f"inputs are not finite (NaN or infinite) in example {place}: mend it")
    if targets is not None and not isinstance(targets, Tensor):
        raise DataError(f"targets got a {type(targets).__name__}, wants a tensor (N,) or (N, K)")
    if targets is not None and (targets.dim() == 0 or len(targets) != len(inputs)):
        raise ShapeError(
            f"targets have shape {tuple(targets.shape)}, inputs {tuple(inputs.shape)}: give one "
            "target for each example"
        )
    return inputs.detach().cpu()


class _Look:
    """One look at a network: a watched copy, and what is done with its scores."""

    def __init__(
        self, module: nn.Module, inputs: Tensor, targets: Tensor | None, loss: Any, batch: int
    ) -> None:
        if any(item.is_meta for item in module.parameters()):
            raise GradientError("the network has no values: it lies on the meta device")
        self.twin = with_weights(module)
        self.inputs = _in_precision(inputs, self.twin)
        self.targets = None if targets is None else targets.detach().cpu()
        self.loss_name, self.loss = _loss(loss, self.targets)
        self.batch = batch
        self.value = 0.0
        self.gradients: dict[Tensor, Tensor] = {}

    def passes(self, jacobians: bool) -> Watch:
        """Forward and back, minibatch by minibatch."""
        watch = Watch(self.twin, jacobians=jacobians)
        chunks = torch.split(self.inputs, self.batch)
        targets: Sequence[Tensor | None] = [None] * len(chunks)
        if self.targets is not None:
            targets = torch.split(self.targets, self.batch)
        for chunk, wanted in zip(chunks, targets, strict=True):
            watch.begin(len(chunk))
            self._pass(watch, chunk, wanted)
        return watch

    def _pass(self, watch: Watch, chunk: Tensor, targets: Tensor | None) -> None:
        share = len(chunk) / len(self.inputs)
        point = chunk.clone()
        if point.is_floating_point():
            point.requires_grad_()  # so that gradients arrive below frozen layers too
        value = self._value(self._scores(watch, point), targets)
        self.value += share * float(value.detach())
        trainable = [item for item in self.twin.parameters() if item.requires_grad]
        wanted = [*trainable, *([point] if point.requires_grad else [])]
        if not value.requires_grad or not wanted:
            raise GradientError(
                "no gradient leads from the scores to a parameter or the inputs: look for no_grad "
                "or detach in forward"
            )
        found = torch.autograd.grad(value, wanted, allow_unused=True)
        for parameter, gradient in zip(trainable, found, strict=False):
            if gradient is not None:
                before = self.gradients.get(parameter, 0.0)
                self.gradients[parameter] = before + share * gradient

    def _scores(self, watch: Watch, point: Tensor) -> Tensor:
        try:
            with watch, torch.enable_grad():
                # a copy, which may be overwritten in place
                found = first_tensor(self.twin(point.clone()))
        except ChainruleError:
            raise
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ShapeError(
                f"the network cannot read inputs of shape {tuple(point.shape)}: {reason}"
            ) from error
        if found is None or not found.is_floating_point():
            raise GradientError("the network gives no tensor of floats: nothing to look at")
        return found

    def _value(self, scores: Tensor, targets: Tensor | None) -> Tensor:
        if self.loss is None or targets is None:
            generator = torch.Generator().manual_seed(1)
            upstream = torch.randn(scores.shape, generator=generator, dtype=torch.float64)
            return (scores * upstream.to(scores.dtype)).sum() / max(len(scores), 1)
        value = self.loss(scores, targets)
        if not isinstance(value, Tensor) or value.dim():
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{type(value)}"
            raise GradientError(f"loss gives {got}, wants one number: take the mean")
        return value


def _in_precision(inputs: Tensor, twin: nn.Module) -> Tensor:
    kinds = (item.dtype for item in twin.parameters() if item.is_floating_point())
    return inputs.to(next(kinds, torch.float32)) if inputs.is_floating_point() else inputs


def _loss(loss: Any, targets: Tensor | None) -> tuple[str, Loss | None]:
    if targets is None:
        if loss is not None:
            raise GradientError("targets are missing: the loss compares scores with them")
        return _RANDOM, None
    if loss is None:
        loss = "mse" if targets.is_floating_point() else "softmax"
    if not isinstance(loss, str):
        return _name_of(loss), loss
    if loss not in LOSSES:
        raise GradientError(
            f"loss got '{loss}'{suggestion(loss, LOSSES)}; wants one of {', '.join(LOSSES)} or a "
            "function of scores and targets"
        )
    return loss, LOSSES[loss]


def _name_of(loss: Any) -> str:
    inner = getattr(loss, "func", loss)  # a partial
    known = next((name for name, item in LOSSES.items() if item is inner), None)
    return known or str(getattr(inner, "__name__", type(inner).__name__))


def _mode(module: nn.Module) -> str:
    modes = {layer.training for layer in module.modules()}
    if len(modes) > 1:
        return "mixed"
    return "training" if modes == {True} else "evaluation"


def _notes(module: nn.Module, twin: nn.Module) -> tuple[str, ...]:
    notes = []
    hooks = left_out_hooks(unwrapped(module))
    if hooks:
        notes.append(f"{hooks} forward hooks of yours were left out of the copy")
    frozen = sum(not item.requires_grad for item in twin.parameters())
    if frozen:
        notes.append(f"{frozen} frozen parameters get no gradient and no update")
    return tuple(notes)
