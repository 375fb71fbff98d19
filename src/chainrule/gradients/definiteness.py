"""Definiteness: what the known part of a spectrum says of sign, condition and learning rates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.gradients.lanczos import Spectrum


@dataclass(frozen=True)
class Reading:
    """What a spectrum says; see ``Curvature`` for the words."""

    sign: str
    condition_number: float | None
    condition: str
    largest_stable_rate: float | None
    best_rate: float | None
    best_rate_words: str


def read_spectrum(spectrum: Spectrum, tolerance: float, dtype: torch.dtype) -> Reading:
    """Sign, condition number and learning rates, as far as the spectrum is known.

    Args:
        spectrum: of the Hessian.
        tolerance: what Lanczos was asked for; a bound no larger than this share is small.
        dtype: of the products, whose rounding decides what counts as 0.

    Examples:
        >>> from chainrule.gradients.lanczos import lanczos
        >>> scales = torch.tensor([1.0, 4.0], dtype=torch.float64)
        >>> read_spectrum(lanczos(lambda v: scales * v, 2), 1e-6, torch.float64).best_rate
        0.4
    """
    low, high = float(spectrum.values[0]), float(spectrum.values[-1])
    zero = _zero(spectrum, dtype)
    sign = _sign(spectrum, tolerance, zero)
    number, words = _condition(spectrum, sign, zero)
    best = 2 / (high + low) if sign == "positive definite" else None
    return Reading(
        sign, number, words, 2 / high if high > zero else None, best,
        _best_words(spectrum, sign, zero),
    )  # fmt: skip


def _zero(spectrum: Spectrum, dtype: torch.dtype) -> float:
    """What rounding leaves of an eigenvalue that is 0."""
    return 1e4 * torch.finfo(dtype).eps * float(spectrum.values.abs().max())


def _sign(spectrum: Spectrum, tolerance: float, zero: float) -> str:
    """A Ritz value is v.Hv of a unit vector v, so one below 0 proves negative curvature."""
    low, high = float(spectrum.values[0]), float(spectrum.values[-1])
    bound = 0.0 if spectrum.complete else float(spectrum.bounds[0])
    if low == high == 0:
        return "flat"
    if low < -zero:
        return "indefinite" if high > zero else "negative"
    if low - bound > zero:
        return "positive definite"
    return "singular" if low + bound <= max(zero, 10 * tolerance * high) else "cannot-tell"


def _condition(spectrum: Spectrum, sign: str, zero: float) -> tuple[float | None, str]:
    values = spectrum.values
    if sign == "positive definite":
        return float(values[-1] / values[0]), "λmax / λmin"
    if sign == "flat":
        return None, "no curvature at all: the loss is linear in the weights here"
    sizes = values.abs()[values.abs() > zero]
    if not spectrum.complete:
        return None, _unknown(sign)
    number = float(sizes.max() / sizes.min())
    if len(sizes) == len(values):
        return number, "|λ|max / |λ|min"
    return number, "|λ|max / |λ|min of the eigenvalues other than 0; with those it is infinite"


def _unknown(sign: str) -> str:
    if sign == "singular":
        return "infinite: the smallest eigenvalue is 0 to within its bound"
    if sign == "cannot-tell":
        return "not known: the bound of the smallest eigenvalue reaches 0; allow more iterations"
    return (
        "not known: some eigenvalues lie below 0, the smallest in size is inside the spectrum, and "
        "Lanczos finds its ends"
    )


def _best_words(spectrum: Spectrum, sign: str, zero: float) -> str:
    if sign == "positive definite":
        return "2 / (λmax + λmin), were the loss its quadratic"
    if sign in ("indefinite", "negative"):
        return "none: along directions of negative curvature descent only leaves faster"
    if sign == "flat":
        return "none: nothing curves"
    if sign == "cannot-tell":
        return "none: whether λmin is above 0 is not settled; allow more iterations"
    return (
        f"none: along directions with λ = 0 no rate brings progress{_on_the_rest(spectrum, zero)}"
    )


def _on_the_rest(spectrum: Spectrum, zero: float) -> str:
    positive: Tensor = spectrum.values[spectrum.values > zero]
    if not spectrum.complete:
        return ""
    return f"; along the others {2 / float(positive[-1] + positive[0]):.4g} is best"
