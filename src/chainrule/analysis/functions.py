"""Functions: which function of PyTorch's a network calls, and two that are set right.

On the meta device PyTorch computes batch normalization and attention as on no real device; here
they are computed as on the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from chainrule.analysis.tracer import Tracer

_aten = torch.ops.aten


class Functions(TorchFunctionMode):
    """Notes which function of PyTorch's the network calls.

    Two functions that behave on the meta device as on no real one are set right.
    """

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer
        self._instead = _INSTEAD if tracer.graph.way == "meta" else {}

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        before = self._tracer.spelled
        self._tracer.spelled = (name, before[1] + 1)
        return self._instead.get(function, function)(*args, **(kwargs or {}))


def _batch_norm(
    input: Tensor,  # noqa: A002 - PyTorch's names
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Without the demand for several values per channel: a trace of one image has no values."""
    output: Tensor = _aten.native_batch_norm(
        input, weight, bias, running_mean, running_var, training, momentum, eps
    )[0]
    return output


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The fused kernel that the CPU takes; on the meta device PyTorch writes out the scores."""
    fused = (
        query.dim() == 4
        and not dropout_p
        and query.shape[-1] == value.shape[-1]
        and not (attn_mask is not None and attn_mask.requires_grad)
        and not enable_gqa
    )
    if not fused:
        return _plain_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.empty_like(attn_mask, dtype=query.dtype)
    output: Tensor = _aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, is_causal, attn_mask=attn_mask, scale=scale
    )[0]
    return output


def _multi_head_attention(*args: Any, **kwargs: Any) -> Any:
    """Functions inside functions are not seen by the mode, so the inner one is put in place."""
    original = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = _attention
    try:
        return functional.multi_head_attention_forward(*args, **kwargs)
    finally:
        functional.scaled_dot_product_attention = original


_plain_attention = functional.scaled_dot_product_attention
_INSTEAD = {
    functional.batch_norm: _batch_norm,
    functional.multi_head_attention_forward: _multi_head_attention,
    functional.scaled_dot_product_attention: _attention,
}
