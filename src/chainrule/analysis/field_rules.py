"""Field rules: what the outputs of each ATen operation see, given what its inputs see.

One small function per kind of operation, in a table keyed by the operator's name. Operations
that PyTorch tags as pointwise need no entry. An operation without a rule sees everything, and
the answer names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from chainrule.analysis import field as fields
from chainrule.analysis.field import Field
from chainrule.analysis.graph import Operation, View
from chainrule.analysis.lattice import (
    AxisMap,
    adaptive_map,
    interpolation_map,
    nearest_map,
    slice_map,
    transposed_map,
    window_map,
)

Getter = Callable[[View], Field | None]
Rule = Callable[[Operation, Getter], "Field | list[Field | None] | None"]


def rule_for(operation: Operation) -> Rule | None:
    """The rule of an operation, None when there is none."""
    name = operation.name
    found = RULES.get(operation.qualified_name) or RULES.get(name)
    if found is None and name.endswith("_"):
        found = RULES.get(name[:-1])
    if found is None and operation.pointwise:
        found = pointwise
    return found


def pointwise(operation: Operation, get: Getter) -> Field | None:
    """Element by element, broadcast."""
    parts = [part for view in operation.inputs if (part := get(view)) is not None]
    if not parts or not operation.outputs:
        return None
    return fields.joined(operation.outputs[0].shape, parts)


def constant(_operation: Operation, _get: Getter) -> None:
    """The output does not depend on the input."""


def same(operation: Operation, get: Getter) -> Field | None:
    """The first tensor as it is."""
    return get(operation.inputs[0])


def copied(operation: Operation, get: Getter) -> Field | None:
    """``target.copy_(source)``."""
    source = get(operation.argument("src"))
    return None if source is None else fields.expanded(source, operation.outputs[0].shape)


def restrided(operation: Operation, get: Getter) -> Any:
    """The same elements in another order of memory; a true change of shape is not followed."""
    source, output = operation.inputs[0], operation.outputs[0]
    return get(source) if source.shape == output.shape else anywhere(operation, get)


def halves(operation: Operation, get: Getter) -> Field | None:
    """Gated linear units: one half of an axis times the other."""
    found, shape = get(operation.inputs[0]), operation.outputs[0].shape
    if found is None:
        return None
    axis = _axis(operation)
    size = shape[axis]
    parts = [fields.sliced(found, axis, slice(begin, begin + size)) for begin in (0, size)]
    return fields.joined(shape, parts)


def _axis(operation: Operation, name: str = "dim", rank: int | None = None) -> int:
    axis = int(operation.argument(name))
    return axis % (rank or max(len(operation.inputs[0].shape), 1))


def _only(rule: Callable[[Operation, Field], Any]) -> Rule:
    """A rule of operations whose first tensor alone carries the input."""

    def applied(operation: Operation, get: Getter) -> Any:
        found = get(operation.inputs[0])
        return None if found is None else rule(operation, found)

    applied.__doc__ = rule.__doc__
    return applied


# -- axes and slices -----------------------------------------------------------------------


@_only
def view(operation: Operation, found: Field) -> Field:
    """The same elements in another shape."""
    return fields.viewed(found, operation.outputs[0].shape)


@_only
def permute(operation: Operation, found: Field) -> Field:
    """Axes in another order."""
    return fields.permuted(found, permutation(operation))


def permutation(operation: Operation) -> list[int]:
    """Which axis of the input each axis of the output is."""
    rank = len(operation.inputs[0].shape)
    order = list(range(rank))
    if operation.name.rstrip("_") == "permute":
        return [int(axis) % rank for axis in operation.argument("dims")]
    if operation.name.rstrip("_") == "transpose":
        one, other = _axis(operation, "dim0"), _axis(operation, "dim1")
        order[one], order[other] = other, one
        return order
    return order[::-1]  # t


@_only
def unsqueeze(operation: Operation, found: Field) -> Field:
    """A new axis of length 1."""
    return fields.inserted(found, _axis(operation, rank=len(found.shape) + 1))


@_only
def expand(operation: Operation, found: Field) -> Field:
    """Broadcast."""
    return fields.expanded(found, operation.outputs[0].shape)


def slice_of(operation: Operation) -> tuple[int, slice]:
    """Axis and indices of ``aten::slice``."""
    where = slice(operation.argument("start"), operation.argument("end"), operation.argument("step"))
    return _axis(operation), where


@_only
def sliced(operation: Operation, found: Field) -> Field:
    """Some indices of an axis."""
    return fields.sliced(found, *slice_of(operation))


@_only
def select(operation: Operation, found: Field) -> Field:
    """One index of an axis."""
    axis = _axis(operation)
    return fields.selected(found, axis, int(operation.argument("index")) % found.shape[axis])


@_only
def split(operation: Operation, found: Field) -> list[Field]:
    """Pieces behind one another along an axis."""
    axis, begin, made = _axis(operation), 0, []
    for output in operation.outputs:
        end = begin + output.shape[axis]
        made.append(fields.sliced(found, axis, slice(begin, end)))
        begin = end
    return made


@_only
def unbind(operation: Operation, found: Field) -> list[Field]:
    """Every index of an axis."""
    axis = _axis(operation)
    return [fields.selected(found, axis, index) for index in range(found.shape[axis])]


@_only
def flip(operation: Operation, found: Field) -> Field:
    """Axes backwards."""
    for axis in operation.argument("dims"):
        axis %= len(found.shape)
        found = fields.shuffled(found, axis, np.arange(found.shape[axis])[::-1])
    return found


@_only
def roll(operation: Operation, found: Field) -> Field:
    """Axes turned round."""
    shape, axes = found.shape, operation.argument("dims")
    if not axes:
        found, axes = fields.viewed(found, [prod(shape)]), [0]
    for shift, axis in zip(operation.argument("shifts"), axes, strict=True):
        axis %= len(found.shape)
        indices = np.roll(np.arange(found.shape[axis]), shift)
        found = fields.shuffled(found, axis, indices)
    return fields.viewed(found, shape)


def cat(operation: Operation, get: Getter) -> Field | None:
    """Tensors behind one another; empty ones do not count."""
    shape = operation.outputs[0].shape
    views = [item for item in operation.argument("tensors") if item.count or len(item.shape) > 1]
    axis = int(operation.argument("dim")) % len(shape)
    return _laid(shape, axis, [(item.shape, get(item)) for item in views])


def stack(operation: Operation, get: Getter) -> Field | None:
    """Tensors along a new axis."""
    shape = operation.outputs[0].shape
    axis = int(operation.argument("dim")) % len(shape)
    parts = []
    for item in operation.argument("tensors"):
        found = get(item)
        lean = (*shape[:axis], 1, *shape[axis + 1 :])
        parts.append((lean, None if found is None else fields.inserted(found, axis)))
    return _laid(shape, axis, parts)


def _laid(
    shape: tuple[int, ...], axis: int, parts: list[tuple[tuple[int, ...], Field | None]]
) -> Field | None:
    known = [found for _, found in parts if found is not None]
    if not known:
        return None
    axes = len(known[0].lattices)
    whole = [found or fields.empty_field(size, axes) for size, found in parts]
    return fields.concatenated(shape, axis, whole)


@_only
def repeat(operation: Operation, found: Field) -> Field:
    """Copies side by side."""
    shape = operation.outputs[0].shape
    found = fields.expanded(found, (1,) * (len(shape) - len(found.shape)) + found.shape)
    for axis, size in enumerate(shape):
        if found.shape[axis] == 1:
            wide = (*found.shape[:axis], size, *found.shape[axis + 1 :])
            found = fields.expanded(found, wide)
        elif size != found.shape[axis]:
            indices = np.arange(size) % found.shape[axis]
            found = fields.shuffled(found, axis, indices)
    return found


# -- windows -------------------------------------------------------------------------------


def _per_axis(value: Sequence[int] | int, axes: int, default: Sequence[int] = ()) -> list[int]:
    given = [value] if isinstance(value, int) else list(value)
    given = given or list(default)
    return given * axes if len(given) == 1 else given


def _slide(found: Field, maps: Sequence[AxisMap], shape: Sequence[int]) -> Field:
    """Windows over the last axes."""
    first = len(shape) - len(maps)
    for place, moved in enumerate(maps):
        axis = first + place
        found = fields.windowed(found, axis, moved, shape[axis])
    return found


def convolution(operation: Operation, get: Getter) -> Field | None:
    """Plain and transposed convolution."""
    found, weight = get(operation.inputs[0]), operation.inputs[1]
    shape, axes = operation.outputs[0].shape, len(weight.shape) - 2
    if get(weight) is not None:
        return _whole(operation, [part for part in (found, get(weight)) if part])
    if found is None:
        return None
    stride, padding, dilation = (
        _per_axis(operation.argument(name), axes) for name in ("stride", "padding", "dilation")
    )
    groups, transposed = operation.argument("groups"), operation.argument("transposed")
    found = _rechannelled(found, len(shape) - axes - 1, groups, shape[-axes - 1])
    maps = [
        transposed_map(size, stride[place], padding[place], dilation[place])
        if transposed
        else window_map(size, stride[place], padding[place], dilation[place])
        for place, size in enumerate(weight.shape[2:])
    ]
    return _slide(found, maps, shape)


def _rechannelled(found: Field, axis: int, groups: int, channels: int) -> Field:
    """Every output channel of a group sees what any input channel of the group sees."""
    shape = found.shape
    if groups > 1 and shape[axis] > groups:
        split = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
        found = fields.reduced(fields.viewed(found, split), [axis + 1], keep=False)
    elif groups == 1:
        found = fields.reduced(found, [axis], keep=True)
    wide = (*shape[:axis], max(groups, 1), channels // max(groups, 1), *shape[axis + 1 :])
    found = fields.expanded(fields.inserted(found, axis + 1), wide)
    return fields.viewed(found, (*shape[:axis], channels, *shape[axis + 1 :]))


def _pool(axes: int) -> Rule:
    @_only
    def pool(operation: Operation, found: Field) -> Any:
        """Pooling windows."""
        kernel = _per_axis(operation.argument("kernel_size"), axes)
        stride = _per_axis(operation.argument("stride"), axes, kernel)
        padding = _per_axis(operation.argument("padding"), axes)
        dilated = "max" in operation.name
        dilation = _per_axis(operation.argument("dilation") if dilated else 1, axes)
        maps = [window_map(*sizes) for sizes in zip(kernel, stride, padding, dilation, strict=True)]
        made = _slide(found, maps, operation.outputs[0].shape)
        return [made] * len(operation.outputs)

    return pool


def _adaptive(axes: int) -> Rule:
    @_only
    def adaptive(operation: Operation, found: Field) -> Any:
        """Adaptive pooling; over a whole axis it is global."""
        shape = operation.outputs[0].shape
        for axis in range(len(shape) - axes, len(shape)):
            if shape[axis] == 1:
                found = fields.reduced(found, [axis], keep=True)
            else:
                moved = adaptive_map(found.shape[axis], shape[axis])
                found = fields.windowed(found, axis, moved, shape[axis])
        return [found] * len(operation.outputs)

    return adaptive


def _upsample(axes: int, kind: str) -> Rule:
    @_only
    def upsample(operation: Operation, found: Field) -> Field:
        """Interpolation."""
        shape = operation.outputs[0].shape
        aligned = kind != "nearest" and bool(operation.argument("align_corners"))
        scales = _scales(operation, axes)
        for place in range(axes):
            axis = len(shape) - axes + place
            pace = _pace(found.shape[axis], shape[axis], scales[place], aligned)
            if kind == "nearest":
                moved = nearest_map(pace, "exact" in operation.name)
            else:
                moved = interpolation_map(pace, aligned, 2 if kind == "cubic" else 1)
            found = fields.windowed(found, axis, moved, shape[axis])
        return found

    return upsample


def _scales(operation: Operation, axes: int) -> list[float | None]:
    names = {item.name for item in operation.function._schema.arguments}
    wanted = ["scales_d", "scales_h", "scales_w"][-axes:] if axes > 1 else ["scales"]
    return [operation.argument(name) if name in names else None for name in wanted]


def _pace(inputs: int, outputs: int, scale: float | None, aligned: bool) -> Fraction:
    """Inputs per output, as PyTorch computes it (UpSample.h, area_pixel_compute_scale)."""
    if aligned:
        return Fraction(inputs - 1, outputs - 1) if outputs > 1 else Fraction(0)
    if scale is not None and scale > 0:
        return 1 / Fraction(scale).limit_denominator(4096)
    return Fraction(inputs, outputs)


@_only
def pad(operation: Operation, found: Field) -> Field:
    """Zeros, the edge or a mirror image around the last axes."""
    amounts = list(operation.argument("pad" if "constant" in operation.name else "padding"))
    border = "reflect" if "reflection" in operation.name else "drop"
    border = "clamp" if "replication" in operation.name else border
    rank = len(found.shape)
    for place in range(len(amounts) // 2):
        begin, end = amounts[2 * place : 2 * place + 2]
        axis = rank - 1 - place
        if begin or end:
            moved = replace(slice_map(-begin), border=border)
            found = fields.windowed(found, axis, moved, found.shape[axis] + begin + end)
    return found


@_only
def pixel_shuffle(operation: Operation, found: Field) -> Field:
    """(C r^2, H, W) to (C, H r, W r)."""
    r = int(operation.argument("upscale_factor"))
    *batch, channels, height, width = found.shape
    n = len(batch)
    found = fields.viewed(found, (*batch, channels // r**2, r, r, height, width))
    order = [*range(n), n, n + 3, n + 1, n + 4, n + 2]
    return fields.viewed(fields.permuted(found, order), operation.outputs[0].shape)


@_only
def pixel_unshuffle(operation: Operation, found: Field) -> Field:
    """(C, H r, W r) to (C r^2, H, W)."""
    r = int(operation.argument("downscale_factor"))
    shape = operation.outputs[0].shape
    maps = [window_map(r, r), window_map(r, r)]
    seen = _slide(fields.reduced(found, [len(shape) - 3], keep=True), maps, shape)
    seen = fields.expanded(seen, shape)
    *batch, channels, height, width = found.shape
    n = len(batch)
    exact = fields.viewed(found, (*batch, channels, height // r, r, width // r, r))
    exact = fields.permuted(exact, [*range(n), n, n + 2, n + 4, n + 1, n + 3])
    return replace(seen, reach=fields.viewed(exact, shape).reach)


# -- mixing --------------------------------------------------------------------------------


def _axes(operation: Operation, rank: int) -> list[int]:
    names = [item.name for item in operation.function._schema.arguments]
    given = operation.argument("dim") if "dim" in names else None
    if given is None or given == []:
        return list(range(rank))
    return [axis % max(rank, 1) for axis in ([given] if isinstance(given, int) else given)]


@_only
def reduction(operation: Operation, found: Field) -> list[Field]:
    """Sums, means, norms and extremes over axes."""
    names = [item.name for item in operation.function._schema.arguments]
    keep = bool(operation.argument("keepdim")) if "keepdim" in names else False
    made = fields.reduced(found, _axes(operation, len(found.shape)), keep)
    return [made] * len(operation.outputs)


@_only
def mixing(operation: Operation, found: Field) -> list[Field]:
    """Softmax, sorting: every unit along an axis depends on all of them."""
    made = fields.mixed(found, _axes(operation, len(found.shape)))
    shapes = [output.shape for output in operation.outputs]
    return [made if shape == made.shape else _shrunk(made, shape) for shape in shapes]


def _shrunk(found: Field, shape: tuple[int, ...]) -> Field:
    for axis, size in enumerate(shape):
        if size != found.shape[axis]:
            found = fields.sliced(found, axis, slice(0, size))
    return found


@_only
def cumulative(operation: Operation, found: Field) -> list[Field]:
    """Cumulative sums."""
    axis = _axis(operation)
    seen = found.sees_all or found.carries([axis])
    made = replace(found, reach=found.reach.accumulated(axis), sees_all=seen)
    return [made] * len(operation.outputs)


def layer_norm(operation: Operation, get: Getter) -> Any:
    """Statistics over the last axes."""
    found = get(operation.inputs[0])
    if found is None:
        return None
    rank = len(found.shape)
    made = fields.mixed(found, range(rank - len(operation.argument("normalized_shape")), rank))
    return [made, *[None] * (len(operation.outputs) - 1)]


def group_norm(operation: Operation, get: Getter) -> Any:
    """Statistics over the spatial axes and the channels of a group."""
    found = get(operation.inputs[0])
    if found is None:
        return None
    made = fields.mixed(found, range(2, len(found.shape)))
    made = replace(made, reach=made.reach.grouped(1, operation.argument("group")))
    return [made, *[None] * (len(operation.outputs) - 1)]


def batch_norm(operation: Operation, get: Getter) -> Any:
    """Running statistics see nothing else; batch statistics see the whole image."""
    found = get(operation.inputs[0])
    if found is None:
        return None
    names = [item.name for item in operation.function._schema.arguments]
    position = "training" if "training" in names else "train"
    if position in names and operation.argument(position):
        found = fields.mixed(found, [0, *range(2, len(found.shape))])
    return [found, *[None] * (len(operation.outputs) - 1)]


def matrix_product(operation: Operation, get: Getter) -> Field | None:
    """mm, bmm, addmm, baddbmm: rows of the one with columns of the other."""
    *added, left, right = [item for item in operation.arguments if isinstance(item, View)]
    shape = operation.outputs[0].shape
    parts = []
    for item, contracted in ((left, len(left.shape) - 1), (right, max(len(right.shape) - 2, 0))):
        found = get(item)
        if found is not None:
            found = fields.reduced(found, [contracted], keep=True)
            parts.append(_fit(found, shape, item is right))
    parts += [found for item in added if (found := get(item)) is not None]
    return fields.joined(shape, parts) if parts else None


def _fit(found: Field, shape: tuple[int, ...], right: bool) -> Field:
    """A contracted operand in the rank of the product (for vectors)."""
    if len(found.shape) == len(shape):
        return found
    lost = 0 if right else len(found.shape) - 1
    return fields.selected(found, lost, 0) if len(found.shape) > len(shape) else found


def attention(operation: Operation, get: Getter) -> Any:
    """Every query sees all keys and values; with the causal mask those up to itself."""
    query, key, value = (get(operation.argument(name)) for name in ("query", "key", "value"))
    shape = operation.outputs[0].shape
    parts = [] if query is None else [fields.reduced(query, [len(shape) - 1], keep=True)]
    causal = bool(operation.argument("is_causal"))
    for found in (key, value):
        if found is None:
            continue
        axis = len(found.shape) - 2
        context = fields.reduced(found, [len(shape) - 1], keep=True)
        if causal and found.shape[axis] == shape[axis]:
            context = replace(context, reach=context.reach.accumulated(axis))
            context = replace(context, sees_all=True, lattices=(None,) * len(found.lattices))
        else:
            context = fields.reduced(context, [axis], keep=True)
        parts.append(context)
    made = fields.joined(shape, parts) if parts else None
    return [made, *[None] * (len(operation.outputs) - 1)]


def embedding(operation: Operation, get: Getter) -> Field | None:
    """Rows of a table, chosen by indices."""
    found = get(operation.argument("indices"))
    if found is None:
        return None
    made = fields.inserted(found, len(found.shape))
    return fields.expanded(made, operation.outputs[0].shape)


def anywhere(operation: Operation, get: Getter) -> Any:
    """Reads places that depend on values: any unit may see all that its sources see."""
    return _whole(operation, [part for item in operation.inputs if (part := get(item))])


def _whole(operation: Operation, parts: list[Field]) -> Any:
    if not parts:
        return None
    made = []
    for output in operation.outputs:
        flat = [fields.reduced(part, range(len(part.shape)), keep=False) for part in parts]
        found = fields.joined((), flat)
        found = replace(found, sees_all=True, lattices=(None,) * len(found.lattices))
        made.append(fields.expanded(found, output.shape))
    return made


@_only
def unfold(operation: Operation, found: Field) -> Any:
    """Patches (``im2col``): each element is taken to see its whole patch, an upper bound."""
    return replace(_whole(operation, [found])[0], guessed=True)


RULES: dict[str, Rule] = {}


def _table(rule: Rule, names: str) -> None:
    RULES.update(dict.fromkeys(names.split(), rule))


_table(constant, "zeros ones full empty arange linspace eye scalar_tensor rand randn randint "
       "empty_strided new_zeros new_ones new_full new_empty new_empty_strided zeros_like "
       "ones_like full_like empty_like rand_like randn_like randint_like empty_permuted "
       "bernoulli bernoulli_ fill_ zero_ uniform_ normal_ tril_indices triu_indices")
_table(same, "clone _to_copy detach alias lift_fresh contiguous native_dropout tril triu "
       "_conj view_as_real view_as_complex")
_table(pointwise, "hardswish hardsigmoid hardtanh rrelu_with_noise prelu _prelu_kernel "
       "log_sigmoid_forward where masked_fill lerp")
_table(halves, "glu")
_table(restrided, "as_strided_")
_table(copied, "copy_ copy")
_table(view, "view _unsafe_view reshape _reshape_alias squeeze flatten unflatten view_copy")
_table(permute, "permute transpose t numpy_T")
_table(unsqueeze, "unsqueeze")
_table(expand, "expand expand_as")
_table(sliced, "slice narrow")
_table(select, "select")
_table(split, "split split_with_sizes unsafe_split unsafe_split_with_sizes chunk")
_table(unbind, "unbind")
_table(flip, "flip")
_table(roll, "roll")
_table(cat, "cat concat")
_table(stack, "stack")
_table(repeat, "repeat")
_table(convolution, "convolution _convolution convolution_overrideable mkldnn_convolution")
_table(_pool(2), "max_pool2d_with_indices avg_pool2d max_pool2d mkldnn_max_pool2d")
_table(_pool(3), "max_pool3d_with_indices avg_pool3d max_pool3d mkldnn_max_pool3d")
_table(_pool(1), "avg_pool1d max_pool1d max_pool1d_with_indices")
_table(_adaptive(1), "adaptive_avg_pool1d adaptive_max_pool1d")
_table(_adaptive(2), "_adaptive_avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d "
       "mkldnn_adaptive_avg_pool2d")
_table(_adaptive(3), "_adaptive_avg_pool3d adaptive_avg_pool3d adaptive_max_pool3d")
for _rank in (1, 2, 3):
    _table(_upsample(_rank, "nearest"), f"upsample_nearest{_rank}d _upsample_nearest_exact{_rank}d")
_table(_upsample(1, "linear"), "upsample_linear1d")
_table(_upsample(2, "linear"), "upsample_bilinear2d")
_table(_upsample(3, "linear"), "upsample_trilinear3d")
_table(_upsample(2, "cubic"), "upsample_bicubic2d")
_table(pad, "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d "
       "replication_pad1d replication_pad2d replication_pad3d")
_table(pixel_shuffle, "pixel_shuffle")
_table(pixel_unshuffle, "pixel_unshuffle")
_table(reduction, "mean sum nansum prod amax amin max min argmax argmin var var_mean std std_mean "
       "logsumexp norm linalg_vector_norm any all median mode count_nonzero aminmax")
_table(mixing, "_softmax _log_softmax _safe_softmax sort argsort topk kthvalue renorm")
_table(cumulative, "cumsum cumprod cummax cummin logcumsumexp")
_table(layer_norm, "native_layer_norm _fused_rms_norm")
_table(group_norm, "native_group_norm")
_table(batch_norm, "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training "
       "cudnn_batch_norm miopen_batch_norm _batch_norm_with_update _batch_norm_no_update")
_table(matrix_product, "mm bmm addmm baddbmm mv addmv dot")
_table(attention, "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
       "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention")
_table(embedding, "embedding")
_table(anywhere, "grid_sampler_2d grid_sampler_3d grid_sampler_2d_cpu_fallback index gather "
       "index_select scatter scatter_add index_put index_add index_copy _fft_r2c _fft_c2r "
       "_fft_c2c take take_along_dim masked_select nonzero _cdist_forward _embedding_bag")
_table(unfold, "im2col col2im unfold")
