"""Minibatches: which examples a step sees, augmented and normalized, as a function of the step.

Order, augmentation and dropout draw from generators seeded by (seed, epoch) and (seed, step),
so a resumed run sees exactly what the uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chainrule.training.augmentation import MIXUP_ALPHA, augment_images, mixup, parse_augmentations
from chainrule.training.data.dataset import Dataset, Part
from chainrule.training.recipe import Recipe

_ORDER, _STEP = 0, 1  # streams of random numbers that never meet


@dataclass(frozen=True)
class Minibatch:
    """What one step trains on.

    Attributes:
        inputs: (N, C, H, W) or (N, D), normalized and augmented.
        targets: what the loss gets: (N,) class indices, or (N, K) float.
        labels: what accuracy is measured against: the targets before mixup.
    """

    inputs: Tensor
    targets: Tensor
    labels: Tensor


def on_device(dataset: Dataset, device: torch.device) -> Dataset:
    """The data set with all its tensors on ``device``."""

    def move(part: Part) -> Part:
        return Part(part.inputs.to(device), part.targets.to(device))

    return replace(
        dataset,
        train=move(dataset.train),
        validation=move(dataset.validation),
        test=move(dataset.test),
        mean=dataset.mean.to(device),
        std=dataset.std.to(device),
    )


def minibatch_indices(examples: int, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """The order of one epoch, cut into minibatches.

    A last minibatch of a single example joins the one before it: batch statistics of one
    example do not exist.

    Examples:
        >>> [len(part) for part in minibatch_indices(9, 4, seed=0, epoch=0)]
        [4, 5]
    """
    order = torch.from_numpy(np.random.default_rng((seed, _ORDER, epoch)).permutation(examples))
    cuts = list(range(batch_size, examples, batch_size))
    if batch_size > 1 and cuts and examples - cuts[-1] == 1:
        cuts.pop()
    return list(torch.tensor_split(order, cuts))


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Number of minibatches in an epoch.

    Examples:
        >>> steps_per_epoch(9, 4), steps_per_epoch(10, 4)
        (2, 3)
    """
    whole, rest = divmod(examples, batch_size)
    return max(1, whole + (rest > 1))


class Minibatches:
    """Makes the minibatches of a recipe from the training part of a data set."""

    def __init__(self, dataset: Dataset, recipe: Recipe) -> None:
        self.dataset, self.recipe = dataset, recipe
        self.augmentations = parse_augmentations(recipe.augment)
        alphas = [item.strength for item in self.augmentations if item.name == "mixup"]
        self.mixup_alpha = (alphas[0] or MIXUP_ALPHA) if alphas else None

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Minibatch]:
        """The minibatches of one epoch, from number ``first`` on.

        Just before each one is handed out PyTorch's generators are seeded for that step, so
        that dropout too is a function of the step.
        """
        recipe = self.recipe
        train = self.dataset.train
        indices = minibatch_indices(len(train), recipe.batch_size, recipe.seed, epoch)
        for number, chosen in enumerate(indices[first:], start=first):
            rng = np.random.default_rng((recipe.seed, _STEP, epoch, number))
            torch.manual_seed(int(rng.integers(2**63)))
            yield self._make(chosen.to(train.inputs.device), rng)

    def _make(self, chosen: Tensor, rng: np.random.Generator) -> Minibatch:
        dataset = self.dataset
        inputs, labels = dataset.train.inputs[chosen], dataset.train.targets[chosen]
        if self.augmentations and dataset.image:
            images = inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs
            images = augment_images(images, self.augmentations, rng, normalized=False)
            inputs = dataset.normalize(images)
            inputs = augment_images(inputs, self.augmentations, rng, normalized=True)
        else:
            inputs = dataset.normalize(inputs)
        targets = labels
        if self.mixup_alpha is not None:
            if dataset.task == "classification":
                targets = F.one_hot(labels, dataset.outputs).to(inputs.dtype)
            inputs, targets = mixup(inputs, targets, rng, self.mixup_alpha)
        return Minibatch(inputs, targets, labels)
