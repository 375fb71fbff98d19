"""Field rules: the table from operators to rules.

Operations that PyTorch tags as pointwise need no entry. An operation without a rule sees
everything, and the answer names it.
"""

from __future__ import annotations

from chainrule.analysis import rules
from chainrule.analysis import rules_axes as axes
from chainrule.analysis import rules_lookup as lookup
from chainrule.analysis import rules_mixing as mixing
from chainrule.analysis import rules_windows as windows
from chainrule.analysis.graph import Operation
from chainrule.analysis.rules import Rule


def rule_for(operation: Operation) -> Rule | None:
    """The rule of an operation, None when there is none."""
    name = operation.name
    found = RULES.get(operation.qualified_name) or RULES.get(name)
    if found is None and name.endswith("_"):
        found = RULES.get(name[:-1])
    if found is None and operation.pointwise:
        found = rules.pointwise
    return found


RULES: dict[str, Rule] = {}


def _table(rule: Rule, names: str) -> None:
    RULES.update(dict.fromkeys(names.split(), rule))


_table(
    rules.constant,
    "zeros ones full empty arange linspace eye scalar_tensor rand randn randint "
    "empty_strided new_zeros new_ones new_full new_empty new_empty_strided zeros_like "
    "ones_like full_like empty_like rand_like randn_like randint_like empty_permuted "
    "bernoulli bernoulli_ fill_ zero_ uniform_ normal_ tril_indices triu_indices",
)
_table(
    rules.same,
    "clone _to_copy detach alias lift_fresh contiguous native_dropout tril triu _conj",
)
_table(
    rules.pointwise,
    "hardswish hardsigmoid hardtanh rrelu_with_noise prelu _prelu_kernel "
    "log_sigmoid_forward where masked_fill lerp",
)
_table(rules.halves, "glu")
_table(rules.restrided, "as_strided_")
_table(rules.copied, "copy_ copy")
_table(axes.view, "view _unsafe_view reshape _reshape_alias squeeze flatten unflatten view_copy")
_table(axes.permute, "permute transpose t numpy_T")
_table(axes.unsqueeze, "unsqueeze")
_table(axes.expand, "expand expand_as")
_table(axes.sliced, "slice narrow")
_table(axes.select, "select")
_table(axes.split, "split split_with_sizes unsafe_split unsafe_split_with_sizes chunk")
_table(axes.unbind, "unbind")
_table(axes.flip, "flip")
_table(axes.roll, "roll")
_table(axes.cat, "cat concat")
_table(axes.stack, "stack")
_table(axes.repeat, "repeat")
_table(windows.convolution, "convolution _convolution convolution_overrideable mkldnn_convolution")
_table(windows.pool(2), "max_pool2d_with_indices avg_pool2d max_pool2d mkldnn_max_pool2d")
_table(windows.pool(3), "max_pool3d_with_indices avg_pool3d max_pool3d mkldnn_max_pool3d")
_table(windows.pool(1), "avg_pool1d max_pool1d max_pool1d_with_indices")
_table(windows.adaptive(1), "adaptive_avg_pool1d adaptive_max_pool1d")
_table(
    windows.adaptive(2),
    "_adaptive_avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d mkldnn_adaptive_avg_pool2d",
)
_table(windows.adaptive(3), "_adaptive_avg_pool3d adaptive_avg_pool3d adaptive_max_pool3d")
for _rank in (1, 2, 3):
    _table(
        windows.upsample(_rank, "nearest"),
        f"upsample_nearest{_rank}d _upsample_nearest_exact{_rank}d",
    )
_table(windows.upsample(1, "linear"), "upsample_linear1d")
_table(windows.upsample(2, "linear"), "upsample_bilinear2d")
_table(windows.upsample(3, "linear"), "upsample_trilinear3d")
_table(windows.upsample(2, "cubic"), "upsample_bicubic2d")
_table(
    windows.pad,
    "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d "
    "replication_pad1d replication_pad2d replication_pad3d",
)
_table(windows.pixel_shuffle, "pixel_shuffle")
_table(windows.pixel_unshuffle, "pixel_unshuffle")
_table(
    mixing.reduction,
    "mean sum nansum prod amax amin max min argmax argmin var var_mean std std_mean "
    "logsumexp norm linalg_vector_norm any all median mode count_nonzero aminmax",
)
_table(mixing.mixing, "_softmax _log_softmax _safe_softmax sort argsort topk kthvalue renorm")
_table(mixing.cumulative, "cumsum cumprod cummax cummin logcumsumexp")
_table(mixing.layer_norm, "native_layer_norm _fused_rms_norm")
_table(mixing.group_norm, "native_group_norm")
_table(
    mixing.batch_norm,
    "native_batch_norm _native_batch_norm_legit "
    "_native_batch_norm_legit_no_training "
    "cudnn_batch_norm miopen_batch_norm _batch_norm_with_update _batch_norm_no_update",
)
_table(mixing.matrix_product, "mm bmm addmm baddbmm mv addmv dot")
_table(
    mixing.attention,
    "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
    "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention",
)
_table(lookup.embedding, "embedding")
_table(lookup.indexed, "index")
_table(lookup.gathered, "gather index_select")
_table(lookup.scattered, "scatter scatter_add index_add index_copy")
_table(lookup.transformed, "_fft_r2c _fft_c2r _fft_c2c")
_table(lookup.as_pairs, "view_as_real")
_table(lookup.from_pairs, "view_as_complex")
_table(
    lookup.anywhere,
    "grid_sampler_2d grid_sampler_3d grid_sampler_2d_cpu_fallback index_put take "
    "masked_select nonzero _cdist_forward _embedding_bag",
)
_table(lookup.unfold, "im2col col2im unfold")
