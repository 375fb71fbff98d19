"""Fitting: the largest part of a minibatch whose step fits into a given memory."""

from __future__ import annotations

import torch
from torch import nn

from chainrule.analysis.batches import parse_bytes
from chainrule.analysis.describe import describe
from chainrule.analysis.twin import with_weights
from chainrule.errors import RecipeError
from chainrule.training.data.dataset import Dataset
from chainrule.training.recipe import Recipe

# cut into parts of two, an odd minibatch would leave one example alone, which has no statistics
LEAST_WITH_STATISTICS = 3


def fit(recipe: Recipe, module: nn.Module, dataset: Dataset) -> Recipe:
    """The recipe with its ``memory`` turned into a ``micro_batch_size``.

    What a step takes is computed (``describe``), not tried: weights, gradients, the state of
    the update rule and all activations kept for the backward pass, in float32.

    Args:
        recipe: with or without ``memory``.
        module: the network.
        dataset: whose examples it sees.

    Raises:
        RecipeError: not even one example fits, or (with batch normalization) not three.
        ShapeError: ``memory`` is no number of bytes.
    """
    least = least_part(module)
    if recipe.micro_batch_size is not None and recipe.micro_batch_size < least:
        raise RecipeError(
            f"micro_batch_size {recipe.micro_batch_size} is too small for batch normalization, "
            f"which wants two examples in every part: give {least} or more"
        )
    if recipe.batch_size == 1 and least > 1:
        _refuse_statistics_of_one(module, dataset)
    if recipe.memory is None:
        return recipe
    budget = parse_bytes(recipe.memory)
    described = describe(module, dataset.input_shape, memory=budget)
    most = described.largest_batch[recipe.update_rule]
    if most < least:
        raise RecipeError(
            f"memory {recipe.memory!r} holds no training step of {least} example"
            f"{'s (batch normalization)' if least > 1 else ''} of '{recipe.network}': "
            f"chainrule describe shows what it takes; give more, or a smaller network"
        )
    if most >= recipe.batch_size:
        return recipe
    return recipe.model_copy(update={"micro_batch_size": most, "memory": None})


def _refuse_statistics_of_one(module: nn.Module, dataset: Dataset) -> None:
    """One example has statistics over places (after a convolution), not over itself."""
    example = dataset.normalize(dataset.train.first(1))
    try:
        with torch.no_grad():
            with_weights(module).train()(example.cpu())
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise RecipeError(
            "batch_size 1 leaves batch normalization no statistics to normalize by: give 2 or "
            "more, or leave BN out"
        ) from None


def least_part(module: nn.Module) -> int:
    """The fewest examples that parts of a minibatch may have."""
    return LEAST_WITH_STATISTICS if has_batch_statistics(module) else 1


def has_batch_statistics(module: nn.Module) -> bool:
    """Whether a layer of it normalizes by the statistics of the minibatch."""
    kinds = nn.modules.batchnorm._BatchNorm
    return any(isinstance(layer, kinds) for layer in module.modules())
