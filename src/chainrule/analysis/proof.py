"""Proof: every column of a description a second, independent way, by running a copy.

Shapes by a real forward pass; parameters by counting; MACs by ``torch.utils.flop_counter``;
what autograd keeps by its own hooks on real tensors; the peak of memory by the allocator's own
events; receptive fields by putting a NaN into the input and seeing which units it reaches (a
gradient can underflow or lose a tie in max-pooling, a NaN cannot).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from chainrule.analysis.description import Description
from chainrule.analysis.field import Field
from chainrule.analysis.graph import Call, Graph, View
from chainrule.analysis.memory import inference_peak
from chainrule.analysis.receptive_field import Fields
from chainrule.analysis.traced import Subject, Traced
from chainrule.analysis.tracer import same_random_state
from chainrule.analysis.twin import with_weights
from chainrule.finding import Proof

_EXHAUSTIVE = 40  # an axis up to this length is probed at every position
_SAMPLES = 6
_Shapes = dict[tuple[str, int], tuple[int, ...]]


def proofs_of(answer: Description, subject: Subject, found: Traced) -> tuple[Proof, ...]:
    """The second way of every column.

    Args:
        answer: what was computed.
        subject: the network.
        found: its graphs.
    """
    module = subject.with_values()
    if any(item.is_meta for item in (*module.parameters(), *module.buffers())):
        note = "the network has no values (it lies on the meta device), so nothing can be run"
        return (Proof("everything", "a run of a copy", 0, (), note),)
    run = _Run(module, found)
    with same_random_state(), _plain_kernels(module):
        return (
            _attempt("output shapes", "a forward pass of a copy", lambda: _shapes(run, found)),
            _parameters(module, answer),
            _attempt("MACs", "torch.utils.flop_counter", lambda: _macs(run, answer)),
            _attempt(
                "bytes kept for the backward pass",
                "saved_tensors_hooks on real tensors",
                lambda: _saved(run, answer),
            ),
            _attempt(
                "most bytes held in inference",
                "real storages watched as they come and go",
                lambda: _peak(run, found),
            ),
            _attempt("receptive fields", "NaN put into the input", lambda: _fields(run, found)),
        )


class _Run:
    """Copies of a network, ready to run on the CPU with the inputs of a trace."""

    def __init__(self, module: nn.Module, found: Traced) -> None:
        self._module, self._found = module, found

    def copy(self, *, training: bool) -> nn.Module:
        twin = with_weights(self._module)
        return twin if training and self._module.training else twin.train(training)

    def inputs(self, twin: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kinds = (item.dtype for item in twin.parameters() if item.dtype.is_floating_point)
        return self._found.inputs.tensors("cpu", dtype=next(kinds, torch.float32))


@contextmanager
def _plain_kernels(module: nn.Module) -> Iterator[None]:
    """Without the fused kernels that hide their products from PyTorch's counter.

    The fused transformer layer runs in evaluation without autograd only; oneDNN's recurrent
    layer on the CPU only.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    recurrent = any(isinstance(layer, nn.RNNBase) for layer in module.modules())
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.backends.mkldnn.flags(enabled=torch.backends.mkldnn.enabled and not recurrent):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _attempt(claim: str, way: str, prove: Callable[[], Proof]) -> Proof:
    try:
        return prove()
    except Exception as error:  # noqa: BLE001 - a copy may fail to run in any way
        lines = str(error).splitlines() or [""]
        return Proof(claim, way, 0, (), f"could not be run: {type(error).__name__}: {lines[0]}")


def _watched(twin: nn.Module, see: Callable[[str, int, Any], None]) -> dict[str, int]:
    """Tell ``see`` of every module call; gives the counts of calls, to be cleared between runs."""
    counts: dict[str, int] = {}

    def hook(path: str) -> Callable[..., None]:
        def seen(_layer: nn.Module, _inputs: Any, output: Any) -> None:
            number = counts.get(path, 0)
            counts[path] = number + 1
            see(path, number, output)

        return seen

    for path, layer in twin.named_modules():
        layer.register_forward_hook(hook(path))
    return counts


def _first_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, tuple | list):
        return next((item for part in value if (item := _first_tensor(part)) is not None), None)
    if isinstance(value, dict):
        return _first_tensor(list(value.values()))
    return None


def _shapes(run: _Run, found: Traced) -> Proof:
    twin, seen = run.copy(training=False), {}
    _watched(twin, lambda path, number, out: seen.update({(path, number): _first_tensor(out)}))
    positional, named = run.inputs(twin)
    with torch.no_grad():
        twin(*positional, **named)
    computed = {
        (call.path, call.number): call.outputs[0].shape
        for call in found.evaluation.calls
        if call.outputs
    }
    proved = {key: tuple(value.shape) for key, value in seen.items() if value is not None}
    different = tuple(
        (path or "network", computed.get((path, number)), proved.get((path, number)))
        for path, number in sorted(computed.keys() | proved.keys())
        if computed.get((path, number)) != proved.get((path, number))
    )
    return Proof("output shapes", "a forward pass of a copy", len(proved), different)


