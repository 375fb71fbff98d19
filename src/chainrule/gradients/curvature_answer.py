"""Curvature answer: what was found of the loss around the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.answer import Answer
from chainrule.finding import Finding
from chainrule.gradients.noise_scale import NoiseScale

SIGNS = ("positive definite", "singular", "indefinite", "negative", "flat", "cannot-tell")


@dataclass(frozen=True)
class Eigenvalue(Answer):
    """An eigenvalue of the Hessian.

    Attributes:
        value: its estimate, loss per squared unit of the weights.
        bound: an eigenvalue lies no further than this from it, rounding included.
    """

    value: float
    bound: float


@dataclass(frozen=True)
class LossPlane(Answer):
    """The loss over the plane through the weights that two eigenvectors span.

    Attributes:
        axes: the eigenvalues of the two directions.
        steps: for each direction where the loss was computed, in units of the weights.
        losses: a row for each step along the first, a column for each along the second; nan or
            infinite where the loss is.
        minimum: where the quadratic through the weights has its minimum along each direction,
            ``-g.v / eigenvalue``; None along one that does not curve up.
    """

    axes: tuple[Eigenvalue, Eigenvalue]
    steps: tuple[tuple[float, ...], tuple[float, ...]]
    losses: tuple[tuple[float, ...], ...]
    minimum: tuple[float | None, float | None]

    def to_dict(self) -> dict[str, Any]:
        """As any answer; losses that are not finite are None, as JSON has no word for them."""
        rows = [[item if isfinite(item) else None for item in row] for row in self.losses]
        return super().to_dict() | {"losses": rows}


@dataclass(frozen=True, eq=False)
class Curvature(Answer):
    """The Hessian of a loss at the weights of a network, and what follows for learning rates.

    Attributes:
        target: the network.
        parameters: trainable weights n, those that are tied counted once.
        examples: how many the loss is the mean of.
        loss: the data loss at the weights.
        gradient_norm: its gradient's norm.
        largest: the largest eigenvalue.
        smallest: the smallest eigenvalue.
        sign: "positive definite", "singular" (some are 0, none below), "indefinite", "negative"
            (none above 0), "flat" (all are 0) or "cannot-tell" (the bound reaches to 0).
        condition_number: None where it is not known.
        condition: which ratio that is, or why there is none.
        largest_stable_rate: ``2 / largest``: plain gradient descent on these examples diverges
            along that eigenvector above it; None where nothing curves up.
        best_rate: ``2 / (largest + smallest)``, of a quadratic; None unless positive definite.
        best_rate_words: what it is, or why there is none.
        values: Ritz values in ascending order, all eigenvalues where n of them.
        weights: share of the n eigenvalues that each stands for, by one random vector.
        bounds: residual bound of each.
        products: Hessian-vector products that were taken.
        converged: whether both ends met the tolerance.
        proof: relative difference of Hessian-vector products from differences of gradients;
            None where the network does not run in double precision.
        noise: the gradient noise scale; None where it was not asked for or cannot be had.
        plane: the loss around the weights; None where it was not asked for.
        directions: (2, n) unit eigenvectors of the plane, weights in the order of
            ``module.parameters()``; (0, n) without a plane. Not part of ``to_dict``.
        kinks: operations with kinks; they carry no curvature.
        dtype: precision.
        seconds: how long it took.
        findings: what is worth knowing, such as negative curvature.
        notes: what was done, and what the numbers do not say.

    Examples:
        >>> import torch, chainrule
        >>> net = torch.nn.Linear(2, 1, bias=False)
        >>> found = chainrule.curvature(net, torch.eye(2), torch.zeros(2, 1), loss="mse")
        >>> found.sign, round(found.condition_number, 6)
        ('positive definite', 1.0)
    """

    target: str
    parameters: int
    examples: int
    loss: float
    gradient_norm: float
    largest: Eigenvalue
    smallest: Eigenvalue
    sign: str
    condition_number: float | None
    condition: str
    largest_stable_rate: float | None
    best_rate: float | None
    best_rate_words: str
    values: tuple[float, ...]
    weights: tuple[float, ...]
    bounds: tuple[float, ...]
    products: int
    converged: bool
    proof: float | None
    noise: NoiseScale | None
    plane: LossPlane | None
    directions: NDArray[np.float64]
    kinks: tuple[str, ...]
    dtype: str
    seconds: float
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """As any answer, without the directions, which are as long as the network is large."""
        made = super().to_dict()
        del made["directions"]
        return made
