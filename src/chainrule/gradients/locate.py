"""Locate: which operation's vector-Jacobian product is wrong.

Each operation is checked alone, with the values it really had. An operation that lets no
gradient through (``detach``, ``item``, ``no_grad``) may be meant; it is blamed only when letting it
through makes the whole right.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chainrule.errors import ChainruleError
from chainrule.gradients.calls import Recorded, recorded, watched_calls
from chainrule.gradients.compare import Plan, compare_tensor, random_line
from chainrule.gradients.examine import examine
from chainrule.gradients.numerical import Differences, largest_effect, scales, step_factor
from chainrule.gradients.problem import Problem, Values, as_real, floats_of
from chainrule.gradients.resemblance import resemblance
from chainrule.gradients.result import Culprit, TensorCheck

_SMALL = 400  # elements of an argument that are compared one by one
_NUMBERS = ("item", "__float__", "numpy", "tolist")
_CUTS = ("detach", "detach_", "data", *_NUMBERS)


def locate(differences: Differences, wrong: list[str]) -> Culprit | None:
    """The first operation that is wrong alone, None when each is right.

    Args:
        differences: of the problem, at a point where it is wrong.
        wrong: the tensors whose gradient is wrong.
    """
    problem = differences.problem
    if problem.blame is not None:
        return _blamed(problem.blame, differences, wrong[0])
    cuts = []
    for call in _recorded(problem):
        found = _checked_alone(call)
        if found is None:
            continue
        if not found.cut:
            return _culprit(call, found)
        cuts.append((call, found))
    for chosen in [*([item] for item in cuts), cuts]:
        if chosen and _mended(differences, wrong, [call for call, _ in chosen]):
            return _culprit(*chosen[0])
    for call, found in cuts:
        if call.name in _NUMBERS and _matters(problem, call):
            return _culprit(call, found)
    return None


def _recorded(problem: Problem) -> list[Recorded]:
    """The calls of one forward pass, with what its Functions did in the backward pass."""
    live, run = problem.prepared(problem.leaves)
    outputs: list[Any] = []
    calls = recorded(lambda: outputs.append(run()), problem.module)
    with contextlib.suppress(ChainruleError):
        problem.pulled(live, outputs[0])
    return calls


@dataclass(frozen=True)
class _Alone:
    """One call that is wrong by itself.

    Attributes:
        differences: of the call.
        gradient: what it gave.
        row: the worst argument.
        cut: whether it lets no gradient through at all.
    """

    differences: Differences
    gradient: dict[str, Tensor | None]
    row: TensorCheck
    cut: bool


def _checked_alone(call: Recorded) -> _Alone | None:
    problem = _problem(call)
    if problem is None:
        return None
    before = torch.get_rng_state()
    try:
        torch.set_rng_state(call.state)
        problem.start()
        gradient = _real_gradient(call, problem) or problem.gradient_after_another()
        base = problem.evaluate(problem.leaves)
        effect = largest_effect(problem, gradient, base)
        differences = Differences(problem, base=base, effect=effect)
        rows = [
            compare_tensor(differences, gradient, name, _plan(problem.leaves[name]))
            for name in gradient
        ]
    except (ChainruleError, RuntimeError, TypeError, ValueError, IndexError):
        return None  # it cannot be called alone
    finally:
        torch.set_rng_state(before)
    bad = [row for row in rows if row.verdict == "wrong"]
    if not bad:
        return None
    cut = call.owner is None and all(item is None for item in gradient.values())
    return _Alone(differences, gradient, bad[0], cut)


def _real_gradient(call: Recorded, problem: Problem) -> dict[str, Tensor | None]:
    """What a Function's backward really gave; the problem gets the upstream that it really got.

    Empty where it did not run. State that it keeps, and tensors that were written to after it had
    saved them, show here and not when it is called alone.
    """
    if len(call.passed) != 1:
        return {}
    got, given = call.passed[0]
    upstream = [
        item for item in got if item is None or item.is_floating_point() or item.is_complex()
    ]
    tensors = [
        name
        for item, name in zip(call.args, _argument_names(call), strict=False)
        if isinstance(item, Tensor)
    ]
    if len(given) != len(tensors) or len(upstream) <= max(problem.chosen):
        return {}
    problem.upstream = [
        torch.zeros_like(v) if upstream[place] is None else upstream[place]  # type: ignore[misc]
        for place, v in zip(problem.chosen, problem.upstream, strict=True)
    ]
    return {
        name: item
        for name, item, needed in zip(tensors, given, call.needs, strict=True)
        if name in problem.leaves and needed
    }


def _plan(leaf: Tensor) -> Plan:
    return Plan(exhaustive=as_real(leaf).numel() <= _SMALL, samples=32, directions=3)


def _problem(call: Recorded) -> Problem | None:
    """One call as a problem of its own: its float arguments are the leaves."""
    leaves: Values = {}
    names = _argument_names(call)

    def gather(item: Any, name: str) -> Any:
        if isinstance(item, Tensor) and (item.is_floating_point() or item.is_complex()):
            leaves[name] = item
            return _Leaf(name)
        if isinstance(item, tuple | list):
            parts = [gather(part, f"{name}[{place}]") for place, part in enumerate(item)]
            return tuple(parts) if isinstance(item, tuple) else parts
        return item

    args = [gather(item, name) for item, name in zip(call.args, names, strict=False)]
    kwargs = {name: gather(item, name) for name, item in call.kwargs.items()}
    if not leaves or not all(leaf.numel() for leaf in leaves.values()):
        return None

    def function(values: Values) -> Any:
        def put(item: Any) -> Any:
            if isinstance(item, _Leaf):
                return values[item.name].clone()
            if isinstance(item, tuple | list):
                return type(item)(put(part) for part in item)
            return item

        with torch.set_grad_enabled(call.grad and torch.is_grad_enabled()):
            output = call.function(*map(put, args), **{k: put(v) for k, v in kwargs.items()})
        return torch.tensor(output, dtype=torch.float64) if isinstance(output, float) else output

    return Problem(call.name, leaves, function)


class _Leaf:
    """Where a leaf stands among the arguments."""

    def __init__(self, name: str) -> None:
        self.name = name


def _argument_names(call: Recorded) -> list[str]:
    count = len(call.args)
    try:
        source = call.owner.forward if call.owner is not None else call.function  # type: ignore[attr-defined]
        names = list(inspect.signature(source).parameters)
        if call.owner is not None and len(names) > count:
            names = names[1:]  # ctx
    except (TypeError, ValueError):
        names = []
    return names[:count] if len(names) >= count else [f"argument {n + 1}" for n in range(count)]


def _culprit(call: Recorded, found: _Alone) -> Culprit:
    defined = _definition(call.owner)
    file, line = call.file, call.line
    if file is None and defined:
        path, _, number = defined.rpartition(":")
        file, line = path, int(number)
    name = call.name if call.grad or call.owner is not None else f"{call.name} under no_grad"
    row = found.row
    likeness = _likeness(found.differences, found.gradient[row.name], row.name)
    return Culprit(
        name, file, line, row.name, row.analytic, row.numeric, likeness, defined, call.layer
    )


def _definition(owner: type | None) -> str:
    """Where the backward of a ``torch.autograd.Function`` is written."""
    backward = getattr(owner, "backward", None) if owner is not None else None
    code = getattr(inspect.unwrap(backward), "__code__", None) if backward else None
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def _likeness(differences: Differences, found: Tensor | None, name: str) -> str:
    """What the wrong gradient and the right one have in common."""
    leaf = as_real(differences.problem.leaves[name])
    if leaf.numel() > _SMALL:
        return ""
    steps = step_factor(leaf.dtype) * scales(differences.problem.leaves[name]).flatten()
    numeric, _ = differences.along(name, steps, torch.arange(leaf.numel()))
    analytic = torch.zeros_like(leaf) if found is None else as_real(found)
    return resemblance(analytic.double(), numeric.double().view(leaf.shape))


def _blamed(blame: Callable[..., Any], differences: Differences, name: str) -> Culprit:
    """A hand-written backward is the only operation there is."""
    code = getattr(inspect.unwrap(blame), "__code__", None)
    problem = differences.problem
    gradient = problem.gradient()
    row = compare_tensor(differences, gradient, name, _plan(problem.leaves[name]))
    return Culprit(
        getattr(blame, "__name__", "backward"),
        code.co_filename if code is not None else None,
        code.co_firstlineno if code is not None else None,
        name,
        row.analytic,
        row.numeric,
        _likeness(differences, gradient[name], name),
    )


def _mended(differences: Differences, wrong: list[str], calls: list[Recorded]) -> bool:
    """Whether the gradients become right when these calls let the gradient through."""
    problem = differences.problem
    numbers = {call.index for call in calls}
    off = not all(call.grad for call in calls)

    def handle(
        index: int, func: Any, name: str, args: Any, kwargs: dict[str, Any], _owner: Any
    ) -> Any:
        if index in numbers and name in _CUTS and name not in _NUMBERS:
            return args[0]
        with torch.set_grad_enabled(torch.is_grad_enabled() or off):
            return func(*args, **kwargs)

    live, run = problem.prepared(problem.leaves)
    try:
        with watched_calls(handle):
            outputs = run()
        gradient = problem.pulled(live, outputs)
    except Exception:  # noqa: BLE001 - what came after wanted a number, not a tensor
        return False
    for name in wrong:
        line = random_line(problem, name, seed=30)
        if examine(differences, gradient, line).verdict not in ("agrees", "kink"):
            return False
    return True


def _matters(problem: Problem, call: Recorded) -> bool:
    """Whether the outputs change with the number that a call gave."""

    def handle(
        index: int, func: Any, name: str, args: Any, kwargs: dict[str, Any], _owner: Any
    ) -> Any:
        output = func(*args, **kwargs)
        changed = index == call.index and isinstance(output, float)
        return output * 1.001 + 1e-3 if changed else output

    before = floats_of(problem.prepared(problem.leaves)[1]())
    _, run = problem.prepared(problem.leaves)
    with watched_calls(handle):
        after = floats_of(run())
    return not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
