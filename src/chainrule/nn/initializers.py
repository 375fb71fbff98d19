"""Initial weights by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.errors import DataError
from chainrule.nn.guard import check_choice, check_size
from chainrule.nn.weighted import WeightedLayer, storage_dtype, weight_groups, weighted_layers

INITIALIZERS = ("default", "kaiming", "xavier", "orthogonal", "lsuv", "normal", "zeros")
INITIALIZER_ALIASES = {"he": "kaiming", "glorot": "xavier"}

LSUV_TOLERANCE = 0.1
LSUV_ITERATIONS = 10

Fill = Callable[[Tensor, torch.Generator | None], Any]


def initialize(
    module: nn.Module,
    name: str,
    *,
    std: float = 0.01,
    batch: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Set the initial weights of a network in place, by the name of a method.

    The weights of all linear layers and convolutions (plain, transposed, and inside Maxout and
    DropConnect) are set and their biases become 0. All other layers, normalization among them,
    are left as they are. With n inputs per unit (fan-in) and m units per input (fan-out), each
    counted within its group of channels and with all positions of the kernel:

    ============  =====================================================================
    name          weights
    ============  =====================================================================
    "default"     as they are: PyTorch's own, biases too
    "kaiming"     normal, variance 2 / n, for rectified linear units; also "he"
    "xavier"      uniform, variance 2 / (n + m); also "glorot"
    "orthogonal"  orthonormal rows, or columns where there are fewer of them (gain 1)
    "lsuv"        orthogonal, then each layer scaled until its output on ``batch`` has
                  variance 1 within 0.1, layer by layer in the order of the forward
                  pass, at most 10 times; layers that ``batch`` does not reach stay
                  orthogonal, a layer that is used again is measured at its first use
    "normal"      normal, standard deviation ``std``
    "zeros"       0: for study, since units that start equal stay equal
    ============  =====================================================================

    "lsuv" runs the network once in eval mode. Modes, hooks, buffers and random state are as
    before; only the drawing of weights takes numbers from the generator, as with every name.

    Args:
        module: the network.
        name: one of ``INITIALIZERS`` or ``INITIALIZER_ALIASES``.
        std: standard deviation for "normal", at least 0.
        batch: (N, ...) a minibatch for "lsuv", moved to the network's device.
        generator: source of random numbers; None for PyTorch's global one. The same CPU
            generator gives the same weights on every device.

    Returns:
        ``module`` itself.

    Raises:
        RecipeError: unknown ``name``, or ``std`` below 0.
        DataError: "lsuv" without a usable ``batch``.
        NetworkError: a weight cannot be set, see ``weighted_layers``.

    Source: K. He et al., ICCV 2015 (kaiming); X. Glorot and Y. Bengio, AISTATS 2010 (xavier);
    A. Saxe et al., ICLR 2014 (orthogonal); D. Mishkin and J. Matas, ICLR 2016 (lsuv).

    Examples:
        >>> net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        >>> batch = torch.randn(256, 64)
        >>> output = initialize(net, "lsuv", batch=batch)(batch)
        >>> abs(output.var().item() - 1) < 0.1
        True
    """
    name = INITIALIZER_ALIASES.get(name, name)
    check_choice("initializer", name, (*INITIALIZERS, *INITIALIZER_ALIASES))
    check_size("std", std, "0.01 is customary", zero=True)
    if name == "default":
        return module
    if name == "lsuv":
        batch = _check_batch(batch)
    layers = list(weighted_layers(module))
    fill = _fill(name, std)
    for _, layer in layers:
        _set_weights(layer, fill, generator)
    if batch is not None and name == "lsuv":
        _scale_to_unit_variance(module, layers, batch)
    return module


def _fill(name: str, std: float) -> Fill:
    """How to fill a fresh (units, inputs, *kernel) tensor in place."""
    fills: dict[str, Fill] = {
        "kaiming": lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="relu", generator=g),
        "xavier": lambda w, g: nn.init.xavier_uniform_(w, generator=g),
        "orthogonal": lambda w, g: nn.init.orthogonal_(w, generator=g),
        "lsuv": lambda w, g: nn.init.orthogonal_(w, generator=g),
        "normal": lambda w, g: nn.init.normal_(w, std=std, generator=g),
        "zeros": lambda w, _: nn.init.zeros_(w),
    }
    return fills[name]


