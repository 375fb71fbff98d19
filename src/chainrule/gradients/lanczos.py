"""Lanczos: the ends of a symmetric operator's spectrum, and its density, from products alone.

In the basis that it builds the operator is the tridiagonal T, with ``alpha`` on the diagonal and
``beta`` beside it. The eigenvalues of T (Ritz values) reach the ends of the spectrum first; the
squares of the first elements of its eigenvectors are the weights of a Gauss quadrature of the
spectral density.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """What is known of an operator on vectors of n elements after k products with it.

    Attributes:
        values: (k,) Ritz values in ascending order, float64.
        weights: (k,) share of the n eigenvalues that each stands for; they sum to 1.
        bounds: (k,) ``|beta_k s_k|``, how far each is at most from an eigenvalue, but for
            rounding; float64.
        coefficients: (k, k) eigenvectors of T in columns, in the order of ``values``; float64.
        basis: (k, n) orthonormal vectors in rows.
        converged: whether both ends met the tolerance, or the spectrum is complete.
        complete: whether every distinct eigenvalue is among the values, but for rounding: the
            Krylov space of the random start closed.
    """

    values: Tensor
    weights: Tensor
    bounds: Tensor
    coefficients: Tensor
    basis: Tensor
    converged: bool
    complete: bool

    def vector(self, index: int) -> Tensor:
        """(n,) unit Ritz vector of ``values[index]``."""
        found = self.coefficients[:, index].to(self.basis.dtype) @ self.basis
        unit: Tensor = found / found.norm()
        return unit


def lanczos(
    product: Product,
    size: int,
    *,
    iterations: int = 64,
    tolerance: float = 1e-6,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> Spectrum:
    """Lanczos iterations from a random vector, each vector orthogonalized against all others.

    A Krylov space that closes (beta = 0) knows one eigenvector of each of its eigenvalues; the
    search goes on from a random vector orthogonal to it, so that neither a repeated eigenvalue
    nor an invariant subspace that the start has no part in is missed. Where ``iterations`` reach
    ``size`` the whole spectrum is found; else it ends when both ends have converged and no sooner
    than the space beside a closed one has been looked at.

    Memory: ``iterations x size`` numbers of ``dtype``.

    Args:
        product: (n,) to (n,), the symmetric operator.
        size: n.
        iterations: products at most.
        tolerance: residual of the two ends that is small enough, as a share of the largest
            ``|value|``.
        generator: where random vectors come from; one of its own with seed 0 by default.
        dtype: of the vectors; T is kept in float64.

    Source: C. Lanczos 1950; G. H. Golub and G. Meurant, Matrices, Moments and Quadrature, 2010
    (quadrature); B. N. Parlett, The Symmetric Eigenvalue Problem, 1998, 13.2 (residuals).

    Examples:
        >>> diagonal = torch.tensor([-1.0, 2.0, 2.0, 5.0], dtype=torch.float64)
        >>> [round(float(value), 6) for value in lanczos(lambda v: diagonal * v, 4).values]
        [-1.0, 2.0, 2.0, 5.0]
    """
    generator = generator or torch.Generator().manual_seed(0)
    limit = min(iterations, size)
    state = _State(torch.empty(limit, size, dtype=dtype))
    vector = _fresh(state.basis[:0], generator)
    for step in range(limit):
        vector = state.advance(vector, product(vector))
        if step + 1 < limit < size and state.done(tolerance):
            break
        if state.betas[-1] == 0 and step + 1 < limit:
            vector = _fresh(state.known, generator)
    return state.spectrum(tolerance)


@dataclass(eq=False)
class _State:
    """T so far, as blocks: one for each random start. ``betas[j]`` leads from vector j on."""

    basis: Tensor
    alphas: list[float] = field(default_factory=list)
    betas: list[float] = field(default_factory=list)
    norm: float = 0.0  # of the operator, from below

    @property
    def known(self) -> Tensor:
        return self.basis[: len(self.alphas)]

    def advance(self, vector: Tensor, image: Tensor) -> Tensor:
        """Add ``vector`` and its image under the operator; gives the next vector."""
        self.basis[len(self.alphas)] = vector
        self.alphas.append(float(vector @ image))
        self.norm = max(self.norm, float(image.norm()))
        rest = image
        for _ in range(2):  # twice is enough (Kahan, Parlett)
            rest = rest - (self.known @ rest) @ self.known
        length = float(rest.norm())
        closed = length <= 1000 * torch.finfo(rest.dtype).eps * self.norm  # rounding is left
        self.betas.append(0.0 if closed else length)
        return rest if closed else rest / length

    def done(self, tolerance: float) -> bool:
        """Whether to stop: settled, and where a space has closed, one beside it as well."""
        return len(self.blocks) > 1 if self.betas[-1] == 0 else self.settled(tolerance)

    def settled(self, tolerance: float) -> bool:
        """Whether both ends of the last block have converged; those before it are closed."""
        values, vectors = self._decomposed(self.blocks[-1])
        ends = self.betas[-1] * vectors[-1, [0, -1]].abs()
        return bool((ends <= tolerance * self.scale(values)).all())

    def scale(self, values: Tensor) -> float:
        return max(self.norm, float(values.abs().max()))

    @property
    def blocks(self) -> list[range]:
        k = len(self.alphas)
        cuts = [0, *(j + 1 for j in range(k - 1) if self.betas[j] == 0), k]
        return [range(a, b) for a, b in pairwise(cuts)]

    def _decomposed(self, block: range) -> tuple[Tensor, Tensor]:
        alphas = torch.tensor(self.alphas[block.start : block.stop], dtype=torch.float64)
        betas = torch.tensor(self.betas[block.start : block.stop - 1], dtype=torch.float64)
        matrix = torch.diag(alphas) + torch.diag(betas, 1) + torch.diag(betas, -1)
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors

    def spectrum(self, tolerance: float) -> Spectrum:
        k, n = len(self.alphas), self.basis.shape[1]
        values, weights, bounds = torch.zeros(3, k, dtype=torch.float64)
        coefficients = torch.zeros(k, k, dtype=torch.float64)
        for block in self.blocks:
            place = slice(block.start, block.stop)
            values[place], vectors = self._decomposed(block)
            coefficients[place, place] = vectors
            bounds[place] = self.betas[block.stop - 1] * vectors[-1].abs()
            closed = block.stop < k or k == n  # each of its values is one eigenvalue of the n
            weights[place] = 1 / n if closed else (1 - block.start / n) * vectors[0].square()
        order, complete = values.argsort(), self.betas[self.blocks[0].stop - 1] == 0 or k == n
        return Spectrum(
            values[order],
            weights[order],
            bounds[order],
            coefficients[:, order],
            self.known,
            complete or self.settled(tolerance),
            complete,
        )


def _fresh(known: Tensor, generator: torch.Generator) -> Tensor:
    """A random unit vector orthogonal to the rows of ``known``, (k, n)."""
    while True:
        drawn = torch.randn(known.shape[1], generator=generator, dtype=torch.float64)
        vector: Tensor = drawn.to(known.dtype) / drawn.norm()
        for _ in range(2):
            vector = vector - (known @ vector) @ known
            length = float(vector.norm())
            vector = vector / max(length, torch.finfo(vector.dtype).tiny)
        if abs(length - 1) < 0.1:  # else it lay nearly inside: what is left is rounding
            return vector
