"""Dataset: examples in memory, split, with the statistics that normalize them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Task = Literal["classification", "multilabel", "regression"]


@dataclass(frozen=True)
class Part:
    """One part of a data set: train, validation or test.

    Attributes:
        inputs: (N, C, H, W) images, uint8 kept as uint8 or float32; or (N, D) float32.
        targets: (N,) int64 classes; (N, K) float32 labels (0 or 1) or numbers.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def select(self, indices: Tensor) -> Part:
        """The examples with these indices, in this order."""
        return Part(self.inputs[indices], self.targets[indices])


@dataclass(frozen=True)
class Dataset:
    """A data set, split into train, validation and test part.

    Attributes:
        name: what it was asked for by.
        task: what the targets are.
        train: what is learned from.
        validation: what choices are made by (may be empty).
        test: what is reported on (may be empty).
        classes: names of the classes, of the labels, or of the target columns.
        mean: (C,) or (D,) float32, of the train part alone, uint8 counted as value / 255.
        std: the same; 1 where a feature is constant.
        fingerprint: SHA-256 over shapes, types and bytes of all parts.
        source: where it came from.

    Examples:
        >>> from chainrule.training.data.load import load_data
        >>> digits = load_data("digits")
        >>> digits.input_shape, digits.outputs, len(digits.train)
        ((1, 8, 8), 10, 1257)
    """

    name: str
    task: Task
    train: Part
    validation: Part
    test: Part
    classes: tuple[str, ...]
    mean: Tensor
    std: Tensor
    fingerprint: str
    source: str

    @property
    def image(self) -> bool:
        """Whether the examples are images (C, H, W) rather than vectors."""
        return self.train.inputs.dim() == 4

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example, without the minibatch axis."""
        return tuple(self.train.inputs.shape[1:])

    @property
    def outputs(self) -> int:
        """Number of scores a network must give per example."""
        return len(self.classes)

    def normalize(self, inputs: Tensor) -> Tensor:
        """``(inputs - mean) / std`` as float32; uint8 is divided by 255 first.

        Args:
            inputs: (N, C, H, W) or (N, D).
        """
        values = inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs
        shape = (1, -1, 1, 1) if self.image else (1, -1)
        return (values - self.mean.view(shape)) / self.std.view(shape)


def statistics(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel (N, C, H, W) or per feature (N, D), float32.

    Examples:
        >>> [value.tolist() for value in statistics(torch.tensor([[0.0, 5.0], [2.0, 5.0]]))]
        [[1.0, 5.0], [1.0, 1.0]]
    """
    axes = (0, 2, 3) if inputs.dim() == 4 else (0,)
    values = inputs.double() / (255 if inputs.dtype == torch.uint8 else 1)
    mean, std = values.mean(axes), values.std(axes, correction=0)
    return mean.float(), torch.where(std > 0, std, 1.0).float()


def fingerprint(parts: tuple[Part, ...]) -> str:
    """SHA-256 over shapes, types and bytes: the same files give the same on any machine."""
    digest = hashlib.sha256()
    for part in parts:
        for tensor in (part.inputs, part.targets):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
