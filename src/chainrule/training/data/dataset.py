"""Dataset: examples in memory or in a mapped file, split, with what normalizes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from chainrule.training.data.mapped import Mapped

Task = Literal["classification", "multilabel", "regression"]
CHUNK = 4096  # examples
_SAMPLES, _SAMPLED = 64, 16  # blocks of a file that are taken for its fingerprint, examples each


@dataclass(frozen=True)
class Part:
    """One part of a data set: train, validation or test.

    Attributes:
        inputs: (N, C, H, W) images, uint8 kept as uint8 or float32; or (N, D) float32.
        targets: (N,) int64 classes; (N, K) float32 labels (0 or 1) or numbers.
        rows: where the examples stand in ``inputs``, ascending; None: example n is row n.
        mapped: the file that ``inputs`` are a view of; None: they are in memory.
    """

    inputs: Tensor
    targets: Tensor
    rows: Tensor | None = None
    mapped: Mapped | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def select(self, indices: Tensor) -> Part:
        """The examples with these indices, in this order, in memory."""
        rows = indices if self.rows is None else self.rows[indices]
        return Part(self.inputs[rows], self.targets[indices])

    def keep(self, indices: Tensor) -> Part:
        """The same, left in the file where they are in one (``indices`` ascending)."""
        if self.mapped is None:
            return self.select(indices)
        rows = indices if self.rows is None else self.rows[indices]
        return Part(self.inputs, self.targets[indices], rows, self.mapped)

    def chunks(self, size: int, first: int = 0, end: int | None = None) -> Iterator[Tensor]:
        """The inputs of examples ``first`` to ``end`` in order, ``size`` at a time."""
        end = len(self) if end is None else end
        for start in range(first, end, size):
            stop = min(start + size, end)
            yield self.inputs[start:stop] if self.mapped is None else self.read(start, stop)[0]

    def first(self, count: int) -> Tensor:
        """The inputs of the first ``count`` examples."""
        return self.inputs[:count] if self.rows is None else self.inputs[self.rows[:count]]

    def read(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of examples ``start`` to ``stop``, copied out of a mapped file."""
        assert self.mapped is not None
        low, high = start, stop
        if self.rows is not None:
            low, high = int(self.rows[start]), int(self.rows[stop - 1]) + 1
        inputs = torch.from_numpy(self.mapped.read(low, high))
        if self.rows is not None:
            inputs = inputs[self.rows[start:stop] - low]
        return inputs, self.targets[start:stop]


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
    def streamed(self) -> bool:
        """Whether the training part stays in its file and is read as it is needed."""
        return self.train.mapped is not None

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
        shape = (1, -1, 1, 1) if self.image else (1, -1)
        centred = unit_range(inputs) - self.mean.view(shape)
        return centred.div_(self.std.view(shape))


def unit_range(inputs: Tensor) -> Tensor:
    """Bytes as float32 in [0, 1]; numbers as they are.

    Examples:
        >>> unit_range(torch.tensor([0, 255], dtype=torch.uint8)).tolist()
        [0.0, 1.0]
    """
    return inputs.float().div_(255) if inputs.dtype == torch.uint8 else inputs


def statistics(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel (N, C, H, W) or per feature (N, D), float32.

    Examples:
        >>> [value.tolist() for value in statistics(torch.tensor([[0.0, 5.0], [2.0, 5.0]]))]
        [[1.0, 5.0], [1.0, 1.0]]
    """
    return statistics_of(Part(inputs, inputs).chunks(CHUNK))


def statistics_of(chunks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """The same over chunks of the examples, of which one is in memory at a time.

    Counts, means and sums of squares of two chunks are merged as by Chan, Golub and LeVeque
    (1979), in double precision.
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for chunk in chunks:
        values = chunk.double() / (255 if chunk.dtype == torch.uint8 else 1)
        axes = (0, 2, 3) if chunk.dim() == 4 else (0,)
        more = values.numel() // values.shape[1]
        own = values.mean(axes)
        shape = (1, -1, 1, 1) if chunk.dim() == 4 else (1, -1)
        own_squares = (values - own.view(shape)).square().sum(axes)
        gap, total = own - mean, count + more
        squares = squares + own_squares + gap.square() * (count * more / total)
        mean = mean + gap * (more / total)
        count = total
    std = (squares / count).sqrt()
    return mean.float(), torch.where(std > 0, std, 1.0).float()


def fingerprint(parts: tuple[Part, ...]) -> str:
    """SHA-256 over shapes, types and bytes: the same files give the same on any machine.

    Of inputs that stay in a file 64 blocks of examples are taken, evenly spread, and the whole
    of their targets and places.
    """
    digest = hashlib.sha256()
    for part in parts:
        for tensor in (part.inputs, part.targets):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
            for piece in _sample(part) if tensor is part.inputs else [tensor]:
                digest.update(piece.contiguous().numpy().tobytes())
        if part.rows is not None:
            digest.update(part.rows.numpy().tobytes())
    return digest.hexdigest()


def _sample(part: Part) -> Iterator[Tensor]:
    if part.mapped is None:
        yield part.inputs
        return
    step = max(1, len(part) // _SAMPLES)
    for start in range(0, len(part), step):
        yield part.read(start, min(start + _SAMPLED, len(part)))[0]