def _parameters(module: nn.Module, answer: Description) -> Proof:
    counted = {id(item): item.numel() for item in module.parameters()}
    different = []
    if sum(counted.values()) != answer.totals.parameters:
        different.append(("total", answer.totals.parameters, sum(counted.values())))
    listed = sum(layer.parameters for layer in answer.layers)
    if listed != sum(counted.values()):
        different.append(("sum of the layers", listed, sum(counted.values())))
    return Proof("parameters", "counting the elements of the module", 2, tuple(different))


def _macs(run: _Run, answer: Description) -> Proof:
    twin = run.copy(training=False)
    positional, named = run.inputs(twin)
    counter = _counter()
    with counter, torch.no_grad():
        twin(*positional, **named)
    forward = counter.get_total_flops() // 2
    pairs = [("forward", answer.totals.macs, forward)]
    note = ""
    try:
        pairs.append(("backward", answer.totals.backward_macs, _backward(run) - forward))
    except RuntimeError as error:
        note = f"the backward pass could not be run: {str(error).splitlines()[0]}"
    return Proof(
        "MACs",
        "torch.utils.flop_counter",
        len(pairs),
        tuple(pair for pair in pairs if pair[1] != pair[2]),
        note,
    )


def _counter() -> FlopCounterMode:
    """PyTorch's counter, set right where it forgets the groups of a convolution's backward.

    The CPU's attention is not in its list; it is given the formula that the others have.
    """

    from torch.utils import flop_counter

    def convolution_backward(
        gradient: Any, source: Any, weight: Any, *rest: Any, out_shape: Any = None
    ) -> int:
        transposed, mask = rest[4], rest[7]
        places = source if transposed else gradient
        return int(2 * prod(places) * prod(weight[1:]) * (mask[0] + mask[1]))

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(flop_counter.sdpa_flop_count(query, key, value))

    def attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(flop_counter.sdpa_backward_flop_count(gradient, query, key, value))

    aten = torch.ops.aten
    mapping = {
        aten.convolution_backward: convolution_backward,
        aten._scaled_dot_product_flash_attention_for_cpu: attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
    }
    return FlopCounterMode(display=False, custom_mapping=mapping)


def _backward(run: _Run) -> int:
    """MACs of forward and backward together."""
    twin = run.copy(training=False)
    positional, named = run.inputs(twin)
    counter = _counter()
    with counter, torch.enable_grad():
        outputs = twin(*positional, **named)
        total = torch.zeros(())
        for item in _differentiable(outputs):
            total = total + item.sum()
        total.backward()
    return counter.get_total_flops() // 2


def _differentiable(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value] if value.requires_grad else []
    if isinstance(value, tuple | list):
        return [item for part in value for item in _differentiable(part)]
    if isinstance(value, dict):
        return _differentiable(list(value.values()))
    return []


