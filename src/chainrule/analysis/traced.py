"""Traced: a network's graphs in both modes, by whichever way it can be followed.

First without memory on the meta device; where the network's path depends on values (which no
tensor without memory has), by a run of a copy on the CPU. What stops both is said in one line,
with the layer and the user's own line of code.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from chainrule.analysis.graph import Call, Graph
from chainrule.analysis.inputs import Example, Inputs
from chainrule.analysis.tracer import TraceError, same_random_state, trace
from chainrule.analysis.tree import layers_of, parameters_of
from chainrule.analysis.twin import forget_laziness, submodule, unwrapped, weightless, with_weights
from chainrule.errors import ChainruleError, NetworkError, ShapeError
from chainrule.network.source import network

_OWN = str(Path(__file__).resolve().parents[1])
_TORCH = str(Path(torch.__file__ or "").resolve().parent)


@dataclass(frozen=True)
class Subject:
    """A network to be described.

    Attributes:
        module: the network; of one named by text a copy without memory.
        with_values: gives the network with real values, for runs.
        name: how it was named.
    """

    module: nn.Module
    with_values: Callable[[], nn.Module]
    name: str


@dataclass(frozen=True)
class Traced:
    """The graphs of a network.

    Attributes:
        evaluation: its forward pass in evaluation mode.
        training: its forward pass in training mode.
        twin: the copy that ran in evaluation mode.
        layers: its modules by path.
        parameters: its parameters by name.
        inputs: what went in.
        why: why it could not be traced without memory; "" when it could.
        only_evaluation: why it cannot run in training mode, whose numbers are then those of
            evaluation mode; "" when it can.
    """

    evaluation: Graph
    training: Graph
    twin: nn.Module
    layers: dict[str, nn.Module]
    parameters: dict[str, nn.Parameter]
    inputs: Inputs
    why: str = ""
    only_evaluation: str = ""


def subject_of(anything: Any, shape: tuple[int, ...] | None = None, name: str = "") -> Subject:
    """A network in any form; one named by text is built without memory where that works.

    Args:
        anything: a module, or what ``chainrule.network`` takes.
        shape: shape of one example, for notation without INPUT.
        name: how to call it; its text or class by default.
    """
    if isinstance(anything, nn.Module):
        module = unwrapped(anything)
        return Subject(module, lambda: module, name or type(module).__name__)

    def built(device: str) -> nn.Module:
        with same_random_state(), torch.device(device):
            return network(anything, input=shape)

    try:
        module = built("meta")
    except ChainruleError as error:
        if not isinstance(error.__cause__, Exception):
            raise
        module = built("cpu")  # some networks compute with values while they are built
    except Exception:  # noqa: BLE001
        module = built("cpu")
    return Subject(module, lambda: built("cpu"), name or str(anything))


def traced(subject: Subject, inputs: Inputs) -> Traced:
    """Trace ``subject`` in both modes.

    Raises:
        ShapeError: the input does not fit; names the layer and what it wants.
        NetworkError: the network cannot be run; names the line where it stopped.
    """
    if any(isinstance(item, torch.jit.ScriptModule) for item in layers_of(subject.module).values()):
        made = _both(subject, subject.with_values(), inputs, "real")
        return replace(made, why="scripted code cannot be followed without memory")
    try:
        return _both(subject, subject.module, inputs, "meta")
    except TraceError as failure:
        if isinstance(failure.error, ShapeError):
            raise _explained(failure, subject) from failure.error
        first = failure
    wanted = _as_tokens(inputs)
    if wanted is not None and "ndices" in str(first.error):
        return traced(subject, wanted)
    try:
        module = subject.with_values()
        if any(tensor.is_meta for tensor in module.parameters()):
            raise _explained(first, subject) from first.error
        why = f"it cannot be followed without memory ({_reason(first.error)})"
        return replace(_both(subject, module, inputs, "real"), why=why)
    except TraceError as failure:
        raise _explained(failure, subject) from failure.error


def _as_tokens(inputs: Inputs) -> Inputs | None:
    """The same examples as token numbers, where no type was given."""
    if not all(isinstance(item, Example) and item.dtype is None for item in inputs.positional):
        return None
    tokens = tuple(replace(item, dtype=torch.int64) for item in inputs.positional)
    return replace(inputs, positional=tokens)


def _both(
    subject: Subject, module: nn.Module, inputs: Inputs, way: Literal["meta", "real"]
) -> Traced:
    evaluation, twin = graph_of(module, inputs, way, training=False)
    why = ""
    try:
        # without memory the same copy can run again; with values it has changed
        again = twin if way == "meta" else None
        training, _ = graph_of(module, inputs, way, training=True, twin=again)
    except TraceError as failure:
        why = str(_explained(failure, subject))
        training = graph_of(module, inputs, way, training=False, keeping=True)[0]
    layers = layers_of(twin)
    return Traced(evaluation, training, twin, layers, parameters_of(layers), inputs, "", why)


def graph_of(
    module: nn.Module,
    inputs: Inputs,
    way: Literal["meta", "real"],
    *,
    training: bool,
    batch: int | None = None,
    twin: nn.Module | None = None,
    keeping: bool | None = None,
) -> tuple[Graph, nn.Module]:
    """The graph of a copy of ``module`` in one mode, and the copy.

    What autograd keeps is noted in training mode, or when ``keeping`` says so.
    """
    if twin is None:
        twin = weightless(module) if way == "meta" else with_weights(module)
    layers = layers_of(twin)
    _switch(twin, layers, module, training)
    device = "meta" if way == "meta" else "cpu"
    positional, named = inputs.tensors(device, batch, _dtype(twin))
    if any(isinstance(layer, LazyModuleMixin) for layer in layers.values()):
        with same_random_state(), torch.no_grad():
            twin(*positional, **named)  # gives lazy layers their sizes
        forget_laziness(twin)
    return trace(
        twin, positional, named, way, layers, keeping=training if keeping is None else keeping
    ), twin


def _switch(
    twin: nn.Module, layers: dict[str, nn.Module], module: nn.Module, training: bool
) -> None:
    """Set the mode; a network in training mode keeps the layers that were frozen on purpose."""
    modes = {path: layer.training for path, layer in layers_of(unwrapped(module)).items()}
    if not training or not modes.get("", False):
        try:
            twin.train(training)
        except Exception:  # noqa: BLE001 - a train() of the user's own may do anything
            modes = {}
        else:
            return
    for path, layer in layers.items():
        layer.training = modes.get(path, training)


def _dtype(module: nn.Module) -> torch.dtype:
    kinds = (item.dtype for item in module.parameters() if item.dtype.is_floating_point)
    return next(kinds, torch.float32)


# -- what went wrong -----------------------------------------------------------------------


def _explained(failure: TraceError, subject: Subject) -> ChainruleError:
    """One clear line for a forward pass that failed."""
    error, call = failure.error, failure.call
    layer = _where(call, subject)
    wanted = _misfit(failure, subject)
    if wanted:
        return ShapeError(f"{layer} {wanted}")
    if isinstance(error, ShapeError):
        return ShapeError(f"{layer} {error}; give a larger input, or change the layer")
    text = str(error)
    if "too small" in text or "greater than actual input size" in text:
        return ShapeError(
            f"{layer} gets a volume that is too small for its window ({_reason(error)}); give a "
            "larger input"
        )
    if isinstance(error, TypeError) and "forward()" in text:
        return ShapeError(
            f"{layer} cannot be called with this input ({_reason(error)}); give one input per "
            "argument of forward, by position or by name"
        )
    if _is_input_error(error):
        return ShapeError(f"{layer} cannot take its input: {_reason(error)}{_line_of(error)}")
    return NetworkError(f"{layer} stopped: {_reason(error)}{_line_of(error)}")


def _is_input_error(error: Exception) -> bool:
    words = ("shape", "size", "dimension", "mat1", "broadcast", "channels", "dtype", "Expected")
    return isinstance(error, RuntimeError | ValueError | IndexError) and any(
        word in str(error) for word in words
    )


def _where(call: Call, subject: Subject) -> str:
    if not call.path:
        return f"network {type(subject.module).__name__}"
    return f"layer '{call.path}' ({call.title})"


def _misfit(failure: TraceError, subject: Subject) -> str:
    """What the failing layer wants, gets, and how to mend it, for the layers that say it."""
    call = failure.call
    layer = submodule(subject.module, call.path)
    given = call.inputs[0].shape if call.inputs else ()
    wanted = getattr(layer, "in_features", None)
    if isinstance(wanted, int) and given and given[-1] != wanted:
        mend = _mend(failure, "features", "in_features", wanted, given[-1])
        return f"expects {wanted} input features, gets {given[-1]} ({_by(given)}): {mend}"
    name = "in_channels" if hasattr(layer, "in_channels") else "num_features"
    wanted = getattr(layer, name, None)
    if isinstance(wanted, int) and len(given) > 1 and given[1] != wanted:
        mend = _mend(failure, "channels", name, wanted, given[1])
        return f"expects {wanted} input channels, gets {given[1]} ({_by(given)}): {mend}"
    return ""


def _mend(failure: TraceError, what: str, name: str, wanted: int, given: int) -> str:
    if failure.at_input:
        return f"give an input with {wanted} {what}"
    return f"set {name}={given}, or give an input of the size it was made for"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 160 else f"{text[:159]}…"


def _line_of(error: Exception) -> str:
    """The user's own line that led to the error."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_OWN, _TORCH, "<"))
        and f"{os.sep}torch{os.sep}" not in frame.filename
    ]
    if not own:
        return ""
    frame = own[-1]
    return f" (at {frame.filename}:{frame.lineno}: {frame.line})"
