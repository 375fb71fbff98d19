"""Network target: a network in any form, as a problem. A copy of it is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.analysis.graph import Graph
from chainrule.analysis.inputs import Example, Inputs, read_inputs, single_shape
from chainrule.analysis.traced import Subject, subject_of, traced
from chainrule.analysis.twin import left_out_hooks, unwrapped, with_weights
from chainrule.errors import ChainruleError, GradientError
from chainrule.gradients.measure import measure_of
from chainrule.gradients.problem import Problem, Values
from chainrule.gradients.samples import sample
from chainrule.gradients.swapped import Swapped
from chainrule.gradients.target import Target


def network_target(
    anything: Any, given: Any, loss: Any, targets: Tensor | None, dtype: torch.dtype, batch: int
) -> Target:
    subject = subject_of(anything, single_shape(given))
    module = subject.with_values()
    if any(item.is_meta for item in module.parameters()):
        raise GradientError(f"{subject.name} has no values (it lies on the meta device)")
    inputs = read_inputs(given, subject.module, batch)
    twin = _converted(with_weights(module), dtype)
    target = Target(Problem(subject.name, {}, lambda values: None), module=twin)
    hooks = left_out_hooks(unwrapped(module))
    if hooks:
        target.notes.append(f"{hooks} forward hooks of yours were left out of the copy")
    given_inputs = inputs
    inputs, dtype = _fitting(
        twin, inputs, dtype, target, lambda: traced(subject, given_inputs).inputs
    )
    positional, named = _drawn(inputs, dtype)
    frozen = sum(not item.requires_grad for item in twin.parameters())
    target.problem = _module_problem(target, subject.name, twin, positional, named, loss, targets)
    target.graph = lambda: _graph(subject, inputs, twin.training)
    if frozen:
        target.notes.append(f"{frozen} frozen parameters are not checked")
    return target


def _graph(subject: Subject, inputs: Inputs, training: bool) -> Graph | None:
    try:
        found = traced(subject, inputs)
    except ChainruleError:
        return None
    return found.training if training else found.evaluation


def _converted(twin: nn.Module, dtype: torch.dtype) -> nn.Module:
    wide = torch.complex128 if dtype == torch.float64 else torch.complex64

    def change(tensor: Tensor) -> Tensor:
        if tensor.is_complex():
            return tensor.to(wide)
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    if isinstance(twin, torch.jit.ScriptModule):
        return twin.to(dtype)
    made: nn.Module = twin._apply(change)  # type: ignore[no-untyped-call]
    return made


def _fitting(
    twin: nn.Module,
    inputs: Inputs,
    dtype: torch.dtype,
    target: Target,
    explained: Callable[[], Inputs],
) -> tuple[Inputs, torch.dtype]:
    """Inputs and precision with which the copy runs; in single precision where it must."""
    error = _failure(twin, inputs, dtype)
    if error is None:
        return inputs, dtype
    single = torch.float32
    if dtype == torch.float64 and _failure(_converted(twin, single), inputs, single) is None:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        target.notes.append(
            f"runs in single precision only ({reason[:90]}): errors below about 1e-3 cannot be seen"
        )
        return inputs, single
    _converted(twin, dtype)
    found = explained()  # says what is wrong, or reads tokens where numbers failed
    again = _failure(twin, found, dtype)
    if again is not None:
        reason = (str(again).splitlines() or [""])[0]
        raise GradientError(
            f"the network cannot be run to be checked: {type(again).__name__}: {reason}"
        ) from again
    return found, dtype


def _failure(twin: nn.Module, inputs: Inputs, dtype: torch.dtype) -> Exception | None:
    positional, named = _drawn(inputs, dtype)
    buffers = {name: item.clone() for name, item in twin.named_buffers()}
    try:
        with torch.no_grad():
            _runner(twin)(buffers, *positional, **named)
    except ChainruleError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is explained further on
        return error
    return None


def _runner(twin: nn.Module) -> Callable[..., Any]:
    """Runs the copy with other tensors: ``run(state, *positional, **named)``."""
    if not isinstance(twin, torch.jit.ScriptModule):
        return Swapped(twin)

    def run(state: Values, *positional: Any, **named: Any) -> Any:
        own = {**dict(twin.named_parameters()), **dict(twin.named_buffers())}
        for name, item in state.items():  # scripted code reads its own tensors only
            own[name].detach_().copy_(item)  # with its history, so that gradients arrive
        return twin(*positional, **named)

    return run


def _drawn(inputs: Inputs, dtype: torch.dtype) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs as tensors; those given as shapes are drawn from the standard normal."""
    generator = torch.Generator().manual_seed(0)

    def made(value: Any) -> Any:
        if isinstance(value, Example):
            return sample((inputs.batch, *value.shape), value.dtype or dtype, generator)
        if isinstance(value, Tensor):
            kept = value.detach().to("cpu", copy=True)
            return kept.to(dtype) if kept.is_floating_point() else kept
        if isinstance(value, tuple | list):
            return type(value)(made(item) for item in value)
        return (
            {key: made(item) for key, item in value.items()} if isinstance(value, dict) else value
        )

    return tuple(made(item) for item in inputs.positional), made(inputs.named)


