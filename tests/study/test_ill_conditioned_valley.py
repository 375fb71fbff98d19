"""Ill-conditioned valley: every rule against torch.optim, SGD against its closed form."""

from __future__ import annotations

import math

import pytest
import torch

from chainrule.study.experiments import ill_conditioned_valley as lesson
from chainrule.study.experiments.quadratic_valley import RULES, descend, valley

_OPTIM = {
    "SGD": lambda w: torch.optim.SGD([w], lr=0.1),
    "momentum": lambda w: torch.optim.SGD([w], lr=0.1, momentum=0.8),
    "Nesterov": lambda w: torch.optim.SGD([w], lr=0.1, momentum=0.8, nesterov=True),
    "AdaGrad": lambda w: torch.optim.Adagrad([w], lr=0.1),
    "RMSProp": lambda w: torch.optim.RMSprop([w], lr=0.1),
    "Adam": lambda w: torch.optim.Adam([w], lr=0.1),
}


@pytest.mark.parametrize("rule", RULES)
def test_path_is_that_of_torch_optim(rule: str) -> None:
    hessian = valley(20.0, 30.0)
    start = torch.tensor([1.0, -0.5], dtype=torch.float64)
    place = torch.nn.Parameter(start.clone())
    optimizer = _OPTIM[rule](place)
    rate, mu = torch.tensor(0.1, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)
    for own in descend(rule, hessian, start, rate, mu, 30):
        optimizer.zero_grad()
        (place @ hessian @ place / 2).backward()
        optimizer.step()
        torch.testing.assert_close(own, place.detach())


def test_valley_has_its_condition_number() -> None:
    values = torch.linalg.eigvalsh(valley(50.0, 45.0))
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


def _at_an_edge(setup: lesson.Setup, rule: str, found: lesson._Steps) -> list[str]:
    """Best rates and momenta with nothing to choose from beyond them."""
    rates, momenta = setup.rates(), torch.tensor(setup.momenta)
    edges = [f"rate {rate:g}" for rate in rates[[0, -1]].tolist() if (found.rates == rate).any()]
    if rule in lesson._WITH_MU:
        ends = momenta[[0, -1]].tolist()
        edges += [f"mu {mu:g}" for mu in ends if (found.momenta == mu).any()]
    return edges


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_best_rate_or_momentum_sits_at_an_edge(seed: int) -> None:
    """Or a rule might do better than the grid lets it, and the verdict be that of the grid."""
    setup = lesson.Setup()
    starts = lesson._starts(setup, seed)
    for rule in RULES:
        assert not _at_an_edge(setup, rule, lesson._best(setup, rule, starts)), rule


def test_an_edge_is_seen() -> None:
    setup = lesson.Setup(kappas=(300.0,), lowest=0.01, decades=2.0, steps=1000, runs=2)
    found = lesson._best(setup, "momentum", lesson._starts(setup, 0))
    assert _at_an_edge(setup, "momentum", found) == ["rate 1"]
