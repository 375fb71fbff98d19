"""Penalized: the regularization loss, checked apart from the data loss.

Together a strong penalty hides a wrong data gradient: the sum passes because one term is nearly
all of it (CS231n, notes on gradient checks).
"""

from __future__ import annotations

from torch import Tensor

from chainrule.errors import GradientError
from chainrule.finding import Finding
from chainrule.gradients.compare import Plan, compare_tensor
from chainrule.gradients.numerical import Differences, largest_effect
from chainrule.gradients.problem import Problem, Values
from chainrule.gradients.result import GradientCheck, gravest
from chainrule.gradients.target import Target
from chainrule.nn.penalties import penalty as penalty_of
from chainrule.nn.penalties import regularized_parameters

_MOST = 20_000  # elements of a tensor compared one by one


def _problem(target: Target, strength: float, kind: str) -> Problem:
    if target.module is None:
        raise GradientError("weight decay needs a network whose parameters it touches")
    names = [name for name, _ in regularized_parameters(target.module)]
    leaves = {name: target.problem.leaves[name] for name in names if name in target.problem.leaves}
    if not leaves:
        raise GradientError("weight decay touches no parameter of this network: leave it out")

    def function(values: Values) -> Tensor:
        return strength * penalty_of([values[name] for name in leaves], kind)

    return Problem(f"{kind} penalty", leaves, function)


def penalty_check(target: Target, strength: float, kind: str, method: str) -> GradientCheck:
    """The gradient of ``lambda R(W)`` alone.

    Args:
        target: the network.
        strength: lambda.
        kind: "l2", "l1" or "elastic".
        method: of the differences.
    """
    problem = _problem(target, strength, kind)
    problem.start()
    small = all(leaf.numel() <= _MOST for leaf in problem.leaves.values())
    plan = Plan(exhaustive=small, method=method)
    gradient = problem.gradient()
    base = problem.evaluate(problem.leaves)
    effect = largest_effect(problem, gradient, base)
    differences = Differences(problem, base=base, effect=effect)
    rows = tuple(compare_tensor(differences, gradient, name, plan) for name in problem.leaves)
    dtype = str(next(iter(problem.leaves.values())).dtype).removeprefix("torch.")
    return GradientCheck(
        problem.name,
        gravest([row.verdict for row in rows]),
        rows,
        None,
        "exhaustive" if small else "sampled",
        method,
        dtype,
        problem.evaluations,
        0.0,
    )


def penalty_findings(target: Target, strength: float, kind: str) -> tuple[Finding, ...]:
    """A warning where the penalty's gradient is larger than the data's."""
    problem = _problem(target, strength, kind)
    problem.start()
    ours, data = problem.gradient(), target.problem.gradient()
    drowned: dict[str, float] = {}
    for name, mine in ours.items():
        theirs = data.get(name)
        if mine is not None and float(mine.norm()) > 0:
            size = 0.0 if theirs is None else float(theirs.norm())
            share = float(mine.norm()) / (float(mine.norm()) + size)
            if share > 0.5:
                drowned[name] = share
    if not drowned:
        return ()
    name, share = max(drowned.items(), key=lambda item: item[1])
    return (
        Finding(
            "penalty-drowns-data",
            name,
            {"share": share, "tensors": float(len(drowned))},
            f"the {kind} penalty of strength {strength:g} makes {share:.0%} of the gradient of "
            f"{name}{f' and most of {len(drowned) - 1} more' if len(drowned) > 1 else ''}: a wrong "
            "data gradient would hide behind it",
            "check the data loss alone, as was done here, and lower the strength",
        ),
    )