@torch.no_grad()
def _set_weights(layer: WeightedLayer, fill: Fill, generator: torch.Generator | None) -> None:
    for weight in weight_groups(layer):
        if weight.numel() == 0:
            continue
        device = weight.device if generator is None else generator.device
        fresh = torch.empty(weight.shape, dtype=storage_dtype(weight), device=device)
        fill(fresh, generator)
        weight.copy_(fresh)
    if layer.bias is not None:
        layer.bias.zero_()


def _check_batch(batch: Tensor | None) -> Tensor:
    if batch is None:
        raise DataError(
            "initializer 'lsuv' scales each layer by its output and needs a minibatch, got none; "
            "pass batch= a tensor of shape (N, ...)"
        )
    if batch.numel() == 0:
        raise DataError(
            f"initializer 'lsuv' got an empty batch of shape {tuple(batch.shape)}; "
            "pass at least one example"
        )
    if not batch.isfinite().all():
        raise DataError(
            "initializer 'lsuv' got a batch that holds nan or inf; remove those examples first"
        )
    return batch


def _scale_to_unit_variance(
    module: nn.Module, layers: list[tuple[str, WeightedLayer]], batch: Tensor
) -> None:
    """One forward pass in which each layer is scaled at its first use, before the next runs."""
    if not layers:
        return
    names = {layer: name for name, layer in layers}
    scaled: set[int] = set()

    def scale(
        layer: WeightedLayer, inputs: tuple[Any, ...], keywords: dict[str, Any], output: Tensor
    ) -> Tensor:
        if id(layer.weight) in scaled:
            return output
        scaled.add(id(layer.weight))
        return _scaled_output(names[layer], layer, inputs, keywords, output)

    device = layers[0][1].weight.device
    with _left_as_found(module), torch.no_grad():
        handles = [
            layer.register_forward_hook(scale, prepend=True, with_kwargs=True)
            for _, layer in layers
        ]
        try:
            module.eval()(batch.to(device))
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"initializer 'lsuv' could not run the network on a batch of shape "
                f"{tuple(batch.shape)} and dtype {batch.dtype}; pass a minibatch that it takes "
                f"({reason})"
            ) from error
        finally:
            for handle in handles:
                handle.remove()


def _scaled_output(
    name: str,
    layer: WeightedLayer,
    inputs: tuple[Any, ...],
    keywords: dict[str, Any],
    output: Tensor,
) -> Tensor:
    """Scale a layer's weight until its output has unit variance; that output."""
    for _ in range(LSUV_ITERATIONS):
        variance = output.to(storage_dtype(output)).var(correction=0)
        if not 0 < variance < torch.inf:
            raise DataError(
                f"initializer 'lsuv': the output of layer {name!r} has variance {float(variance)} "
                "on the batch, so no scale gives 1; pass a batch of several different examples"
            )
        if abs(variance - 1) < LSUV_TOLERANCE:
            break
        layer.weight.div_(variance.sqrt())
        output = layer.forward(*inputs, **keywords)
    return output


@contextmanager
def _left_as_found(module: nn.Module) -> Iterator[None]:
    """Put modes, buffers and random state back as they were."""
    modes = [(layer, layer.training) for layer in module.modules()]
    buffers = [
        (layer, name, buffer, buffer.clone())
        for layer in module.modules()
        for name, buffer in layer.named_buffers(recurse=False)
    ]
    tensors = [*module.parameters(), *module.buffers()]
    devices = {tensor.device.index for tensor in tensors if tensor.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices)):
        try:
            yield
        finally:
            for layer, training in modes:
                layer.training = training
            with torch.no_grad():
                for layer, name, buffer, values in buffers:
                    setattr(layer, name, buffer.copy_(values))
