"""Streaming: an epoch over examples that do not fit into memory, shuffled by blocks.

The examples lie in blocks of half a megabyte. Each epoch draws an order of the blocks, reads as
many as fit into a buffer, and mixes the examples within it, while a thread reads the next ones:
the disk is read in order, and a minibatch draws from some two hundred places of the file. What
is drawn is a function of seed and epoch, as for data in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chainrule.training.data.ahead import ahead
from chainrule.training.data.dataset import Part

_Buffer = tuple[Tensor, Tensor, Tensor]  # inputs, targets, order
Indices = NDArray[np.int64]
BLOCK_BYTES, BUFFER_BYTES = 2**19, 2**27
_ORDER = 0  # the stream of random numbers of minibatches.py that decides the order


@dataclass(frozen=True)
class Blocks:
    """How an epoch goes through the examples.

    Attributes:
        examples: number of examples.
        block: examples that are read together.
        buffer: blocks that are mixed together.
        seed: of the run.
    """

    examples: int
    block: int
    buffer: int
    seed: int

    @classmethod
    def of(cls, part: Part, batch_size: int, seed: int) -> Blocks:
        """Blocks of half a megabyte, buffers of 128 megabytes and of four minibatches at least."""
        each = part.inputs[0].numel() * part.inputs.element_size()
        block = max(1, BLOCK_BYTES // each)
        held = max(BUFFER_BYTES // each, 4 * batch_size)
        return cls(len(part), block, max(2, held // block), seed)

    def buffers(self, epoch: int) -> list[Indices]:
        """The numbers of the blocks of each buffer, ascending within it."""
        count = -(-self.examples // self.block)
        order = np.random.default_rng((self.seed, _ORDER, epoch)).permutation(count)
        pieces = -(-count // self.buffer)  # of equal size: a small last one would mix badly
        return [np.sort(piece) for piece in np.array_split(order, pieces)]

    def sizes(self, buffers: list[Indices]) -> Indices:
        """Number of examples of each buffer."""
        return np.array([sum(stop - start for start, stop in self.spans(one)) for one in buffers])

    def spans(self, buffer: Indices) -> list[tuple[int, int]]:
        """Where each block of a buffer begins and ends, in positions of examples."""
        return [
            (int(at) * self.block, min((int(at) + 1) * self.block, self.examples)) for at in buffer
        ]

    def mix(self, epoch: int, number: int, size: int) -> Indices:
        """The order of the examples of buffer ``number``."""
        rng = np.random.default_rng((self.seed, _ORDER, epoch, number))
        return rng.permutation(size)


def stream(
    part: Part, blocks: Blocks, cuts: list[int], epoch: int, first: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets of the minibatches of one epoch, from number ``first`` on.

    Args:
        part: examples in a mapped file.
        blocks: how to go through them.
        cuts: where each minibatch ends, in examples from the beginning of the epoch.
        epoch: its number.
        first: minibatches to leave out.
    """
    buffers = blocks.buffers(epoch)
    ends = np.cumsum(blocks.sizes(buffers))
    at = cuts[first - 1] if first else 0
    number = int(np.searchsorted(ends, at, side="right"))
    skip = at - (int(ends[number - 1]) if number else 0)
    with closing(ahead(_buffers(part, blocks, buffers, epoch, number))) as loaded:
        pool = _Pool(loaded, skip)
        for end in cuts[first:]:
            yield pool.take(end - at)
            at = end


class _Pool:
    """Examples that are loaded and not yet handed out.

    Args:
        loaded: buffers, each with the order of its examples.
        skip: examples of the first buffer that were handed out before.
    """

    def __init__(self, loaded: Iterator[_Buffer], skip: int) -> None:
        self.loaded = loaded
        self.inputs, self.targets, self.order = next(loaded)
        self.at = skip

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        """The next ``count`` examples, from as many buffers as it takes."""
        pieces = []
        while count:
            if self.at == len(self.order):
                self.inputs, self.targets, self.order = next(self.loaded)
                self.at = 0
            chosen = self.order[self.at : self.at + count]
            pieces.append((self.inputs[chosen], self.targets[chosen]))
            self.at += len(chosen)
            count -= len(chosen)
        if len(pieces) == 1:
            return pieces[0]
        inputs, targets = zip(*pieces, strict=True)
        return torch.cat(inputs), torch.cat(targets)


def _buffers(
    part: Part, blocks: Blocks, buffers: list[Indices], epoch: int, first: int
) -> Iterator[_Buffer]:
    for number, buffer in enumerate(buffers[first:], start=first):
        pieces = [part.read(start, stop) for start, stop in blocks.spans(buffer)]
        inputs = torch.cat([piece[0] for piece in pieces])
        targets = torch.cat([piece[1] for piece in pieces])
        yield inputs, targets, torch.from_numpy(blocks.mix(epoch, number, len(targets)))