def _module_problem(
    target: Target,
    name: str,
    twin: nn.Module,
    positional: tuple[Any, ...],
    named: dict[str, Any],
    loss: Any,
    targets: Tensor | None,
) -> Problem:
    leaves, fixed = _values(twin, trainable=True), _values(twin, trainable=False)
    buffers = {key: item.detach() for key, item in twin.named_buffers()}
    names = _input_names(positional, named)
    leaves |= {key: item for key, (_, item) in names.items()}
    if not leaves:
        raise GradientError(
            f"{name} has no parameter that requires a gradient and no input of floats: nothing to "
            "check; unfreeze a parameter (requires_grad_()) or give inputs of floats"
        )
    run = _runner(twin)
    measure = measure_of(target, loss, targets, lambda: _outputs(run, buffers, positional, named))

    def function(values: Values) -> Any:
        state = {key: item for key, item in values.items() if key not in names} | fixed
        args, kwargs = _with(positional, named, names, values)
        return measure(run(state, *args, **kwargs))

    return Problem(name, leaves, function, buffers=buffers, inputs=frozenset(names), module=twin)


def _values(twin: nn.Module, trainable: bool) -> Values:
    """Parameters by name; apart from the module where it is scripted and gets overwritten."""
    apart = isinstance(twin, torch.jit.ScriptModule)
    return {
        name: item.detach().clone() if apart else item.detach()
        for name, item in twin.named_parameters()
        if item.requires_grad == trainable
    }


def _outputs(run: Callable[..., Any], buffers: Values, positional: Any, named: Any) -> Any:
    with torch.no_grad():
        copies = {key: item.clone() for key, item in buffers.items()}
        return run(copies, *positional, **named)


def _input_names(
    positional: tuple[Any, ...], named: dict[str, Any]
) -> dict[str, tuple[Any, Tensor]]:
    """Float inputs by a name for the report, with where they stand."""
    found: list[tuple[Any, Tensor]] = [
        (place, item)
        for place, item in (*enumerate(positional), *named.items())
        if isinstance(item, Tensor) and (item.is_floating_point() or item.is_complex())
    ]
    if len(found) == 1 and isinstance(found[0][0], int):
        return {"input": found[0]}
    return {
        f"input {place + 1}" if isinstance(place, int) else f"input {place}": (place, item)
        for place, item in found
    }


def _with(
    positional: tuple[Any, ...],
    named: dict[str, Any],
    names: Mapping[str, tuple[Any, Tensor]],
    values: Values,
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments with float inputs from ``values``; copies, which may be changed in place."""
    args, kwargs = list(positional), dict(named)
    for key, (place, _) in names.items():
        if isinstance(place, int):
            args[place] = values[key].clone()
        else:
            kwargs[place] = values[key].clone()
    return args, kwargs
