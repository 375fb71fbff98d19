"""Curvature notes: what is said beside the numbers."""

from __future__ import annotations

from torch import nn

from chainrule.analysis.traced import Subject
from chainrule.analysis.twin import left_out_hooks, unwrapped
from chainrule.finding import Finding
from chainrule.gradients.definiteness import Reading
from chainrule.gradients.lanczos import Spectrum
from chainrule.gradients.surface import Data, Surface, Tangent


def findings_on(
    reading: Reading, smallest: float, bound: float, tangent: Tangent
) -> tuple[Finding, ...]:
    """Negative curvature, where there is some."""
    if reading.sign not in ("indefinite", "negative"):
        return ()
    slope = float(tangent.gradient.detach().norm())
    return (
        Finding(
            "negative-curvature",
            "",
            {"smallest": smallest, "bound": bound, "gradient_norm": slope},
            f"the loss curves down along some directions ({smallest:.4g} at the steepest): these "
            "weights are no minimum, however small the gradient is",
            "plain descent leaves along them by itself, slowly where the gradient is small",
        ),
    )


def notes_on(
    subject: Subject,
    surface: Surface,
    data: Data,
    spectrum: Spectrum,
    kinks: tuple[str, ...],
    proof: float | None,
) -> list[str]:
    """What was done to the network, and what the numbers do not say."""
    norms = [m for m in surface.module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    hooks = left_out_hooks(unwrapped(subject.module))
    said = {
        f"{', '.join(kinks)}: kinks carry no curvature, the Hessian is that of the smooth piece "
        "on which the weights lie": bool(kinks),
        "batch normalization by the statistics of these examples; in the noise scale by those of "
        "each minibatch": any(layer.training for layer in norms),
        "random numbers (dropout) are the same in all evaluations; in the noise scale they are "
        "drawn anew for each minibatch": surface.draws(data),
        "the ends of the spectrum have not converged: see their bounds, allow more iterations":
            not spectrum.converged,
        "not proved: the network does not run in double precision": proof is None,
        "a difference of gradients does not agree with the Hessian: a kink lies at these weights, "
        "or the gradient is not continuous": (proof or 0.0) > 1e-3,
        f"{hooks} forward hooks of yours were left out of the copy": bool(hooks),
    }  # fmt: skip
    return [words for words, applies in said.items() if applies]