def _saved(run: _Run, answer: Description) -> Proof:
    twin = run.copy(training=True)
    own = {item.untyped_storage()._cdata for item in (*twin.parameters(), *twin.buffers())}
    kept: dict[int, tuple[int, Any]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = (storage.nbytes(), storage)
        return tensor

    positional, named = run.inputs(twin)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = twin(*positional, **named)
    del outputs
    proved = sum(size for size, _ in kept.values())
    computed = answer.totals.training_bytes
    different = () if proved == computed else (("kept", computed, proved),)
    return Proof(
        "bytes kept for the backward pass", "saved_tensors_hooks on real tensors", 1, different
    )


class _Storages(TorchDispatchMode):
    """Adds up the real storages that are alive after every operation."""

    def __init__(self, before: list[Tensor]) -> None:
        super().__init__()
        self._known = {item.untyped_storage()._cdata for item in before}
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.most = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        outputs = function(*args, **(kwargs or {}))
        for tensor in _tensors(outputs):
            storage = tensor.untyped_storage()
            reference = StorageWeakRef(storage)
            if storage._cdata not in self._known and reference.cdata not in self._alive:
                self._alive[reference.cdata] = (reference, storage.nbytes())
        gone = [key for key, (reference, _) in self._alive.items() if reference.expired()]
        for key in gone:
            del self._alive[key]
        self.most = max(self.most, sum(size for _, size in self._alive.values()))
        return outputs


def _peak(run: _Run, found: Traced) -> Proof:
    """A real run holds what the graph says, and what variables of forward keep longer."""
    twin = run.copy(training=False)
    positional, named = run.inputs(twin)
    inputs = _tensors((positional, named))
    storages = _Storages([*inputs, *twin.parameters(), *twin.buffers()])
    with torch.no_grad(), storages:
        twin(*positional, **named)
    computed = inference_peak(found.evaluation)
    proved = storages.most + sum(item.nbytes for item in inputs)
    return Proof(
        "most bytes held in inference",
        "real storages watched as they come and go",
        1,
        () if proved >= computed else (("most held", computed, proved),),
        f"{computed:,} bytes needed, {proved:,} held by the forward code as it is written",
    )


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [item for part in value for item in _tensors(part)]
    return _tensors(list(value.values())) if isinstance(value, dict) else []


# -- receptive fields ----------------------------------------------------------------------


def _fields(run: _Run, found: Traced) -> Proof:
    fields = Fields(found.evaluation)
    claim, way = "receptive fields", "NaN put into the input"
    if not fields.axes:
        return Proof(claim, way, 0, (), "the input has no spatial axes")
    if not fields.source.dtype.is_floating_point:
        return Proof(claim, way, 0, (), "the input is not of floating point: no NaN can be put in")
    known = _known(fields, found.evaluation)
    twin = run.copy(training=False)
    positional, named = run.inputs(twin)
    source = _tensors((positional, named))[0]
    seen: dict[tuple[str, int], np.ndarray[Any, Any]] = {}
    counts = _watched(twin, lambda path, number, out: _note(seen, path, number, out))
    clean = source.clone()
    compared, different = 0, []
    for place, axis in enumerate(fields.axes):
        for position in _positions(source.shape[axis]):
            source.copy_(clean)
            source.select(axis, position).fill_(float("nan"))
            seen.clear()
            counts.clear()
            with torch.no_grad():
                twin(*positional, **named)
            for key, reached in seen.items():
                if key in known and known[key].shape == reached.shape:
                    compared += 1
                    wrong = _disagreement(known[key], place, position, reached)
                    if wrong is not None:
                        different.append((f"{key[0] or 'network'} {wrong}", *_told(
                            known[key], place, wrong, position)))
    note = "" if compared else "no layer of the network keeps the input's places"
    if fields.unknown:
        note = f"upper bounds only, for {', '.join(sorted(fields.unknown))} has no rule"
    return Proof(claim, way, compared, tuple(different[:20]), note)


def _positions(extent: int) -> list[int]:
    if extent <= _EXHAUSTIVE:
        return list(range(extent))
    inner = np.random.default_rng(0).integers(1, extent - 1, _SAMPLES - 2)
    return sorted({0, extent - 1, *(int(item) for item in inner)})


def _known(fields: Fields, graph: Graph) -> dict[tuple[str, int], Field]:
    """The field of what each module call gave, at that time."""
    found = {}
    for call in graph.calls:
        if call.outputs:
            field = _field_at(fields, graph, call, call.outputs[0])
            if field is not None:
                found[call.path, call.number] = field
    return found


def _field_at(fields: Fields, graph: Graph, call: Call, view: View) -> Field | None:
    """The field of ``view`` when ``call`` had ended: by the last operation that gave it."""
    inside = [item for item in graph.operations[call.first :] if _within(item.call, call)]
    for operation in reversed(inside):
        for output, field in zip(operation.outputs, fields.of(operation), strict=True):
            if (output.storage, output.shape) == (view.storage, view.shape):
                return field
    return None


def _within(call: Call | None, outer: Call) -> bool:
    while call is not None:
        if call is outer:
            return True
        call = call.parent
    return False


def _note(
    seen: dict[tuple[str, int], np.ndarray[Any, Any]], path: str, number: int, output: Any
) -> None:
    tensor = _first_tensor(output)
    if tensor is not None and tensor.is_floating_point():
        seen[path, number] = tensor.isnan().numpy()


def _disagreement(
    field: Field, place: int, position: int, reached: np.ndarray[Any, Any]
) -> tuple[int, ...] | None:
    """The first unit for which field and NaN disagree.

    Every unit that the NaN reaches must have the position within its box; every unit whose box
    begins or ends at the position must be reached. An upper bound owes only the first.
    """
    low = np.broadcast_to(field.reach.low[place], reached.shape)
    high = np.broadcast_to(field.reach.high[place], reached.shape)
    wrong = reached & ((low > position) | (high < position))
    if not field.guessed:
        wrong = wrong | (~reached & (low <= high) & ((low == position) | (high == position)))
    if not wrong.any():
        return None
    return tuple(int(index) for index in np.argwhere(wrong)[0])


def _told(
    field: Field, place: int, unit: tuple[int, ...], position: int
) -> tuple[tuple[int, int], str]:
    shape = field.shape
    low = int(np.broadcast_to(field.reach.low[place], shape)[unit])
    high = int(np.broadcast_to(field.reach.high[place], shape)[unit])
    return (low, high), f"position {position} {'reaches' if not low <= position <= high else 'misses'}"
