"""Models: the networks, optimizers, schedulers and loaders that have been met, held weakly."""

from __future__ import annotations

import operator
import weakref
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, SequentialSampler
from torch.utils.data.dataloader import _InfiniteConstantSampler

from chainrule.analysis.twin import unwrapped
from chainrule.diagnosis.answer import LoaderSeen
from chainrule.diagnosis.parameters import held
from chainrule.diagnosis.places import Place, is_users, place_of, user_frame, user_place


@dataclass(eq=False)
class Model:
    """A network that the script calls by itself, not inside another one.

    Attributes:
        name: the variable that holds it where it is called; its class where there is none.
        kind: its class.
        place: the line that calls it.
        made: the line that made it; None where it was not seen.
        training, evaluation: forward passes with and without gradients.
        trained_in_evaluation: passes of training while in evaluation mode.
        later, later_in_evaluation: passes of training after a first evaluation, and those of them
            in evaluation mode.
        evaluated_in_training: passes without gradients while in training mode.
    """

    name: str
    kind: str
    module: weakref.ref[nn.Module]
    place: Place | None = None
    made: Place | None = None
    training: int = 0
    evaluation: int = 0
    trained_in_evaluation: int = 0
    later: int = 0
    later_in_evaluation: int = 0
    evaluated_in_training: int = 0
    evaluation_place: Place | None = None
    modal: tuple[str, ...] = ()

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Names and parameters as they are now; empty once the network is gone."""
        module = self.module()
        return [] if module is None else list(unwrapped(module).named_parameters())


@dataclass(eq=False)
class Rule:
    """An optimizer.

    Attributes:
        name: its class.
        made, stepped: the lines that made it and that call ``step``.
        steps: updates so far.
        heard, backwards: updates of which ``backward`` was heard, and its calls before them.
        scaler: whether a gradient scaler steps it.
        scaled_by: that scaler.
        holds: the parameters it had in its last step.
        born: steps that had been made when it was made.
        last: the last step in which it was heard.
    """

    name: str
    optimizer: weakref.ref[Optimizer]
    made: Place | None = None
    stepped: Place | None = None
    steps: int = 0
    heard: int = 0
    backwards: int = 0
    scaler: bool = False
    scaled_by: weakref.ref[Any] | None = None
    born: int = 0
    last: int = 0
    holds: list[weakref.ref[Tensor]] = field(default_factory=list)

    def keep(self, optimizer: Optimizer) -> None:
        """Remember what it holds: it may be gone, with the function it was made in, before us."""
        parts = held([optimizer])
        if len(parts) != len(self.holds):
            self.holds = [weakref.ref(part) for part in parts]

    def is_remade(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer takes the place of this one, that is gone, over the same weights."""
        if self.optimizer() is not None or not self.holds:
            return False
        kept, parts = [reference() for reference in self.holds], held([optimizer])
        return len(parts) == len(kept) and all(map(operator.is_, parts, kept))


@dataclass(eq=False)
class Schedule:
    """A learning-rate schedule: its class, where it was made, and its optimizer."""

    name: str
    scheduler: weakref.ref[Any]
    made: Place | None = None


@dataclass(eq=False)
class Loader:
    """A DataLoader: where it was made, how many passes over it have begun, what it is like."""

    loader: weakref.ref[Any]
    made: Place | None = None
    passes: int = 0
    seen: LoaderSeen | None = None

    def begin(self, loader: DataLoader[Any]) -> None:
        """One more pass."""
        self.passes += 1
        self.seen = LoaderSeen(
            _length(loader.dataset), loader.batch_size, _shuffles(loader), loader.drop_last,
            loader.num_workers, self.passes, self.made,
        )  # fmt: skip


