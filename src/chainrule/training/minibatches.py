"""Minibatches: which examples a step sees, augmented and normalized, as a function of the step.

Order, augmentation and dropout draw from generators seeded by (seed, epoch) and (seed, step),
so a resumed run sees exactly what the uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chainrule.training.augmentation import MIXUP_ALPHA, augment_images, mixup, parse_augmentations
from chainrule.training.data.dataset import Dataset, Part
from chainrule.training.data.streaming import Blocks, stream
from chainrule.training.distributed import World, piece
from chainrule.training.draws import Draws, Share
from chainrule.training.execution import Execution, execution_of
from chainrule.training.recipe import Recipe

_ORDER, _STEP = 0, 1  # streams of random numbers that never meet


class Minibatch(NamedTuple):
    """What one step trains on.

    Attributes:
        inputs: (N, C, H, W) or (N, D), normalized and augmented.
        targets: what the loss gets: (N,) class indices, or (N, K) float.
        labels: what accuracy is measured against: the targets before mixup.
        share: share of the whole minibatch that this is; 0 for an example that only keeps a
            process busy when there are fewer examples than processes.
        examples: number of examples of the whole minibatch.
    """

    inputs: Tensor
    targets: Tensor
    labels: Tensor
    share: float
    examples: int

    @classmethod
    def whole(cls, inputs: Tensor, targets: Tensor, labels: Tensor) -> Minibatch:
        """All of a minibatch."""
        return cls(inputs, targets, labels, 1.0, len(labels))

    def rows(self, part: slice) -> Minibatch:
        """A part of this one."""
        labels = self.labels[part]
        share = self.share * len(labels) / len(self.labels)
        return Minibatch(self.inputs[part], self.targets[part], labels, share, self.examples)

    def parts(self, most: int | None, processes: int = 1) -> list[Minibatch]:
        """Cut into parts of at most ``most`` examples and nearly the same size.

        All processes get as many parts as the one with most examples, since they wait for each
        other in every part; where one has too few, an example without a share keeps it busy.
        """
        count = len(self.labels)
        largest = count if processes == 1 else max(count, -(-self.examples // processes))
        pieces = 1 if most is None else -(-largest // most)
        if pieces == 1:
            return [self]
        cuts = [piece(count, number, pieces) for number in range(pieces)]
        idle = self.rows(slice(0, 1))._replace(share=0.0)
        return [self.rows(cut) if cut.start < cut.stop else idle for cut in cuts]


def on_device(dataset: Dataset, device: torch.device) -> Dataset:
    """The data set with its tensors on ``device``; what is streamed stays in its file."""

    def move(part: Part) -> Part:
        if part.mapped is not None:
            return part
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
    return list(torch.tensor_split(order, minibatch_ends(examples, batch_size)[:-1]))


def minibatch_ends(examples: int, batch_size: int) -> list[int]:
    """Where each minibatch of an epoch ends, in examples from its beginning.

    Examples:
        >>> minibatch_ends(9, 4)
        [4, 9]
    """
    ends = list(range(batch_size, examples, batch_size))
    if batch_size > 1 and ends and examples - ends[-1] == 1:
        ends.pop()
    return [*ends, examples]


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Number of minibatches in an epoch.

    Examples:
        >>> steps_per_epoch(9, 4), steps_per_epoch(10, 4)
        (2, 3)
    """
    whole, rest = divmod(examples, batch_size)
    return max(1, whole + (rest > 1))


class Minibatches:
    """Makes the minibatches of a recipe from the training part of a data set.

    Args:
        dataset: on the device.
        recipe: with its augmentations.
        execution: whose memory format images are given in.
        here: this process, which gets its part of each minibatch.
    """

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        execution: Execution | None = None,
        here: World | None = None,
    ) -> None:
        self.dataset, self.recipe, self.here = dataset, recipe, here or World()
        self.execution = execution or execution_of(recipe)
        self.augmentations = parse_augmentations(recipe.augment)
        alphas = [item.strength for item in self.augmentations if item.name == "mixup"]
        self.mixup_alpha = (alphas[0] or MIXUP_ALPHA) if alphas else None

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Minibatch]:
        """The minibatches of one epoch, from number ``first`` on.

        Just before each one is handed out PyTorch's generators are seeded for that step, so
        that dropout too is a function of the step.
        """
        device, seed = self.dataset.mean.device, self.recipe.seed
        for number, (inputs, labels) in enumerate(self._drawn(epoch, first), start=first):
            rng = np.random.default_rng((seed, _STEP, epoch, number))
            # processes see different examples, whose dropout must not be the same
            _seed((int(rng.integers(2**63)) + self.here.rank) % 2**63, device)
            yield self._make(inputs.to(device), labels.to(device), rng)

    def _drawn(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels as they are in the data set."""
        train, seed, size = self.dataset.train, self.recipe.seed, self.recipe.batch_size
        if self.dataset.streamed:
            blocks = Blocks.of(train, size, seed)
            yield from stream(train, blocks, minibatch_ends(len(train), size), epoch, first)
            return
        for chosen in minibatch_indices(len(train), size, seed, epoch)[first:]:
            indices = chosen.to(train.inputs.device)
            yield train.inputs.index_select(0, indices), train.targets.index_select(0, indices)

    def _make(self, inputs: Tensor, labels: Tensor, rng: np.random.Generator) -> Minibatch:
        """This process's part of a minibatch; what is drawn is drawn for all of it."""
        count = len(labels)
        part = self.here.part(count)
        share = (part.stop - part.start) / count
        if not share:
            part = slice(0, 1)
        if self.mixup_alpha is None:
            inputs, labels = inputs[part], labels[part]
            drawn = rng if self.here.size == 1 else Share(rng, part, count)
            made = self._augmented(inputs, drawn)
            return Minibatch(self.execution.lay_out(made), labels, labels, share, count)
        made, targets = self._mixed(self._augmented(inputs, rng), labels, rng)
        made = self.execution.lay_out(made[part])
        return Minibatch(made, targets[part], labels[part], share, count)

    def _augmented(self, inputs: Tensor, rng: Draws) -> Tensor:
        dataset = self.dataset
        if dataset.image:  # bytes stay bytes, a quarter of the memory to move, until normalized
            inputs = augment_images(inputs, self.augmentations, rng, normalized=False)
        inputs = dataset.normalize(inputs)
        if dataset.image:
            inputs = augment_images(inputs, self.augmentations, rng, normalized=True)
        return inputs

    def _mixed(
        self, inputs: Tensor, labels: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mixed with other examples of the whole minibatch."""
        assert self.mixup_alpha is not None
        targets = labels
        if self.dataset.task == "classification":
            targets = F.one_hot(labels, self.dataset.outputs).to(inputs.dtype)
        return mixup(inputs, targets, rng, self.mixup_alpha)


def _seed(seed: int, device: torch.device) -> None:
    """Seed the generators a step draws from; asking for all devices' takes a tenth of a ms."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
