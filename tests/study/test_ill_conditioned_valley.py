"""Ill-conditioned valley: every rule against torch.optim, SGD against its closed form."""

from __future__ import annotations

import math

import pytest
import torch

from chainrule.study.experiments import ill_conditioned_valley as lesson

_OPTIM = {
    "SGD": lambda w: torch.optim.SGD([w], lr=0.1),
    "momentum": lambda w: torch.optim.SGD([w], lr=0.1, momentum=0.8),
    "Nesterov": lambda w: torch.optim.SGD([w], lr=0.1, momentum=0.8, nesterov=True),
    "AdaGrad": lambda w: torch.optim.Adagrad([w], lr=0.1),
    "RMSProp": lambda w: torch.optim.RMSprop([w], lr=0.1),
    "Adam": lambda w: torch.optim.Adam([w], lr=0.1),
}


@pytest.mark.parametrize("rule", lesson.RULES)
def test_path_is_that_of_torch_optim(rule: str) -> None:
    hessian = lesson.valley(20.0, 30.0)
    start = torch.tensor([1.0, -0.5], dtype=torch.float64)
    place = torch.nn.Parameter(start.clone())
    optimizer = _OPTIM[rule](place)
    rate, mu = torch.tensor(0.1, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)
    for own in lesson.descend(rule, hessian, start, rate, mu, 30):
        optimizer.zero_grad()
        (place @ hessian @ place / 2).backward()
        optimizer.step()
        torch.testing.assert_close(own, place.detach())


def test_valley_has_its_condition_number() -> None:
    values = torch.linalg.eigvalsh(lesson.valley(50.0, 45.0))
    assert values.tolist() == pytest.approx([1 / 50, 1.0])


def test_steps_of_sgd_are_those_of_its_closed_form() -> None:
    """Each distance shrinks by |1 - rate curvature|: the first step from which all stay inside."""
    setup = lesson.Setup(kappas=(10.0, 40.0), steps=400, runs=2)
    starts = lesson._starts(setup, 0)
    found = lesson._best(setup, "SGD", starts)
    for row, kappa in enumerate(setup.kappas):
        for run in range(setup.runs):
            rate, (flat, steep) = float(found.rates[row, 0]), starts[:, 0, run].tolist()
            limit = setup.within * math.hypot(flat, steep)
            distances = [
                math.hypot(flat * (1 - rate / kappa) ** step, steep * (1 - rate) ** step)
                for step in range(1, setup.steps + 1)
            ]
            wanted = max(step for step, far in enumerate(distances, 1) if far > limit) + 1
            assert float(found.steps[row, 0, run]) == wanted


def test_turning_changes_nothing_for_sgd() -> None:
    setup = lesson.Setup(kappas=(10.0,), steps=300, runs=2)
    steps = lesson._best(setup, "SGD", lesson._starts(setup, 3)).steps
    torch.testing.assert_close(steps[:, 0], steps[:, 1])
