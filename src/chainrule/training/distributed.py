"""Distributed: the processes that train one network together, as torchrun starts them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from chainrule.errors import ChainruleError, RecipeError
from chainrule.record.environment import versions

T = TypeVar("T")
_LETTING_GO = 0.1  # seconds
_MUST_AGREE = ("chainrule", "torch", "numpy", "python")


def piece(count: int, number: int, pieces: int) -> slice:
    """Piece ``number`` of ``count`` examples cut into pieces that differ by one at most."""
    each, extra = divmod(count, pieces)
    start = number * each + min(number, extra)
    return slice(start, start + each + (number < extra))


@dataclass(frozen=True)
class World:
    """The processes of a run, seen from one of them. One process alone is a world of one.

    Attributes:
        rank: number of this process; 0 keeps the record.
        size: number of processes.
        device: of this process.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def main(self) -> bool:
        """Whether this process keeps the record, saves and prints."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's part of ``count`` examples; the first processes get one more.

        Examples:
            >>> [World(rank, 3).part(8) for rank in range(3)]
            [slice(0, 3, None), slice(3, 6, None), slice(6, 8, None)]
        """
        return piece(count, self.rank, self.size)

    def most(self, count: int) -> int:
        """The most examples of ``count`` that a process has."""
        return -(-count // self.size)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def agreed(self, value: T) -> T:
        """The first process's value, in all processes."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, 0)
        return box[0]

    def gathered(self, rows: Tensor, count: int) -> Tensor:
        """The rows of all processes, each of which has ``part(count)`` of them."""
        if self.size == 1:
            return rows
        most = self.most(count)
        padded = rows.new_zeros((most, *rows.shape[1:]))
        padded[: len(rows)] = rows
        every = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(every, padded)
        parts = [piece(count, rank, self.size) for rank in range(self.size)]
        sizes = [part.stop - part.start for part in parts]
        return torch.cat([one[:size] for one, size in zip(every, sizes, strict=True)])

    def same_buffers(self, module: nn.Module) -> None:
        """Give all processes the first one's buffers (running statistics)."""
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Context that fails in all processes when it fails in one; the first one says why."""
        error: ChainruleError | None = None
        try:
            yield
        except ChainruleError as raised:
            error = raised
        if self.size > 1:
            every: list[ChainruleError | None] = [None] * self.size
            dist.all_gather_object(every, error)
            error = next((one for one in every if one is not None), None)
            if error is not None and not self.main:
                sys.exit(error.exit_code)  # said once is enough
        if error is not None:
            raise error


@contextmanager
def world(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun started; a world of one without it.

    Args:
        device: "cpu" or "cuda"; each process takes a GPU of its own.

    Raises:
        RecipeError: another device, or other versions in one of the processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    elif device.type != "cpu":
        raise RecipeError(f"device {device} has no processes that train together: use cpu or cuda")
    store, rank, _ = next(rendezvous("env://"))
    # after a restart of --standalone the store still holds the addresses of the lost processes
    store = PrefixStore(f"chainrule-{_restarts()}", store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        found = World(dist.get_rank(), size, device)
        with found.together():
            _refuse_other_versions(found)
        yield found
    finally:
        # the group's end holds the interpreter's lock while it waits for its threads, which need
        # that lock to let go of their last tensors: they get a moment for it
        time.sleep(_LETTING_GO)
        dist.destroy_process_group()


@contextmanager
def said_once() -> Iterator[None]:
    """Context of what fails alike in all processes: only the first one says so."""
    try:
        yield
    except ChainruleError as error:
        if not speaks():
            sys.exit(error.exit_code)
        raise


def _refuse_other_versions(here: World) -> None:
    mine = {name: versions()[name] for name in _MUST_AGREE}
    every: list[dict[str, str]] = [{} for _ in range(here.size)]
    dist.all_gather_object(every, mine)
    for rank, theirs in enumerate(every):
        other = next((name for name in _MUST_AGREE if theirs[name] != every[0][name]), None)
        if other is not None:
            raise RecipeError(
                f"process {rank} has {other} {theirs[other]}, process 0 has {every[0][other]}: "
                "install the same on all machines"
            )


def speaks() -> bool:
    """Whether this process is the first of those that train together, or alone."""
    return os.environ.get("RANK", "0") == "0"


def launch() -> str:
    """What tells this start of torchrun from others, and is the same after a restart; ""."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ""
    given = os.environ["TORCHELASTIC_RUN_ID"]
    return given if given != "none" else f"agent-{os.getppid()}"


def restarted() -> bool:
    """Whether torchrun started this process again after one was lost."""
    return _restarts() > 0


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
