"""Description: everything that can be known of a network before training, as plain facts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from chainrule.analysis.memory import MemoryUse
from chainrule.analysis.receptive_field import ReceptiveField
from chainrule.answer import Answer
from chainrule.finding import Finding, Proof


@dataclass(frozen=True)
class LayerDescription(Answer):
    """One layer: a module of PyTorch's, or an operation called as a function.

    Counts and bytes are for the minibatch that was described (one example by default).

    Attributes:
        name: its path in the module tree ("conv1", "layer1.0.add" for a function).
        operation: its class with the sizes that matter, or the name of the function.
        output: activation volume of one example, (C, H, W) or the shape it has; None if it
            gives no tensor.
        parameters: weights and biases; those of a shared layer count where first used.
        formula: how they come about ("10 x (5x5x1 + 1)"), "" when there are none.
        trainable: how many of them require a gradient.
        buffers: numbers in its buffers.
        macs: multiply-accumulates, forward.
        flops: floating-point operations, forward.
        backward_macs: multiply-accumulates, backward.
        backward_flops: floating-point operations, backward.
        activation_bytes: memory that it allocates in a forward pass; 0 for views and for
            operations in place.
        saved_bytes: how much of that autograd keeps for the backward pass.
        moved_bytes: bytes read and written, forward.
        receptive_field: what its units see of the input; None without spatial axes.
        depth: how deep in the module tree it stands.
        note: what a reader should know, "" when nothing.
        unknown: ATen operations in it that have no rule for their cost.
    """

    name: str
    operation: str
    output: tuple[int, ...] | None
    parameters: int = 0
    formula: str = ""
    trainable: int = 0
    buffers: int = 0
    macs: int = 0
    flops: int = 0
    backward_macs: int = 0
    backward_flops: int = 0
    activation_bytes: int = 0
    saved_bytes: int = 0
    moved_bytes: int = 0
    receptive_field: ReceptiveField | None = None
    depth: int = 0
    note: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def intensity(self) -> float | None:
        """Arithmetic intensity: FLOPs per byte moved, forward."""
        return self.flops / self.moved_bytes if self.moved_bytes else None

    def to_dict(self) -> dict[str, Any]:
        """With the arithmetic intensity."""
        return {**super().to_dict(), "intensity": self.intensity}


@dataclass(frozen=True)
class Totals(Answer):
    """Sums over the whole network; activations for the minibatch that was described.

    Attributes:
        parameters: weights and biases, each once.
        trainable: how many of them require a gradient.
        buffers: numbers in buffers.
        parameter_bytes: bytes of the parameters.
        buffer_bytes: bytes of the buffers.
        macs: multiply-accumulates, forward.
        flops: floating-point operations, forward.
        backward_macs: multiply-accumulates, backward.
        backward_flops: floating-point operations, backward.
        activation_bytes: sum of all activations that a forward pass allocates.
        inference_bytes: most activations held at once without autograd, the input included.
        training_bytes: activations kept by autograd for the backward pass, the input included.
    """

    parameters: int
    trainable: int
    buffers: int
    parameter_bytes: int
    buffer_bytes: int
    macs: int
    flops: int
    backward_macs: int
    backward_flops: int
    activation_bytes: int
    inference_bytes: int
    training_bytes: int


@dataclass(frozen=True)
class Connection(Answer):
    """A tensor that flows from one layer to another.

    Attributes:
        source: index of the layer that gives it; -1 for the input.
        target: index of the layer that takes it; -1 for the output.
        shape: its shape without the minibatch axis.
    """

    source: int
    target: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Description(Answer):
    """What ``describe`` answers.

    Attributes:
        network: how the network was named.
        inputs: shapes of the inputs, without the minibatch axis where shapes were given.
        batch: examples that the counts and bytes are for.
        layers: one row per layer, in the order in which they compute.
        totals: sums.
        memory: memory of a training step and of inference for ``batch`` examples.
        largest_batch: by update rule the largest minibatch that fits into the memory asked
            about, and "inference" without training; empty when none was asked about.
        budget: the memory asked about, bytes; None when none was.
        unknown: operations without a rule, by name, with what is not known of them.
        findings: what an engineer wants to know.
        proofs: each answer a second way; empty unless asked for.
        connections: which layer feeds which.
        modules: class of every module by its path.
        traced: "meta" (without memory) or "real" (a run of a copy on the CPU) ...
        traced_why: ... and why; "" for "meta".

    Examples:
        >>> from chainrule import describe
        >>> answer = describe("INPUT 8x8x1, CONV3-4, RELU, FC-10")
        >>> answer["fc1"].parameters, answer.totals.parameters
        (2570, 2610)
    """

    network: str
    inputs: tuple[tuple[int, ...], ...]
    batch: int
    layers: tuple[LayerDescription, ...]
    totals: Totals
    memory: MemoryUse
    largest_batch: dict[str, int]
    budget: int | None
    unknown: dict[str, str]
    findings: tuple[Finding, ...]
    proofs: tuple[Proof, ...]
    connections: tuple[Connection, ...]
    modules: dict[str, str] = field(default_factory=dict)
    traced: Literal["meta", "real"] = "meta"
    traced_why: str = ""

    @property
    def proved(self) -> bool:
        """Whether proofs were asked for and all of them hold."""
        return bool(self.proofs) and all(proof.holds for proof in self.proofs)

    def __getitem__(self, name: str) -> LayerDescription:
        """The layer called ``name``."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def folded(self, depth: int) -> Description:
        """The same with all that lies deeper than ``depth`` in one row per module.

        Args:
            depth: levels of the module tree to show, from 1; "layer1.0.conv1" is on the third.

        Examples:
            >>> from chainrule.analysis.describe import describe
            >>> short = describe("INPUT 8x8x1, RES[CONV3-4, RELU], FC-2").folded(1)
            >>> [layer.name for layer in short.layers]
            ['res1', 'flatten1', 'fc1']
        """
        groups: dict[str, list[int]] = {}
        for place, layer in enumerate(self.layers):
            groups.setdefault(_prefix(layer.name, depth), []).append(place)
        rows = tuple(
            _gathered(name, [self.layers[place] for place in places], self.modules)
            for name, places in groups.items()
        )
        where = {place: row for row, places in enumerate(groups.values()) for place in places}
        where[-1] = -1
        found: dict[tuple[int, int], Connection] = {}
        for item in self.connections:
            ends = (where[item.source], where[item.target])
            if ends[0] != ends[1] or ends == (-1, -1):
                found.setdefault(ends, Connection(*ends, item.shape))
        return replace(self, layers=rows, connections=tuple(found.values()))


def _prefix(name: str, depth: int) -> str:
    return ".".join(name.partition("#")[0].split(".")[:depth]) if name.count(".") >= depth else name


def _gathered(
    name: str, layers: list[LayerDescription], modules: dict[str, str]
) -> LayerDescription:
    """Rows of one module as a single row."""
    if len(layers) == 1 and layers[0].name == name:
        return layers[0]
    last = layers[-1]
    sums = {
        item: sum(getattr(layer, item) for layer in layers)
        for item in (
            *("parameters", "trainable", "buffers", "macs", "flops", "backward_macs"),
            *("backward_flops", "activation_bytes", "saved_bytes", "moved_bytes"),
        )
    }
    return LayerDescription(
        name,
        modules.get(name, last.operation),
        last.output,
        receptive_field=last.receptive_field,
        depth=name.count(".") + 1,
        note=f"{len(layers)} layers",
        unknown=tuple(sorted({item for layer in layers for item in layer.unknown})),
        **sums,
    )
