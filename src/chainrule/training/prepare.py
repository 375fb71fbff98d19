"""Prepare: what a recipe leaves open is decided, and what cannot work is refused, before a run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.errors import ChainruleError, RecipeError, ShapeError
from chainrule.network.source import network as find_network
from chainrule.nn.initializers import initialize
from chainrule.training.augmentation import parse_augmentations
from chainrule.training.data.dataset import Dataset
from chainrule.training.data.load import load_data
from chainrule.training.recipe import Recipe

USUAL_LOSS = {"classification": "softmax", "multilabel": "bce", "regression": "mse"}
_LOSSES_FOR = {
    "classification": ("softmax", "svm", "squared-hinge", "mse", "bce"),
    "multilabel": ("bce", "mse"),
    "regression": ("mse",),
}
_SMALL_IMAGE = 14  # pixels; below this the deeper default network has nothing left to pool
_LSUV_EXAMPLES = 256
DEFAULT_STD = 0.01


def resolve_device(name: str) -> torch.device:
    """The device a recipe names; "auto" takes an accelerator when there is one.

    Raises:
        RecipeError: that device is not here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": _mps_count()}[device.type]
    if (device.index or 0) >= count:
        raise RecipeError(f"device {name!r} is not on this machine: use --device cpu")
    return device


def _mps_count() -> int:
    return int(torch.backends.mps.is_available())


def prepare_data(recipe: Recipe, given: Dataset | None) -> Dataset:
    """The recipe's data set, or the given one."""
    if given is not None:
        return given
    return load_data(
        recipe.data,
        directory=recipe.data_dir,
        seed=recipe.seed,
        validation_share=recipe.validation_share,
        test_share=recipe.test_share,
        target=list(recipe.target) or None,
        task="regression" if recipe.loss == "mse" and recipe.target else None,
        image_size=recipe.image_size,
        limit=recipe.limit or None,
        stream=recipe.stream,
    )


def resolve_recipe(recipe: Recipe, dataset: Dataset) -> Recipe:
    """The recipe with its open choices (network, loss) made for this data set.

    Raises:
        RecipeError: loss, augmentation or minibatch do not go with the data.
    """
    loss = recipe.loss or USUAL_LOSS[dataset.task]
    allowed = _LOSSES_FOR[dataset.task]
    if loss not in allowed:
        raise RecipeError(
            f"loss {loss!r} does not go with {dataset.task} targets of '{dataset.name}': use "
            f"{' or '.join(allowed)}"
        )
    if recipe.label_smoothing and loss != "softmax":
        raise RecipeError(f"label_smoothing contradicts loss {loss!r}: it belongs to softmax")
    if recipe.early_stopping and not len(dataset.validation):
        raise RecipeError("early_stopping needs validation examples: this data set has none")
    for name, _ in parse_augmentations(recipe.augment):
        if name != "mixup" and not dataset.image:
            raise RecipeError(
                f"augment {name!r} is for images; '{dataset.name}' has vectors of "
                f"{dataset.input_shape[0]}: leave it out"
            )
    if recipe.batch_size > len(dataset.train):
        raise RecipeError(
            f"batch_size {recipe.batch_size} is more than the {len(dataset.train)} training "
            f"examples of '{dataset.name}': lower it"
        )
    if recipe.average_flips and not dataset.image:
        raise RecipeError(
            f"average_flips is for images; '{dataset.name}' has vectors: leave it out"
        )
    network = _usual_network(dataset) if recipe.network == "auto" else recipe.network
    return recipe.model_copy(update={"loss": loss, "network": network})


def _usual_network(dataset: Dataset) -> str:
    if not dataset.image:
        return "mlp"
    return "digits" if min(dataset.input_shape[1:]) < _SMALL_IMAGE else "vgg-small"


def prepare_network(recipe: Recipe, dataset: Dataset, given: nn.Module | None) -> nn.Module:
    """The recipe's network (or the given one), initialized and shown to give fitting scores.

    Raises:
        NotationError, NetworkError, ShapeError: it cannot be found, read or fitted to the data.
    """
    shape, outputs = dataset.input_shape, dataset.outputs
    module = find_network(
        given if given is not None else recipe.network, input=shape, classes=outputs
    )
    example = dataset.normalize(dataset.train.first(2))
    _refuse_misfit(module, example, recipe.network, outputs)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise RecipeError(f"network '{recipe.network}' has no parameter to train: add a layer")
    batch = dataset.normalize(dataset.train.first(_LSUV_EXAMPLES))
    if recipe.initialization != "default":
        std = recipe.initialization_std or DEFAULT_STD
        initialize(module, recipe.initialization, batch=batch, std=std)
    return module


def _refuse_misfit(module: nn.Module, example: Tensor, name: str, outputs: int) -> None:
    """One forward pass of two examples in eval mode, which moves no statistics."""
    modes = [(layer, layer.training) for layer in module.modules()]
    device = next((item.device for item in module.parameters()), example.device)
    module.eval()
    try:
        with torch.no_grad():
            scores = module(example.to(device))
    except ChainruleError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ShapeError(
            f"network '{name}' cannot read examples of shape {tuple(example.shape[1:])}: {reason}"
        ) from error
    finally:
        for layer, training in modes:
            layer.training = training
    got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    if got != (len(example), outputs):
        raise ShapeError(
            f"network '{name}' gives {_shape_words(got)}, the data want {outputs} scores per "
            f"example: end it with FC-{outputs} (or CONV1-{outputs}, GAP)"
        )


def _shape_words(shape: tuple[int, ...] | str) -> str:
    if isinstance(shape, str):
        return f"a {shape}"
    return f"shape {shape[1:]} per example" if len(shape) != 2 else f"{shape[1]} scores"
