"""Minibatch: what networks are given, what they should say, and the way from one to the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.analysis.running import tensors_of
from chainrule.diagnosis.losses import LossCall
from chainrule.diagnosis.models import Model
from chainrule.diagnosis.tail import Heard
from chainrule.diagnosis.turn import Pass, Turn

_LONGEST = 24  # functions and networks between the first network and the loss
_POOLED = 100  # minibatches


@dataclass(frozen=True)
class Through:
    """A further network on the way to the loss.

    Attributes:
        network: its number, in the order in which networks were first trained.
        leaf: which of the tensors of its output leads on.
    """

    network: int
    leaf: int


@dataclass(frozen=True, eq=False)
class Link:
    """One function, or network, between the first network's output and the loss.

    Attributes:
        spots: places among ``args`` that are filled in anew, each with the number of the tensor:
            first those of the network's output, then the results of the links in their order.
    """

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    spots: tuple[tuple[int, int], ...]

    def follow(self, known: Sequence[Tensor], networks: Sequence[nn.Module]) -> Tensor:
        """Its result, from tensors that are known by now."""
        filled = dict(self.spots)
        args = [known[filled[at]] if at in filled else item for at, item in enumerate(self.args)]
        if isinstance(self.function, Through):
            output = networks[self.function.network](*args, **self.kwargs)
            return tensors_of(output)[self.function.leaf]
        found: Tensor = self.function(*args, **self.kwargs)
        return found


@dataclass(frozen=True, eq=False)
class Minibatch:
    """What the network was given, what it should have said, and how to find what it says.

    Attributes:
        args, kwargs: of the forward pass.
        target: of the loss call.
        leaf: which of the tensors of the output leads to the loss, where nothing is in between;
            -1: the loss is computed inside the network.
        links: functions and further networks from there to the loss call; the last one's result is
            what the loss is given.
        training: whether the script evaluates on it in training mode.
        root: number of the network that is given ``args``.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    target: Tensor
    leaf: int = 0
    links: tuple[Link, ...] = ()
    training: bool = False
    root: int = 0

    @property
    def examples(self) -> int:
        """Examples in it."""
        return len(self.target) if self.target.dim() else 1

    @property
    def inputs(self) -> Tensor | None:
        """The first tensor that the network gets."""
        return next(iter(tensors_of((list(self.args), self.kwargs))), None)

    @property
    def size(self) -> int:
        """Bytes."""
        found = tensors_of((list(self.args), self.kwargs))
        return sum(item.numel() * item.element_size() for item in (*found, self.target))

    @property
    def networks(self) -> tuple[int, ...]:
        """Numbers of the networks that take part, in the order in which they run."""
        further = (link.function for link in self.links)
        return (self.root, *(item.network for item in further if isinstance(item, Through)))

    @property
    def passes_only(self) -> bool:
        """Whether there is nothing but networks on the way: then it fits other inputs too."""
        return all(isinstance(link.function, Through) for link in self.links)

    def said(self, networks: Sequence[nn.Module]) -> Tensor | None:
        """What the loss is given; None where the output has changed beyond recognition.

        Args:
            networks: all that have been trained, in the order of their first passes.
        """
        if max(self.networks) >= len(networks):
            return None
        known = tensors_of(networks[self.root](*self.args, **self.kwargs))
        if self.leaf >= len(known):
            return None
        for link in self.links:
            known.append(link.follow(known, networks))
        return known[-1] if self.links else known[self.leaf]


def minibatch_of(
    called: Pass, call: LossCall, trail: Sequence[Heard], networks: Sequence[nn.Module] = ()
) -> Minibatch | None:
    """A minibatch as it was heard; None where the way to the loss is not known.

    Args:
        called: pass of the network that is given the minibatch.
        call: of the loss.
        trail: functions and further networks that were heard behind it.
        networks: all that have been trained, in the order of their first passes.
    """
    root = _number(called.model, networks)
    if call.target is None or root is None:
        return None
    leaves = [id(item) for item in tensors_of(called.output)]
    # a network that does not run first was heard as a step of the way: here it is where it begins
    made = {id(entry.output): entry for entry in trail if id(entry.output) not in leaves}
    bare = Minibatch(*copied((called.args, called.kwargs)), _copy(call.target), root=root)
    if id(call.input) in leaves:
        return replace(bare, leaf=leaves.index(id(call.input)))
    known = {*made, *leaves}
    way = _way(call.input, made, known)
    if id(call.input) not in made or len(way) > _LONGEST:
        return replace(bare, leaf=-1)
    places = {key: number for number, key in enumerate([*leaves, *(id(e.output) for e in way)])}
    links = [_link(entry, places, networks) for entry in way]
    if any(item is None for item in links):
        return None
    return replace(bare, links=tuple(item for item in links if item is not None))


