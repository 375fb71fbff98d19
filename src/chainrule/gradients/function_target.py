"""Function target: a function of tensors, as a problem."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from chainrule.errors import ChainruleError, GradientError
from chainrule.gradients.measure import measure_of
from chainrule.gradients.problem import Function, Problem, Values
from chainrule.gradients.samples import function_inputs
from chainrule.gradients.target import Target


def function_target(
    function: Callable[..., Any],
    name: str,
    given: Any,
    loss: Any,
    targets: Tensor | None,
    dtype: torch.dtype,
) -> Target:
    if given is None:
        raise GradientError(
            f"inputs of {name} are missing: give tensors or shapes, one for each argument, such as "
            "--input 4,3 --input 3,5"
        )
    named = dict(given) if isinstance(given, Mapping) else {}
    tensors = function_inputs(tuple(named.values()) if named else given, dtype)
    keys = list(named) or _argument_names(function, len(tensors))
    values = dict(zip(keys, tensors, strict=True))
    leaves = {key: item.detach() for key, item in values.items() if _float(item)}
    if not leaves:
        raise GradientError(
            f"inputs of {name} are all whole numbers ({_dtypes(tensors)}): a gradient is taken "
            "with respect to floats; give at least one input of floats"
        )
    target = Target(Problem(name, leaves, lambda values: None))

    def call(given: Values) -> Any:
        full = {key: given[key].clone() if key in given else item for key, item in values.items()}
        return function(**full) if named else function(*full.values())

    _run_once(target, call, leaves, values, dtype, name)
    measure = measure_of(target, loss, targets, lambda: call(target.problem.leaves))
    problem = Problem(
        name,
        target.problem.leaves,
        lambda given: measure(call(given)),
        inputs=frozenset(leaves),
    )
    target.problem = problem
    return target


def _run_once(
    target: Target,
    call: Function,
    leaves: Values,
    values: dict[str, Any],
    dtype: torch.dtype,
    name: str,
) -> None:
    """See that the function takes its inputs; in single precision where it takes no doubles."""
    try:
        call(leaves)
    except ChainruleError:
        raise
    except Exception as error:  # noqa: BLE001 - explained below
        single = {
            key: item.to(torch.float32) for key, item in leaves.items() if not item.is_complex()
        }
        reason = (str(error).splitlines() or [""])[0]
        try:
            if dtype != torch.float64 or len(single) != len(leaves):
                raise error
            call(single)
        except Exception:  # noqa: BLE001
            raise GradientError(
                f"{name} fails on its inputs: {type(error).__name__}: {reason}"
            ) from error
        target.notes.append(
            f"runs in single precision only ({reason[:90]}): errors below about 1e-3 cannot be seen"
        )
        leaves = single
        values.update(single)
    target.problem.leaves = leaves


def _float(item: Any) -> bool:
    return isinstance(item, Tensor) and (item.is_floating_point() or item.is_complex())


def _dtypes(tensors: Sequence[Any]) -> str:
    return ", ".join(
        str(item.dtype).removeprefix("torch.") if isinstance(item, Tensor) else type(item).__name__
        for item in tensors
    )


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    try:
        names = [
            item.name
            for item in inspect.signature(function).parameters.values()
            if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        names = []
    if len(names) >= count:
        return names[:count]
    return ["input"] if count == 1 else [f"input {place + 1}" for place in range(count)]
