"""curvature: the Hessian of a loss at the weights, seen through products with vectors."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from chainrule.analysis.inputs import read_inputs
from chainrule.analysis.traced import Subject, subject_of, traced
from chainrule.analysis.tracer import same_random_state
from chainrule.analysis.twin import with_weights
from chainrule.errors import ChainruleError, GradientError, ShapeError, suggestion
from chainrule.gradients.curvature_answer import Curvature, Eigenvalue
from chainrule.gradients.curvature_notes import findings_on, notes_on
from chainrule.gradients.definiteness import read_spectrum
from chainrule.gradients.lanczos import Spectrum, lanczos
from chainrule.gradients.loss_plane import loss_plane
from chainrule.gradients.noise_scale import NoiseScale, noise_scale
from chainrule.gradients.surface import (
    Data,
    Surface,
    Tangent,
    second_derivative_error,
    seed_everything,
)
from chainrule.nn.losses import LOSSES

_DTYPES = {"float64": torch.float64, "float32": torch.float32}
_MOST_BYTES = 8e9  # of Lanczos vectors, or of the gradients of minibatches
_MOST_MINIBATCHES = 64


def curvature(
    module: Any,
    inputs: Any,
    targets: Any,
    *,
    loss: str | Callable[..., Any] = "softmax",
    iterations: int = 64,
    tolerance: float = 1e-6,
    batch: int | None = None,
    grid: int = 17,
    dtype: str = "float64",
    seed: int = 0,
) -> Curvature:
    """How the loss curves around a network's weights, and what learning rates that allows.

    Lanczos on Hessian-vector products gives both ends of the Hessian's spectrum with residual
    bounds. The network is run in the mode it is in (``module.eval()`` for the other one); what is
    given stays as it is: a copy on the CPU is looked at.

    Args:
        module: a network in any form ``chainrule.network`` takes.
        inputs: (N, ...) examples, all in one pass.
        targets: what the loss compares with, N of them.
        loss: name of a data loss, or a function of scores and targets to one number, the mean
            over the examples.
        iterations: Hessian-vector products at most; so many vectors as large as the network are
            kept. No fewer than there are weights give the whole spectrum.
        tolerance: residual of the two ends that is small enough, as a share of the largest.
        batch: examples in each minibatch of the noise scale; about N / 16 by default, 0 for none.
        grid: losses along each side of the loss plane; 0 for none.
        dtype: "float64" or "float32"; of the copy.
        seed: fixes the weights of networks given by text, the start of Lanczos, and dropout.

    Raises:
        GradientError: no trainable weights, no second derivative, not finite, or too large.
        ShapeError, DataError, NetworkError: network, inputs, targets and loss do not fit.

    Source: B. A. Pearlmutter, Fast exact multiplication by the Hessian, 1994 (products);
    Y. LeCun, L. Bottou, G. Orr, K.-R. Müller, Efficient BackProp, 1998, section 5 (rates);
    S. McCandlish et al., An Empirical Model of Large-Batch Training, 2018 (noise scale).

    Examples:
        >>> net = torch.nn.Linear(1, 1, bias=False)
        >>> x = torch.tensor([[1.0], [3.0]])
        >>> curvature(net, x, 2 * x, loss="mse").largest_stable_rate  # the Hessian is 2 mean(x^2)
        0.2
    """
    began = time.perf_counter()
    _refuse(iterations, tolerance, batch, grid, dtype)
    data = _data(inputs, targets, _DTYPES[dtype])
    with same_random_state():
        seed_everything(seed)
        subject = subject_of(module, tuple(data[0].shape[1:]))
        surface = _surface(subject, _loss(loss), _DTYPES[dtype], seed)
        _refuse_size(surface, iterations)
        tangent = _tangent(surface, data, subject)
        generator = torch.Generator().manual_seed(seed)
        spectrum = lanczos(
            tangent.product, len(surface.point), iterations=iterations, tolerance=tolerance,
            generator=generator, dtype=surface.dtype,
        )  # fmt: skip
        return _answer(subject, surface, data, tangent, spectrum, tolerance, batch, grid, began)


def _answer(
    subject: Subject,
    surface: Surface,
    data: Data,
    tangent: Tangent,
    spectrum: Spectrum,
    tolerance: float,
    batch: int | None,
    grid: int,
    began: float,
) -> Curvature:
    reading = read_spectrum(spectrum, tolerance, surface.dtype)
    rounding = 100 * torch.finfo(surface.dtype).eps * float(spectrum.values.abs().max())
    values, bounds = spectrum.values.tolist(), (spectrum.bounds + rounding).tolist()
    noise, why = (None, "") if batch == 0 else _noise(surface, data, batch)
    plane, directions = loss_plane(surface, data, tangent, spectrum, grid)
    kinks, proof = surface.kinks(data), _proof(surface, data, tangent, spectrum)
    notes = [*notes_on(subject, surface, data, spectrum, kinks, proof), *filter(None, [why])]
    return Curvature(
        subject.name, len(surface.point), len(data[0]), tangent.loss,
        float(tangent.gradient.detach().norm()),
        Eigenvalue(values[-1], bounds[-1]), Eigenvalue(values[0], bounds[0]),
        reading.sign, reading.condition_number, reading.condition,
        reading.largest_stable_rate, reading.best_rate, reading.best_rate_words,
        tuple(values), tuple(spectrum.weights.tolist()), tuple(bounds), len(values),
        spectrum.converged, proof, noise, plane, directions, kinks,
        str(surface.dtype).removeprefix("torch."), time.perf_counter() - began,
        findings_on(reading, values[0], bounds[0], tangent), tuple(notes),
    )  # fmt: skip


# -- what is given -------------------------------------------------------------------------


def _refuse(iterations: int, tolerance: float, batch: int | None, grid: int, dtype: str) -> None:
    if dtype not in _DTYPES:
        raise GradientError(
            f"dtype got '{dtype}'{suggestion(str(dtype), _DTYPES)}, wants float64 or float32"
        )
    for name, number, least in (("iterations", iterations, 1), ("batch", batch or 0, 0),
                                ("grid", grid, 0)):  # fmt: skip
        if not isinstance(number, int) or number < least:
            raise GradientError(f"{name} got {number!r}, wants a whole number from {least}")
    if not 0 < tolerance < 1:
        raise GradientError(f"tolerance got {tolerance}, wants a share above 0 and below 1")
    if grid in (1, 2):
        raise GradientError(f"grid got {grid}, wants 3 or more losses a side, or 0 for no plane")


def _data(inputs: Any, targets: Any, dtype: torch.dtype) -> Data:
    """Copies on the CPU, floats in the precision of the copy."""
    examples, wanted = _tensor("inputs", inputs, dtype), _tensor("targets", targets, dtype)
    if not examples.dim() or not len(examples):
        raise ShapeError(
            f"inputs hold no examples (shape {tuple(examples.shape)}): give a tensor (N, ...)"
        )
    if not wanted.dim() or len(wanted) != len(examples):
        raise ShapeError(
            f"targets have shape {tuple(wanted.shape)}, inputs hold {len(examples)} examples: give "
            "one target for each"
        )
    return examples, wanted


def _tensor(name: str, given: Any, dtype: torch.dtype) -> Tensor:
    try:
        tensor = torch.as_tensor(given).detach().to("cpu", copy=True)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ShapeError(
            f"{name} got {type(given).__name__}, wants a tensor or array with one row per example"
        ) from error
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _loss(given: Any) -> Callable[..., Any]:
    if callable(given):
        found: Callable[..., Any] = given
        return found
    if given not in LOSSES:
        raise GradientError(
            f"loss got {given!r}{suggestion(str(given), LOSSES)}; wants one of "
            f"{', '.join(LOSSES)} or a function of scores and targets"
        )
    return LOSSES[given]


def _surface(subject: Subject, loss: Callable[..., Any], dtype: torch.dtype, seed: int) -> Surface:
    module = subject.with_values()
    tensors = [item for item in module.parameters() if item.requires_grad]
    if not tensors:
        raise GradientError(
            f"{subject.name} has no trainable parameter: unfreeze one (requires_grad_())"
        )
    if any(item.is_meta for item in tensors):
        raise GradientError(f"{subject.name} has no values (it lies on the meta device)")
    if any(item.is_complex() for item in tensors):
        raise GradientError(
            f"{subject.name} has complex parameters, curvature wants real ones: hold real and "
            "imaginary parts as two parameters"
        )
    return Surface(with_weights(module), loss, dtype, seed)


def _refuse_size(surface: Surface, iterations: int) -> None:
    size, width = len(surface.point), surface.dtype.itemsize
    if min(iterations, size) * size * width > _MOST_BYTES:
        raise GradientError(
            f"iterations got {iterations}: so many vectors of {size:,} weights take "
            f"{iterations * size * width / 1e9:.3g} GB, {_MOST_BYTES / 1e9:g} are allowed; "
            f"lower it to {max(1, int(_MOST_BYTES / size / width))}"
        )


def _tangent(surface: Surface, data: Data, subject: Subject) -> Tangent:
    try:
        return surface.tangent(surface.point, data)
    except ChainruleError:
        raise
    except Exception as error:
        traced(subject, read_inputs(data[0][:2], subject.module))  # says what does not fit
        reason = (str(error).splitlines() or [""])[0]
        raise GradientError(
            f"{subject.name} cannot be run on a copy in {surface.dtype}: {type(error).__name__}: "
            f"{reason}; try dtype='float32'"
        ) from error


# -- what is measured ----------------------------------------------------------------------


def _noise(surface: Surface, data: Data, batch: int | None) -> tuple[NoiseScale | None, str]:
    """The noise scale over minibatches of the examples in random order, or why there is none."""
    total = len(data[0])
    size = batch or min(32, max(2, total // 16))
    room = int(_MOST_BYTES / len(surface.point) / surface.dtype.itemsize)
    count = min(total // size, _MOST_MINIBATCHES, room)
    if count < 3:
        return None, f"no noise scale: it wants 3 minibatches, {total} examples hold {count}"
    order = torch.randperm(total, generator=torch.Generator().manual_seed(surface.seed))
    parts = [order[start * size : (start + 1) * size] for start in range(count)]
    point = surface.point
    gradients = torch.stack(
        [
            surface.gradient(point, (data[0][part], data[1][part]), draw)
            for draw, part in enumerate(parts)
        ]
    )
    found = noise_scale(gradients, size)
    return found, "" if found else "no noise scale: all minibatches have the same gradient"


def _proof(surface: Surface, data: Data, tangent: Tangent, spectrum: Spectrum) -> float | None:
    top = spectrum.vector(len(spectrum.values) - 1)
    try:
        return second_derivative_error(surface, data, top, tangent.custom)
    except ChainruleError:
        raise
    except Exception:  # noqa: BLE001 - it runs in single precision only
        return None