def _way(last: Tensor, made: dict[int, Heard], known: set[int]) -> list[Heard]:
    """What leads to a tensor, in the order in which it was computed."""
    needed, waiting = set(), [last]
    while waiting:
        key = id(waiting.pop())
        if key in made and key not in needed:
            needed.add(key)
            waiting += [item for item in _tensors(made[key]) if id(item) in known]
    return [entry for key, entry in made.items() if key in needed]


def _tensors(entry: Heard) -> list[Tensor]:
    return [item for item in entry.args if isinstance(item, Tensor)]


def _link(entry: Heard, places: dict[int, int], networks: Sequence[nn.Module]) -> Link | None:
    spots = tuple(
        (at, places[id(item)]) for at, item in enumerate(entry.args) if id(item) in places
    )
    strange = [
        item for item in _tensors(entry) if item.grad_fn is not None and id(item) not in places
    ]
    in_place = any(number >= places[id(entry.output)] for _, number in spots)
    if (
        not spots or strange or in_place
    ):  # strange: from weights elsewhere; it would not follow them
        return None
    function = entry.function
    if isinstance(function, Model):
        number = _number(function, networks)
        if number is None:
            return None
        function = Through(number, entry.leaf)
    args = tuple(_copy(item) if isinstance(item, Tensor) else item for item in entry.args)
    return Link(function, args, entry.kwargs, spots)


def _number(model: Model, networks: Sequence[nn.Module]) -> int | None:
    module = model.module()
    found = (number for number, item in enumerate(networks) if item is module)
    return next(found, None) if networks else 0


def heard_of(turn: Turn, networks: Sequence[nn.Module]) -> Minibatch | None:
    """The minibatch of a step in which several networks take part, one behind the other.

    None where they do not: two that see different things, one that runs twice, several losses. One
    that makes the targets, as a teacher does, is none of them.
    """
    if len(turn.calls) != 1 or any(item.transformed for item in turn.passes):
        return None
    call = turn.calls[0]
    taught = sum(_leads(item, call.target, turn.trail) for item in turn.passes)
    for called in turn.passes:
        found = minibatch_of(called, call, turn.trail, networks)
        if found is None or found.leaf < 0 or _leads(called, call.target, turn.trail):
            continue
        if len(found.networks) == len(turn.passes) - taught:
            return found
    return None


def _leads(called: Pass, tensor: Tensor | None, trail: Sequence[Heard]) -> bool:
    """Whether a tensor is the output of a network, or was computed from it."""
    if tensor is None:
        return False
    leaves = {id(item) for item in tensors_of(called.output)}
    made = {id(entry.output): entry for entry in trail}
    way = _way(tensor, made, {*made, *leaves})
    return id(tensor) in leaves or any(id(item) in leaves for e in way for item in _tensors(e))


def pooled_inputs(items: Sequence[Minibatch]) -> Tensor | None:
    """Inputs of the first minibatches in one tensor, (N, ...); None where they are not alike."""
    found = [item.inputs for item in items[:_POOLED]]
    kept = [item for item in found if item is not None and item.is_floating_point() and item.dim()]
    if not kept or len({item.shape[1:] for item in kept}) != 1:
        return None
    return torch.cat(kept)


def copied(
    called: tuple[tuple[Any, ...], dict[str, Any]],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments and keywords with their tensors copied."""
    args, kwargs = called
    return tuple(_deep(item) for item in args), {name: _deep(item) for name, item in kwargs.items()}


def _deep(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _copy(value)
    if isinstance(value, dict):
        return {name: _deep(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_deep(item) for item in value)
    return value


def _copy(value: Tensor) -> Tensor:
    return value.detach().clone()
