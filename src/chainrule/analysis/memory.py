"""Memory: bytes that a forward pass needs, and a training step, read off the graph.

Storages are followed, not tensors, so views and in-place operations cost nothing. What
autograd keeps was told by its own hooks while the graph was traced.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chainrule.analysis.graph import Graph, Storage
from chainrule.answer import Answer

# state per parameter, in parameters (torch.optim; Adam's step counter of 4 bytes a tensor apart)
STATE = {"sgd": 0, "momentum": 1, "nesterov": 1, "adagrad": 1, "rmsprop": 1, "adam": 2, "adamw": 2}


@dataclass(frozen=True)
class MemoryUse(Answer):
    """Bytes for a minibatch of ``batch`` examples.

    Attributes:
        batch: examples in the minibatch.
        parameters: weights and biases.
        buffers: running statistics and other constants of the network.
        gradients: one number per trainable parameter.
        optimizer: state of each update rule, by its name.
        inference: most activations held at once in a forward pass without autograd, the input
            included, each freed after its last use.
        saved: activations that autograd keeps for the backward pass, the input included.
        training: by update rule the most held at once in a training step: parameters, buffers,
            gradients, optimizer state, and activations with their gradients.
    """

    batch: int
    parameters: int
    buffers: int
    gradients: int
    optimizer: dict[str, int]
    inference: int
    saved: int
    training: dict[str, int]


def memory_use(evaluation: Graph, training: Graph, batch: int) -> MemoryUse:
    """Memory for a minibatch, from the graphs of both modes traced with that minibatch."""
    parameters = _bytes_of(training, "parameter")
    buffers = _bytes_of(training, "buffer")
    gradients = gradient_bytes(training)
    state = {rule: factor * gradients for rule, factor in STATE.items()}
    peak = step_peak(training)
    fixed = parameters + buffers + gradients
    return MemoryUse(
        batch,
        parameters,
        buffers,
        gradients,
        state,
        inference_peak(evaluation),
        saved_bytes(training),
        {rule: fixed + extra + peak for rule, extra in state.items()},
    )


def _bytes_of(graph: Graph, origin: str) -> int:
    return sum(item.bytes for item in graph.storages if item.origin == origin)


def gradient_bytes(graph: Graph) -> int:
    """Bytes of the gradients of all trainable parameters."""
    return sum(item.bytes for item in graph.storages if item.trainable)


def own(storage: Storage) -> bool:
    """Whether the forward pass or its caller made the storage: not a parameter, not a buffer."""
    return storage.origin in ("activation", "input", "constant")


def saved_bytes(graph: Graph) -> int:
    """Bytes of activations (and input) that autograd keeps for the backward pass."""
    return sum(item.bytes for item in graph.storages if item.saved is not None and own(item))


def last_uses(graph: Graph) -> dict[int, int]:
    """For each storage the last operation that touches it; outputs live to the end."""
    last = {}
    for operation in graph.operations:
        for view in (*operation.inputs, *operation.outputs):
            last[view.storage] = operation.index
    for view in (*graph.outputs, *graph.inputs):
        last[view.storage] = len(graph.operations)
    return last


def inference_peak(graph: Graph) -> int:
    """Most bytes of activations held at once, each freed after its last use."""
    last = last_uses(graph)
    spans = [
        (max(item.made, 0), last.get(number, max(item.made, 0)), item.bytes)
        for number, item in enumerate(graph.storages)
        if own(item)
    ]
    return _peak(spans)


def _peak(spans: Iterable[tuple[int, int, int]]) -> int:
    """Largest sum of bytes over (first, last, bytes) spans, both ends included."""
    changes: dict[int, int] = {}
    for first, last, size in spans:
        changes[first] = changes.get(first, 0) + size
        changes[last + 1] = changes.get(last + 1, 0) - size
    held = most = 0
    for _, change in sorted(changes.items()):
        held += change
        most = max(most, held)
    return most


def step_peak(graph: Graph) -> int:
    """Most bytes of activations and their gradients held at once in forward and backward.

    Time runs through the operations and back. What autograd keeps lives until the backward of
    the first operation that kept it; the gradient of an activation from the backward of its
    last consumer to that of its producer.
    """
    end = len(graph.operations)
    last = last_uses(graph)
    spans = []
    for number, item in enumerate(graph.storages):
        if not own(item):
            continue
        first, final = max(item.made, 0), last.get(number, max(item.made, 0))
        if item.saved is not None:
            final = max(final, _mirror(min(item.saved, end - 1), end))
        if item.origin == "input":
            final = _mirror(0, end)
        spans.append((first, final, item.bytes))
    return _peak([*spans, *_gradients(graph, last, end)])


def _mirror(index: int, end: int) -> int:
    """When the backward of operation ``index`` runs, on a clock that goes on after the forward."""
    return 2 * end - index


def _gradients(graph: Graph, last: dict[int, int], end: int) -> list[tuple[int, int, int]]:
    followed = {
        view.storage
        for operation in graph.operations
        for view in operation.inputs
        if view.requires_grad
    } | {view.storage for view in graph.outputs if view.requires_grad}
    return [
        (_mirror(min(last[number], end - 1), end), _mirror(item.made, end), item.bytes)
        for number, item in enumerate(graph.storages)
        if number in followed and item.origin == "activation"
    ]
