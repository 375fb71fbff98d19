"""Describe: the verb. Everything that can be known of a network before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from chainrule.analysis.advice import findings_of
from chainrule.analysis.batches import largest_batches, parse_bytes
from chainrule.analysis.cost import Cost
from chainrule.analysis.description import Description, LayerDescription, Totals
from chainrule.analysis.inputs import Inputs, read_inputs, single_shape
from chainrule.analysis.layers import Layers
from chainrule.analysis.memory import inference_peak, memory_use, own, saved_bytes
from chainrule.analysis.traced import Subject, Traced, subject_of, traced
from chainrule.analysis.tracer import uncollected
from chainrule.analysis.tree import buffers_of
from chainrule.analysis.twin import left_out_hooks
from chainrule.analysis.walk import Fields
from chainrule.finding import Finding
from chainrule.network.spec import NetworkSpec

Network = str | Path | NetworkSpec | nn.Module
InputLike = tuple[int, ...] | str | Tensor | Sequence[Any] | Mapping[str, Any] | None


def describe(
    network: Network,
    input: InputLike = None,  # noqa: A002 - the notation's own word
    *,
    batch: int = 1,
    memory: int | str | None = None,
    prove: bool = False,
    name: str = "",
) -> Description:
    """Volumes, parameters, memory, MACs and receptive field of every layer, before training.

    Nothing is run with values and nothing is touched: the forward pass is followed on a copy
    without memory (PyTorch's meta device). Where the path of a network depends on values, a
    copy with values runs once on the CPU, and the answer says so.

    Args:
        network: a module, or what ``chainrule.network`` takes: notation, a zoo name,
            ``package.module:attribute``, ``file.py:Class``.
        input: shape of one example, ``(C, H, W)``, without the minibatch axis; a tensor with
            it; a sequence of these for several arguments, a mapping for named ones. Left out,
            it is taken from the network where that is safe.
        batch: examples in the minibatch that counts, bytes and the ``memory`` block are for.
        memory: a budget in bytes (or "24GB"): the answer names the largest minibatch that fits.
        prove: compute everything a second, independent way, and compare.
        name: how to call the network in the answer.

    Raises:
        NotationError, NetworkError: no such network, or it cannot be run.
        ShapeError: the input does not fit, or is not said and cannot be told.

    Source: V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning, 2016;
    A. Araujo, W. Norris and J. Sim, Computing receptive fields of convolutional neural
    networks, Distill 2019.

    Examples:
        >>> answer = describe("INPUT 32x32x1, CONV5-10, POOL2")
        >>> [(layer.output, layer.parameters) for layer in answer.layers]
        [((10, 32, 32), 260), ((10, 16, 16), 0)]
        >>> answer["pool1"].receptive_field.size
        (6, 6)
    """
    subject = subject_of(network, single_shape(input), name)
    inputs = read_inputs(input, subject.module, batch)
    budget = None if memory is None else parse_bytes(memory)
    with uncollected():
        found = traced(subject, inputs)
        answer = _assembled(subject, found, budget)
    return _proved(answer, subject, found) if prove else answer


def _proved(answer: Description, subject: Subject, found: Traced) -> Description:
    from dataclasses import replace

    from chainrule.analysis.proof import proofs_of

    return replace(answer, proofs=proofs_of(answer, subject, found))


def _assembled(subject: Subject, found: Traced, budget: int | None) -> Description:
    fields = Fields(found.evaluation)
    layers = Layers(found, fields)
    rows = layers.describe()
    unknown = _unknown(rows, fields)
    totals = _totals(found, layers.costs)
    return Description(
        network=subject.name,
        inputs=_input_shapes(found.inputs),
        batch=found.inputs.batch,
        layers=rows,
        totals=totals,
        memory=memory_use(found.evaluation, found.training, found.inputs.batch),
        largest_batch={} if budget is None else largest_batches(subject, found, budget),
        budget=budget,
        unknown=unknown,
        findings=(*findings_of(found, layers, rows, fields), *_hooks(subject)),
        proofs=(),
        connections=layers.connections(),
        modules={path: type(item).__name__ for path, item in found.layers.items()},
        traced=found.evaluation.way,
        traced_why=found.why,
    )


def _input_shapes(inputs: Inputs) -> tuple[tuple[int, ...], ...]:
    return inputs.shapes


def _totals(found: Traced, every: list[Cost]) -> Totals:
    parameters, buffers = found.parameters.values(), buffers_of(found.layers).values()
    graph = found.evaluation
    return Totals(
        parameters=sum(item.numel() for item in parameters),
        trainable=sum(item.numel() for item in parameters if item.requires_grad),
        buffers=sum(item.numel() for item in buffers),
        parameter_bytes=sum(item.numel() * item.element_size() for item in parameters),
        buffer_bytes=sum(item.numel() * item.element_size() for item in buffers),
        macs=sum(cost.macs for cost in every),
        flops=sum(cost.flops for cost in every),
        backward_macs=sum(cost.backward_macs for cost in every),
        backward_flops=sum(cost.backward_flops for cost in every),
        activation_bytes=sum(
            item.bytes for item in graph.storages if own(item) and item.origin == "activation"
        ),
        inference_bytes=inference_peak(graph),
        training_bytes=saved_bytes(found.training),
    )


def _unknown(rows: tuple[LayerDescription, ...], fields: Fields) -> dict[str, str]:
    """Operations without a rule, with what is not known of them."""
    costs = {name for row in rows for name in row.unknown}
    return {
        name: " and ".join(
            part
            for part, missing in (
                ("cost", name in costs),
                ("receptive field", name in fields.unknown),
            )
            if missing
        )
        for name in sorted(costs | set(fields.unknown))
    }


def _hooks(subject: Subject) -> tuple[Finding, ...]:
    count = left_out_hooks(subject.module)
    if not count:
        return ()
    return (
        Finding(
            "hooks-left-out",
            "",
            {"hooks": count},
            f"{count} forward hook{'s' * (count > 1)} of yours did not run: looking must not "
            "touch what they write to; if they change shapes, the table does not show it",
        ),
    )