@dataclass(eq=False)
class Cast:
    """Everything that was met, in the order of meeting it."""

    models: list[Model] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    schedules: list[Schedule] = field(default_factory=list)
    loaders: list[Loader] = field(default_factory=list)
    lines: dict[str, Place | None] = field(default_factory=dict)  # by function, where called
    own: list[tuple[str, weakref.ref[Tensor]]] = field(default_factory=list)
    assembled: weakref.WeakKeyDictionary[nn.Module, Place] = field(
        default_factory=weakref.WeakKeyDictionary
    )
    made: weakref.WeakKeyDictionary[Any, Place] = field(default_factory=weakref.WeakKeyDictionary)

    def note_own(self, leaves: list[Tensor]) -> None:
        """Weights that are no network's: named by the variables that hold them."""
        known = {id(item) for _, reference in self.own if (item := reference()) is not None}
        frame = user_frame()
        for number, leaf in enumerate(leaves):
            if id(leaf) not in known:
                name = name_of(leaf, frame) or f"tensor {number}"
                self.own.append((name, weakref.ref(leaf)))

    def own_weights(self) -> list[tuple[str, Tensor]]:
        """Names and weights that are no network's."""
        return [(name, item) for name, reference in self.own if (item := reference()) is not None]

    def note_made(self, made: Any) -> None:
        """An optimizer, scheduler or loader is being made here; constructors of parents too."""
        place = user_place()
        if place is None or made in self.made:
            return
        self.made[made] = place
        if isinstance(made, Optimizer):
            self.rules.append(Rule(type(made).__name__, weakref.ref(made), place))
        elif isinstance(made, LRScheduler):
            self.schedules.append(Schedule(type(made).__name__, weakref.ref(made), place))
        else:
            self.loaders.append(Loader(weakref.ref(made), place))

    def note_assembled(self, child: nn.Module) -> None:
        """A module has been made part of another on this line."""
        place = user_place()
        if place is not None:
            self.assembled.setdefault(child, place)

    def model(self, module: nn.Module) -> Model:
        """The record of a network; made when it is met for the first time."""
        for item in self.models:
            if item.module() is module:
                return item
        frame = user_frame()
        inner = unwrapped(module)
        name = name_of(module, frame) or name_of(inner, frame) or type(inner).__name__
        if any(item.name == name for item in self.models):
            name = f"{name} {1 + sum(item.name.startswith(name) for item in self.models)}"
        found = Model(
            name, type(inner).__name__, weakref.ref(module), place_of(frame),
            _line_of_class(inner), modal=modal_layers(inner),
        )  # fmt: skip
        self.models.append(found)
        return found

    def rule(self, optimizer: Optimizer) -> Rule:
        """The record of an optimizer."""
        found = next((item for item in self.rules if item.optimizer() is optimizer), None)
        if found is None:
            found = Rule(type(optimizer).__name__, weakref.ref(optimizer))
            self.rules.append(found)
        if not found.steps:
            found = self._remade(found, optimizer)
        found.keep(optimizer)
        return found

    def _remade(self, fresh: Rule, optimizer: Optimizer) -> Rule:
        """The record of an optimizer that the script makes anew again and again."""
        for earlier in self.rules:
            if earlier is not fresh and earlier.is_remade(optimizer):
                earlier.optimizer, earlier.made = fresh.optimizer, fresh.made or earlier.made
                self.rules.remove(fresh)
                return earlier
        return fresh

    def loader(self, loader: Any) -> Loader:
        """The record of a DataLoader."""
        for item in self.loaders:
            if item.loader() is loader:
                return item
        found = Loader(weakref.ref(loader))
        self.loaders.append(found)
        return found

    def names(self) -> dict[int, str]:
        """Parameter to name, with the name of its network where there are several."""
        several = len(self.models) > 1
        own = {id(item): name for name, item in self.own_weights()}
        return own | {
            id(parameter): f"{model.name}.{name}" if several else name
            for model in reversed(self.models)
            for name, parameter in model.parameters()
        }

    def held(self) -> set[int]:
        """Identities of the parameters that an optimizer holds; once all are gone, that held."""
        living = [optimizer for rule in self.rules if (optimizer := rule.optimizer()) is not None]
        if not living:
            kept = (reference() for rule in self.rules for reference in rule.holds)
            return {id(part) for part in kept if part is not None}
        return {id(part) for part in held(living)}

    def trainable(self) -> list[Tensor]:
        """All parameters of all networks and optimizers, each once."""
        found: dict[int, Tensor] = {id(item): item for _, item in self.own_weights()}
        found.update((id(item), item) for model in self.models for _, item in model.parameters())
        for rule in self.rules:
            optimizer = rule.optimizer()
            for group in optimizer.param_groups if optimizer is not None else ():
                found.update((id(item), item) for item in group["params"])
        return [item for item in found.values() if item.requires_grad]


def _length(data: Any) -> int | None:
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        return None


def _shuffles(loader: DataLoader[Any]) -> bool:
    """Whether the order is drawn anew; of a sampler that we do not know it is assumed."""
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    return not isinstance(sampler, SequentialSampler | _InfiniteConstantSampler)


def modal_layers(module: nn.Module) -> tuple[str, ...]:
    """Layers that compute something else in evaluation mode.

    Examples:
        >>> modal_layers(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.BatchNorm1d(2)))
        ('1 (Dropout)', '2 (BatchNorm1d)')
    """
    return tuple(
        f"{name or 'network'} ({type(layer).__name__})"
        for name, layer in module.named_modules()
        if _is_modal(layer)
    )


def _is_modal(layer: nn.Module) -> bool:
    if isinstance(layer, nn.modules.dropout._DropoutNd):
        return layer.p > 0
    if isinstance(layer, nn.modules.batchnorm._NormBase):
        return bool(layer.track_running_stats)
    return isinstance(layer, nn.RNNBase | nn.MultiheadAttention) and bool(layer.dropout)


def name_of(value: Any, frame: FrameType | None) -> str:
    """The variable that holds a value: of a frame, its globals, or attributes of its ``self``.

    Examples:
        >>> import sys
        >>> network = object()
        >>> name_of(network, sys._getframe())
        'network'
    """
    if frame is None:
        return ""
    places = (frame.f_locals, frame.f_globals)
    for names in places:
        for name, item in list(names.items()):
            if item is value and not name.startswith("_") and name != "self":
                return str(name)
    owner = frame.f_locals.get("self")
    for name, item in list(getattr(owner, "__dict__", {}).items()):
        if item is value:
            return str(name)
    modules = getattr(owner, "_modules", None) or {}
    return next((name for name, item in modules.items() if item is value), "")


def _line_of_class(module: nn.Module) -> Place | None:
    """Where the class of a network is defined, if the user wrote it."""
    forward = getattr(type(module), "forward", None)
    code = getattr(forward, "__code__", None)
    if code is None or not is_users(code.co_filename):
        return None
    return Place(code.co_filename, code.co_firstlineno, code.co_name)


def autocast_of(device: str) -> str:
    """Dtype of the automatic mixed precision that is on, without "torch."; "" where it is off."""
    try:
        if torch.is_autocast_enabled(device):
            return str(torch.get_autocast_dtype(device)).removeprefix("torch.")
    except RuntimeError:  # a device that knows no autocast
        pass
    return ""
