"""Cost: multiply-accumulates and FLOPs of each operation, forward and backward.

MACs are the multiply-accumulates of matrix products and convolutions, the number that papers
print (torchvision's "GFLOPS" are MACs). FLOPs are ``2 MACs`` plus, for every other operation
that computes, the count in the table below per output (or, for reductions, input) element; a
transcendental function counts as one. Moving and viewing data costs none.

An operation that has no rule here is looked up in ``torch.utils.flop_counter`` (so a formula
registered there for a custom operation is honoured) and is otherwise named as unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from chainrule.analysis.graph import Operation, View, names

Count = Callable[[Operation], int]


@dataclass(frozen=True)
class Cost:
    """What an operation costs.

    Attributes:
        macs: multiply-accumulates, forward.
        flops: floating-point operations, forward.
        backward_macs: multiply-accumulates of the backward pass.
        backward_flops: floating-point operations of the backward pass.
        known: False where the operation has no rule and the numbers are 0 for want of one.
    """

    macs: int = 0
    flops: int = 0
    backward_macs: int = 0
    backward_flops: int = 0
    known: bool = True


def cost_of(operation: Operation) -> Cost:
    """The cost of one operation; see the module's docstring for what is counted."""
    custom = CUSTOM.get(operation.qualified_name)
    if custom is not None:
        return _custom(operation, *custom)
    product = PRODUCTS.get(operation.name)
    if product is not None:
        macs = product(operation)
        back = _backward_factor(operation) * macs
        return Cost(macs, 2 * macs, int(back), int(2 * back))
    flops = _elementwise(operation)
    if flops is not None:
        return Cost(0, flops, 0, flops if _differentiated(operation) else 0)
    registered = _registered(operation)
    if registered is not None:
        back = 2 * registered if _differentiated(operation) else 0
        return Cost(registered // 2, registered, back // 2, back)
    return Cost(known=False)


def _differentiated(operation: Operation) -> bool:
    return operation.graph_enabled and any(view.requires_grad for view in operation.inputs)


def _backward_factor(operation: Operation) -> float:
    """Products of the backward pass per product of the forward pass.

    One for each factor that needs a gradient; fused attention recomputes its scores, which
    makes five products of two (Dao et al. 2022, FlashAttention, algorithm 4).
    """
    if not operation.graph_enabled:
        return 0
    if "attention" in operation.name:
        return 2.5 if _differentiated(operation) else 0
    factors = _factors(operation)
    return sum(view.requires_grad for view in factors)


def _factors(operation: Operation) -> list[View]:
    given = [item for item in operation.arguments if isinstance(item, View)]
    if "convolution" in operation.name:
        return given[:2]
    return given[-2:]


# qualified operator name -> (MACs, further FLOPs) of ``register_operation``
CUSTOM: dict[str, tuple[Count | None, Count | None]] = {}


def _custom(operation: Operation, macs: Count | None, flops: Count | None) -> Cost:
    products = 0 if macs is None else int(macs(operation))
    every = 2 * products + (0 if flops is None else int(flops(operation)))
    back = _differentiated(operation)
    return Cost(products, every, 2 * products * back, 2 * every * back)


# -- products ------------------------------------------------------------------------------


def _convolution(operation: Operation) -> int:
    """Each output element: one filter, ``k_h k_w C_in / groups`` products.

    Transposed: each input element is spread by one filter.
    """
    weight = operation.inputs[1]
    names = {item.name for item in operation.function._schema.arguments}
    transposed = "transposed" in names and operation.argument("transposed")
    places = operation.inputs[0] if transposed else operation.outputs[0]
    return places.count * prod(weight.shape[1:])


def _matrix(operation: Operation) -> int:
    left, right = _factors(operation)
    return left.count * (right.shape[-1] if len(right.shape) > 1 else 1)


def _packed(operation: Operation) -> int:
    """Quantized linear layers, whose weights are packed away."""
    return operation.inputs[0].count * operation.outputs[0].shape[-1]


def _attention(operation: Operation) -> int:
    """Scores and their sum over values: ``N heads L S (E + E_v)``."""
    query, key, value = (operation.argument(name) for name in ("query", "key", "value"))
    length = query.count // query.shape[-1]
    return int(length * key.shape[-2] * (query.shape[-1] + value.shape[-1]))


PRODUCTS: dict[str, Count] = {
    **dict.fromkeys(
        ("convolution", "_convolution", "mkldnn_convolution", "convolution_overrideable"),
        _convolution,
    ),
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot", "vdot"), _matrix),
    **dict.fromkeys(("linear_dynamic", "linear_relu_dynamic"), _packed),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
        ),
        _attention,
    ),
}


