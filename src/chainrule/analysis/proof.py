"""Proof: every column of a description a second, independent way, by running a copy.

Shapes by a real forward pass; parameters by counting; MACs by ``torch.utils.flop_counter``;
what autograd keeps by its own hooks on real tensors; the peak of memory by watching when real
storages are made and freed; receptive fields by putting a NaN into the input and seeing which
units it reaches (a gradient can underflow or lose a tie in max-pooling, a NaN cannot).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from chainrule.analysis.description import Description
from chainrule.analysis.memory import inference_peak
from chainrule.analysis.nan_proof import fields_proof
from chainrule.analysis.running import Run, first_tensor, tensors_of, watched
from chainrule.analysis.traced import Subject, Traced
from chainrule.analysis.tracer import same_random_state
from chainrule.finding import Proof


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
    run = Run(module, found)
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
            _attempt(
                "receptive fields", "NaN put into the input", lambda: fields_proof(run, found)
            ),
        )


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
        with ExitStack() as stack:
            if recurrent:
                stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")  # the switch warns of a setting for other machines
                stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _attempt(claim: str, way: str, prove: Callable[[], Proof]) -> Proof:
    try:
        return prove()
    except Exception as error:  # noqa: BLE001 - a copy may fail to run in any way
        lines = str(error).splitlines() or [""]
        return Proof(claim, way, 0, (), f"could not be run: {type(error).__name__}: {lines[0]}")


def _shapes(run: Run, found: Traced) -> Proof:
    twin, seen = run.copy(training=False), {}
    watched(twin, lambda path, number, out: seen.update({(path, number): first_tensor(out)}))
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


def _macs(run: Run, answer: Description) -> Proof:
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
        return int(flop_counter.sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]

    def attention_backward(
        gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any
    ) -> int:
        count = flop_counter.sdpa_backward_flop_count(gradient, query, key, value)  # type: ignore[no-untyped-call]
        return int(count)

    aten = torch.ops.aten
    mapping = {
        aten.convolution_backward: convolution_backward,
        aten._scaled_dot_product_flash_attention_for_cpu: attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
    }
    return FlopCounterMode(display=False, custom_mapping=mapping)


def _backward(run: Run) -> int:
    """MACs of forward and backward together."""
    twin = run.copy(training=False)
    positional, named = run.inputs(twin)
    counter = _counter()
    with counter, torch.enable_grad():
        outputs = twin(*positional, **named)
        total = torch.zeros(())
        for item in _differentiable(outputs):
            total = total + item.sum()
        total.backward()  # type: ignore[no-untyped-call]
    return counter.get_total_flops() // 2


def _differentiable(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value] if value.requires_grad else []
    if isinstance(value, tuple | list):
        return [item for part in value for item in _differentiable(part)]
    if isinstance(value, dict):
        return _differentiable(list(value.values()))
    return []


def _saved(run: Run, answer: Description) -> Proof:
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


class _Storages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the real storages that are alive after every operation."""

    def __init__(self, before: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {item.untyped_storage()._cdata for item in before}
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.most = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        outputs = function(*args, **(kwargs or {}))
        for tensor in tensors_of(outputs):
            storage = tensor.untyped_storage()
            reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
            if storage._cdata not in self._known and reference.cdata not in self._alive:
                self._alive[reference.cdata] = (reference, storage.nbytes())
        gone = [key for key, (held, _) in self._alive.items() if held.expired()]  # type: ignore[no-untyped-call]
        for key in gone:
            del self._alive[key]
        self.most = max(self.most, sum(size for _, size in self._alive.values()))
        return outputs


def _peak(run: Run, found: Traced) -> Proof:
    """A real run holds what the graph says, and what variables of forward keep longer."""
    twin = run.copy(training=False)
    positional, named = run.inputs(twin)
    inputs = tensors_of((positional, named))
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
