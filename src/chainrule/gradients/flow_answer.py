"""Flow answer: how activations and gradients go through a network, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.answer import Answer
from chainrule.finding import Finding


@dataclass(frozen=True)
class Histogram(Answer):
    """Counts of values in bins of equal width.

    The ends are those of the first minibatch; what lies outside counts into the outer bins.

    Attributes:
        low: left end of the first bin.
        high: right end of the last bin.
        counts: values by bin; empty where no value was finite.
    """

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class SingularValues(Answer):
    """Singular values of a layer's Jacobian, outputs by inputs of one example.

    Attributes:
        largest: by how much a layer can stretch a small change; mean over examples.
        smallest: of the min(inputs, outputs) values; None where iterations do not resolve it.
        rms: root of the mean of their squares.
        shape: (outputs, inputs) of one example.
        examples: over how many examples the three are averaged; 1 where all have the same.
        method: "exact" or "lanczos" (largest to about 1 %, rms by 16 random directions).
    """

    largest: float
    smallest: float | None
    rms: float
    shape: tuple[int, int]
    examples: int
    method: str


@dataclass(frozen=True)
class RecurrentMatrix(Answer):
    """The matrix that takes the state of one time step to the next.

    Attributes:
        name: the parameter; of a gated layer with the gate ("weight_hh_l0[forget]").
        layer: the layer it belongs to.
        largest: largest singular value: a step stretches no gradient by more, but for the slope of
            the activation function (at most 1 for tanh and ReLU).
        smallest: smallest singular value.
        spectral_radius: largest magnitude of an eigenvalue: the factor per step in the long run.
        steps: time steps of the inputs looked at; None where that is not known.
        measured: the factor per step by which the gradient's norm does grow from the last step
            back to the first, with the slopes of the activation function; None for layers of
            PyTorch that go through all steps in one call.
        gated: whether gates (LSTM, GRU) open another way for the gradient.
    """

    name: str
    layer: str
    largest: float
    smallest: float
    spectral_radius: float
    steps: int | None
    gated: bool
    measured: float | None = None


@dataclass(frozen=True)
class SymmetricUnits(Answer):
    """Units of one layer with identical weights and identical gradients: they stay identical.

    Attributes:
        layer: its name.
        units: how many units the layer has.
        groups: indices of the units of each group of two or more.
    """

    layer: str
    units: int
    groups: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class LayerFlow(Answer):
    """One layer, in the order of the forward pass.

    Attributes:
        name: path of the module; of a function its name.
        operation: class of the module, or the function.
        shape: of its output for one example.
        calls: how often a forward pass uses it.
        mean: of its activations, over all inputs and positions, as all statistics here; None where
            none is finite, as with all numbers here.
        std: their standard deviation (divided by the count, not one less).
        smallest: the smallest activation.
        largest: the largest.
        zero: share of activations that are exactly 0, in [0, 1].
        saturated: share where the derivative of the activation function is below 5 % of its
            maximum (sigmoid: |x| > 4.36, tanh: |x| > 2.18); None for other layers.
        units: channels (N, C, ...) or features (..., F).
        dead: units of a rectified layer that are 0 for all inputs at all positions; None for
            other layers.
        not_finite: how many activations are NaN or infinite; they count in no other statistic.
        gradient_norm: root mean square over examples of the norm of the gradient of one example's
            loss with respect to the output; None where no gradient arrives.
        gradient_by_call: the same for each call, where there are several.
        parameter_norm: norm of all its own parameters; None without parameters.
        parameter_gradient: norm of the gradient of the mean loss with respect to them.
        update_ratio: norm of one update / norm of the parameters; None where that is 0.
        jacobian: singular values of its Jacobian; None where it has none that can be computed.
        histogram: of its activations.
    """

    name: str
    operation: str
    shape: tuple[int, ...]
    calls: int
    mean: float | None
    std: float | None
    smallest: float | None
    largest: float | None
    zero: float
    saturated: float | None
    units: int | None
    dead: int | None
    not_finite: int
    gradient_norm: float | None
    gradient_by_call: tuple[float | None, ...]
    parameter_norm: float | None
    parameter_gradient: float | None
    update_ratio: float | None
    jacobian: SingularValues | None
    histogram: Histogram


@dataclass(frozen=True)
class Flow(Answer):
    """How activations go forward through a network and gradients back.

    Attributes:
        network: what was looked at.
        mode: "training", "evaluation" or "mixed": the mode it was found in and run in.
        examples: inputs looked at.
        loss: name of the data loss; "random upstream gradient" without targets.
        loss_value: mean over all examples; None where it is not finite.
        update: the update rule of the update ratios, with its learning rate.
        layers: in the order of the forward pass.
        recurrent: recurrent matrices.
        symmetric: layers with units that are and stay identical.
        findings: what is not as it should be.
        notes: what was done to be able to look.

    Examples:
        >>> import chainrule, torch
        >>> found = chainrule.flow("INPUT 4, FC-8, RELU, FC-3", torch.ones(5, 4))
        >>> [row.operation for row in found.layers], found["relu1"].units
        (['Linear', 'ReLU', 'Linear'], 8)
    """

    network: str
    mode: str
    examples: int
    loss: str
    loss_value: float | None
    update: str
    layers: tuple[LayerFlow, ...]
    recurrent: tuple[RecurrentMatrix, ...] = ()
    symmetric: tuple[SymmetricUnits, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> LayerFlow:
        """The row of a layer, by its name."""
        return next(item for item in self.layers if item.name == name)