def _registered(operation: Operation) -> int | None:
    """FLOPs by a formula registered with ``torch.utils.flop_counter``."""
    from torch.utils.flop_counter import flop_registry

    formula = flop_registry.get(operation.function.overloadpacket)
    if formula is None:
        return None
    arguments, keywords = _shapes(operation.arguments), _shapes(operation.keywords)
    outputs = tuple(view.shape for view in operation.outputs)
    out = outputs[0] if len(outputs) == 1 else outputs
    return int(formula(*arguments, **keywords, out_val=out))


def _shapes(value: Any) -> Any:
    if isinstance(value, View):
        return torch.Size(value.shape)
    if isinstance(value, tuple | list):
        return type(value)([_shapes(item) for item in value])
    if isinstance(value, dict):
        return {name: _shapes(item) for name, item in value.items()}
    return value


# -- everything else -----------------------------------------------------------------------

# FLOPs per output element
_PER_OUTPUT = {
    # evaluation: (x - m) i w + b with m, i, w, b folded: multiply, add; training adds the
    # mean (1), the variance (2) and the normalization (2)
    "native_batch_norm": 2, "_native_batch_norm_legit": 5, "cudnn_batch_norm": 5,
    "_native_batch_norm_legit_no_training": 2, "_batch_norm_no_update": 2,
    "_batch_norm_with_update": 5, "miopen_batch_norm": 5,
    # one for the mean, two each for variance, normalization, and scale and shift
    "native_layer_norm": 7, "native_group_norm": 7, "_fused_rms_norm": 4,
    # maximum, difference, exponential, sum, quotient
    "_softmax": 5, "_log_softmax": 5, "_safe_softmax": 5,
    # four and sixteen taps with their weights
    "upsample_bilinear2d": 8, "upsample_linear1d": 4, "upsample_trilinear3d": 16,
    "upsample_bicubic2d": 32, "grid_sampler_2d": 8, "grid_sampler_3d": 16,
    "native_dropout": 1, "_weight_norm_interface": 3,
}  # fmt: skip
# FLOPs per input element
_PER_INPUT = dict.fromkeys(
    names(
        """
        mean sum nansum prod amax amin max min argmax argmin logsumexp norm linalg_vector_norm any
        all cumsum cumprod cummax cummin count_nonzero aminmax _adaptive_avg_pool2d
        _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_max_pool2d adaptive_max_pool3d scatter_add
        index_add _embedding_bag
        """
    ),
    1,
) | {"var": 3, "var_mean": 3, "std": 3, "std_mean": 3}
# pointwise, though PyTorch does not say so
_POINTWISE = names(
    """
    hardswish hardsigmoid hardtanh rrelu_with_noise glu prelu _prelu_kernel log_sigmoid_forward
    erfinv where masked_fill lerp
    """
)
_FREE = names(
    """
    view _unsafe_view reshape _reshape_alias alias squeeze unsqueeze expand expand_as permute
    transpose t numpy_T slice select split split_with_sizes unsafe_split chunk narrow unbind
    unsafe_split_with_sizes cat concat stack clone contiguous copy_ copy _to_copy detach
    lift_fresh flip roll repeat pixel_shuffle pixel_unshuffle constant_pad_nd reflection_pad1d
    reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
    zeros ones full empty arange linspace eye scalar_tensor rand randn randint empty_strided
    new_zeros new_ones new_full new_empty new_empty_strided zeros_like ones_like full_like
    empty_like rand_like randn_like randint_like empty_permuted bernoulli bernoulli_ fill_ zero_
    uniform_ normal_ tril triu tril_indices triu_indices embedding index gather index_select
    scatter index_put index_copy im2col unfold take diagonal as_strided as_strided_ _conj
    resize_ sort argsort topk view_as_real view_as_complex upsample_nearest1d upsample_nearest2d
    upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d randperm
    _upsample_nearest_exact3d masked_select nonzero set_ is_same_size _local_scalar_dense
    _assert_async item unflatten view_copy diag_embed repeat_interleave col2im
    """
)


def _elementwise(operation: Operation) -> int | None:
    name = operation.name
    if name not in _FREE and name.endswith("_") and not name.startswith("_"):
        name = name.removesuffix("_")
    if name in _FREE or operation.function.is_view:
        return 0
    if name == "native_batch_norm" and operation.argument("training"):
        return 5 * operation.outputs[0].count
    if name in _PER_OUTPUT:
        return _PER_OUTPUT[name] * operation.outputs[0].count
    if name in _PER_INPUT:
        return _PER_INPUT[name] * operation.inputs[0].count
    if "pool" in name and operation.outputs:
        return operation.outputs[0].count * _window(operation)
    if operation.pointwise or name in _POINTWISE:
        return max((view.count for view in operation.outputs), default=0)
    return None


def _window(operation: Operation) -> int:
    """Elements in a pooling window."""
    kernel = operation.argument("kernel_size")
    axes = len(operation.outputs[0].shape) - 2
    kernel = [kernel] if isinstance(kernel, int) else list(kernel)
    return prod(kernel * axes if len(kernel) == 1 else kernel)
