"""Forward mode: the directional derivative a third way, by PyTorch's forward formulas.

They are written separately from the backward ones, need no step, and so agree to rounding where
both are right.
"""

from __future__ import annotations

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from chainrule.gradients.compare import random_line
from chainrule.gradients.examine import slope_along
from chainrule.gradients.problem import Problem, floats_of, like, project


def forward_mode_difference(problem: Problem, gradient: dict[str, Tensor | None]) -> float | None:
    """Relative difference between ``v^T (J d)`` by forward and ``(v^T J) d`` by backward mode.

    Args:
        problem: a started problem.
        gradient: ``v^T J`` by name.

    Returns:
        None where an operation has no forward formula.
    """
    if problem.backward is not None or problem.needs_grad:
        return None
    kicks = {name: random_line(problem, name, seed=20).kicks[name] for name in problem.leaves}
    try:
        problem.rewind()
        with torch.no_grad(), forward_ad.dual_level():
            dual = {
                name: forward_ad.make_dual(  # type: ignore[no-untyped-call]
                    leaf, like(kicks[name], leaf).to(leaf)
                )
                for name, leaf in problem.leaves.items()
            }
            outputs = floats_of(problem.function({**dual, **problem.fresh_buffers()}))
            tangents = [
                forward_ad.unpack_dual(outputs[place]).tangent  # type: ignore[no-untyped-call]
                for place in problem.chosen
            ]
    except Exception:  # noqa: BLE001 - no forward formula, in whatever words
        return None
    change = [
        torch.zeros_like(v) if item is None else item
        for v, item in zip(problem.upstream, tangents, strict=True)
    ]
    forward = float(project(problem.upstream, change))
    parts = [slope_along(gradient, {name: kick}) for name, kick in kicks.items()]
    size = max(abs(forward), sum(abs(part) for part in parts), 1e-300)
    return abs(forward - sum(parts)) / size
