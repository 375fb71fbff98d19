"""Regularization of the weights: penalties R(W), the full loss, and the max-norm constraint."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from chainrule.nn.guard import check_choice, check_share, check_size
from chainrule.nn.weighted import Convolution, weight_groups, weighted_layers

PENALTIES = ("l2", "l1", "elastic")

_NORMALIZATIONS = (
    nn.modules.batchnorm._NormBase,  # batch, instance and synchronized batch normalization
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)


def regularized_parameters(
    module: nn.Module, biases: bool = False, norms: bool = False
) -> list[tuple[str, nn.Parameter]]:
    """The parameters that R touches: the weights, and more on request.

    Only parameters that require a gradient are given, and a shared one is given once, under
    its first name.

    Args:
        module: the network.
        biases: also parameters whose own name begins or ends with "bias", and PReLU slopes.
        norms: also scale and shift of normalization layers: those of PyTorch, and any layer
            with "Norm" in the name of its class whose parameters are vectors.

    Examples:
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        >>> [name for name, _ in regularized_parameters(net)]
        ['0.weight']
        >>> [name for name, _ in regularized_parameters(net, biases=True, norms=True)]
        ['0.weight', '0.bias', '1.weight', '1.bias']
    """
    chosen: dict[int, tuple[str, nn.Parameter]] = {}
    for prefix, layer in module.named_modules():
        for name, parameter in layer.named_parameters(prefix, recurse=False):
            if _is_normalization(layer, parameter):
                wanted = norms
            else:
                wanted = biases or not _is_bias(layer, name.rpartition(".")[2])
            if wanted and parameter.requires_grad:
                chosen.setdefault(id(parameter), (name, parameter))
    return list(chosen.values())


def penalty(
    parameters: Iterable[Tensor | tuple[str, Tensor]], kind: str = "l2", l1_ratio: float = 0.5
) -> Tensor:
    """R(W), the regularization loss before it is multiplied by the strength lambda::

        l2       R = 1/2 sum of W^2       gradient W, as the weight_decay of torch.optim
        l1       R = sum of |W|           gradient sign(W), 0 at the kink W = 0
        elastic  R = l1_ratio R_l1 + (1 - l1_ratio) R_l2

    The course writes the L2 penalty as sum of W^2, without the half: lambda there is half of
    the one here.

    Args:
        parameters: the tensors W, or (name, tensor) pairs as ``regularized_parameters`` gives.
        kind: "l2", "l1" or "elastic".
        l1_ratio: share of L1 in the elastic net, in [0, 1]; not used otherwise.

    Returns:
        a scalar; 0 when there are no parameters.

    Raises:
        RecipeError: unknown ``kind``, or ``l1_ratio`` outside [0, 1].

    Source: H. Zou and T. Hastie, Regularization and variable selection via the elastic net,
    J. R. Statist. Soc. B 67, 2005 (elastic).

    Examples:
        >>> weights = [torch.tensor([3.0, -4.0])]
        >>> penalty(weights), penalty(weights, "l1"), penalty(weights, "elastic")
        (tensor(12.5000), tensor(7.), tensor(9.7500))
    """
    share = _l1_share(kind, l1_ratio)
    total = torch.zeros(())
    for item in parameters:
        weights = item[1] if isinstance(item, tuple) else item
        if share > 0:
            total = total + share * weights.abs().sum()
        if share < 1:
            total = total + (1 - share) / 2 * weights.square().sum()
    return total


def full_loss(
    data_loss: Tensor,
    module: nn.Module,
    strength: float,
    kind: str = "l2",
    l1_ratio: float = 0.5,
    biases: bool = False,
    norms: bool = False,
) -> Tensor:
    """The loss that training minimizes: data loss plus regularization loss, ``L + lambda R(W)``.

    Args:
        data_loss: scalar.
        module: the network whose parameters R touches.
        strength: lambda, at least 0.
        kind: "l2", "l1" or "elastic", see ``penalty``.
        l1_ratio: share of L1 in the elastic net, in [0, 1].
        biases: whether R touches biases.
        norms: whether R touches scale and shift of normalization layers.

    Raises:
        RecipeError: unknown ``kind``, ``l1_ratio`` outside [0, 1], or ``strength`` negative
            or not finite.

    Examples:
        >>> layer = nn.Linear(1, 1)
        >>> _ = nn.init.constant_(layer.weight, 2.0)
        >>> full_loss(torch.tensor(1.0), layer, strength=0.5).item()  # 1 + 0.5 * (2^2 / 2)
        2.0
    """
    check_size("strength", strength, "use 0 for no regularization", zero=True)
    _l1_share(kind, l1_ratio)
    if strength == 0:
        return data_loss
    return data_loss + strength * penalty(
        regularized_parameters(module, biases, norms), kind, l1_ratio
    )


@torch.no_grad()
def apply_max_norm_(module: nn.Module, limit: float) -> None:
    """Shrink, in place, the incoming weights of each unit to an L2 norm of at most ``limit``::

        w_u <- w_u min(1, limit / ||w_u||)

    A unit's incoming weights are a row of a linear layer or a filter of a convolution
    (transposed ones too). Biases, other layers and frozen weights are left as they are. Meant
    to be called after each update.

    Args:
        module: the network.
        limit: largest norm, above 0; 3 or 4 is customary.

    Raises:
        RecipeError: ``limit`` is not a finite number above 0.
        NetworkError: a weight cannot be set, see ``weighted_layers``.

    Source: G. Hinton et al., Improving neural networks by preventing co-adaptation of feature
    detectors, 2012; N. Srivastava et al., Dropout, JMLR 15, 2014.

    Examples:
        >>> layer = nn.Linear(2, 2)
        >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
        >>> apply_max_norm_(layer, limit=1.0)
        >>> layer.weight.tolist() == torch.tensor([[0.6, 0.8], [0.3, 0.4]]).tolist()
        True
    """
    check_size("limit", limit, "3 or 4 is customary")
    for _, layer in weighted_layers(module):
        if not layer.weight.requires_grad:
            continue
        swapped = isinstance(layer, Convolution) and layer.transposed
        for weight in weight_groups(layer) if swapped else [layer.weight]:
            axes = tuple(range(1, weight.ndim))
            norm = torch.linalg.vector_norm(weight, dim=axes, keepdim=True)
            weight.mul_((limit / norm).clamp(max=1))


def _l1_share(kind: str, l1_ratio: float) -> float:
    check_choice("kind", kind, PENALTIES)
    check_share("l1_ratio", l1_ratio, "0 is pure L2, 1 is pure L1")
    return {"l2": 0.0, "l1": 1.0, "elastic": l1_ratio}[kind]


def _is_normalization(layer: nn.Module, parameter: nn.Parameter) -> bool:
    named_so = "norm" in type(layer).__name__.lower() and parameter.ndim <= 1
    return isinstance(layer, _NORMALIZATIONS) or named_so


def _is_bias(layer: nn.Module, name: str) -> bool:
    return name.startswith("bias") or name.endswith("bias") or isinstance(layer, nn.PReLU)
