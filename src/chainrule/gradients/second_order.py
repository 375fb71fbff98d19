"""Second order: the gradient as a function of its own, to be checked like any other."""

from __future__ import annotations

from typing import Any

import torch

from chainrule.errors import GradientError
from chainrule.gradients.problem import Problem, Values, floats_of


def second_order_problem(problem: Problem) -> Problem:
    """The problem whose value is the gradient of ``problem`` with its fixed upstream gradient.

    Raises:
        GradientError: its backward cannot be differentiated.
    """
    if problem.backward is not None:
        raise GradientError(
            "second order needs a backward that autograd can differentiate; a hand-written one of "
            "NumPy functions cannot be: leave second order out"
        )

    def function(values: Values) -> Any:
        live = {
            name: item if (item := values[name]).requires_grad else item.detach().requires_grad_()
            for name in problem.leaves
        }
        others = {name: item for name, item in values.items() if name not in live}
        with torch.enable_grad():
            outputs = floats_of(problem.function({**live, **others}))
            pairs = [
                (outputs[place], v)
                for place, v in zip(problem.chosen, problem.upstream, strict=True)
                if outputs[place].requires_grad
            ]
            found = torch.autograd.grad(
                [item for item, _ in pairs],
                list(live.values()),
                [v for _, v in pairs],
                create_graph=True,
                allow_unused=True,
            )
        return tuple(item for item in found if item is not None)

    made = Problem(
        f"the gradient of {problem.name}",
        problem.leaves,
        function,
        buffers=problem.buffers,
        inputs=problem.inputs,
        needs_grad=True,
    )
    try:
        gradients = function({name: leaf.clone() for name, leaf in problem.leaves.items()}
                             | problem.fresh_buffers())  # fmt: skip
    except RuntimeError as error:
        raise GradientError(
            f"second order: the gradient of {problem.name} cannot be taken again: "
            f"{str(error).splitlines()[0]}"
        ) from error
    if not any(item.requires_grad for item in gradients):
        raise GradientError(
            f"second order: the gradient of {problem.name} does not depend on anything that "
            "autograd follows; a backward marked once_differentiable or one that is "
            "constant has no second derivative"
        )
    return made
