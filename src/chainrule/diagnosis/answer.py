"""Watched: what was seen of a training, as numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.answer import Answer
from chainrule.diagnosis.facts import LossFacts, TensorFacts
from chainrule.diagnosis.origin import Origin
from chainrule.diagnosis.places import Place
from chainrule.finding import Finding

Series = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class ParameterSeen(Answer):
    """One parameter of a network.

    Attributes:
        name: as its network names it.
        shape: all axes.
        trainable: ``requires_grad``.
        held: whether an optimizer holds it.
        reached: whether a gradient has arrived at it in a step watched in full.
    """

    name: str
    shape: tuple[int, ...]
    trainable: bool
    held: bool
    reached: bool


@dataclass(frozen=True)
class ModelSeen(Answer):
    """A network that the script calls by itself.

    Attributes:
        name: the variable that holds it; its class where there is none.
        kind: its class.
        called: the line that calls it.
        defined: the line of its ``forward``, where the user wrote it.
        parameters: its parameters.
        training: forward passes with gradients that were heard (not all are).
        evaluation: forward passes without gradients that were heard.
        modal: layers that act differently in evaluation (dropout, batch normalization).
        trained_in_evaluation: heard passes of training while in evaluation mode.
        later, later_in_evaluation: heard passes of training after a first evaluation, and those of
            them in evaluation mode.
        evaluated_in_training: passes without gradients while in training mode, once training had
            begun.
        evaluated: the line of such a pass.
    """

    name: str
    kind: str
    called: Place | None
    defined: Place | None
    parameters: tuple[ParameterSeen, ...]
    training: int
    evaluation: int
    modal: tuple[str, ...] = ()
    trained_in_evaluation: int = 0
    later: int = 0
    later_in_evaluation: int = 0
    evaluated_in_training: int = 0
    evaluated: Place | None = None

    @property
    def size(self) -> int:
        """Number of parameters."""
        total = 0
        for item in self.parameters:
            numbers = 1
            for extent in item.shape:
                numbers *= extent
            total += numbers
        return total


@dataclass(frozen=True)
class OptimizerSeen(Answer):
    """An optimizer.

    Attributes:
        name: its class.
        groups: settings of its groups, with the number of parameters in each ("parameters").
        made, stepped: the lines that make it and that call ``step``.
        steps: updates.
        backwards: calls of ``backward`` per step; above 1 where gradients are accumulated.
        scheduler: class of its learning-rate schedule; "" without one.
        scheduled: the line that makes the schedule.
        scaler: whether a gradient scaler steps it.
        clipped: gradient norm before the step / after ``backward``, the smallest seen; None where
            nothing was clipped.
        clips: the line that clips.
        model: name of the network whose parameters it holds.
    """

    name: str
    groups: tuple[dict[str, float | int | bool | str], ...]
    made: Place | None
    stepped: Place | None
    steps: int
    backwards: float = 1.0
    scheduler: str = ""
    scheduled: Place | None = None
    scaler: bool = False
    clipped: float | None = None
    clips: Place | None = None
    model: str = ""


@dataclass(frozen=True)
class LoaderSeen(Answer):
    """A DataLoader.

    Attributes:
        examples: length of its data set; None where it has none.
        batch_size: None where batches are made in another way.
        shuffle: whether the order is drawn anew in each pass.
        drop_last: whether a smaller last minibatch is left out.
        workers: processes that load.
        passes: passes over it that have begun.
        made: the line that makes it.
    """

    examples: int | None
    batch_size: int | None
    shuffle: bool
    drop_last: bool
    workers: int
    passes: int
    made: Place | None


@dataclass(frozen=True)
class LayerSeen(Answer):
    """One layer in the last step that was watched in full.

    Attributes:
        name, operation, shape: of the layer and its output.
        mean, std: of its activations.
        zero: share of activations that are exactly 0.
        saturated: share where the slope is below 5 % of its maximum; None where that cannot be.
        dead, units, inputs: units that were off for all of so many inputs; None where none can be.
        gradient_norm, weight_norm: of its parameters; None without parameters.
        update_ratio: norm of the update / norm of the parameters.
        noise: share of the squared gradient norm that two minibatches in a row do not share.
        not_finite: activations that are NaN or infinite.
    """

    name: str
    operation: str
    shape: tuple[int, ...]
    mean: float | None
    std: float | None
    zero: float | None
    saturated: float | None
    dead: int | None
    units: int | None
    inputs: int | None
    gradient_norm: float | None
    weight_norm: float | None
    update_ratio: float | None
    noise: float | None
    not_finite: int = 0


@dataclass(frozen=True)
class Watched(Answer):
    """What was seen of a training.

    Attributes:
        script: the script with its arguments; "" for a watch inside a program.
        run: identifier of the kept run; "" where none was kept.
        folder: of the run.
        report: path of the HTML report; "" where none was written.
        ended: "finished", "stopped", "failed" or "running".
        error: what ended it, in one line.
        exit_code: of the script.
        steps: updates that were counted.
        sampled: steps watched in full.
        seconds: from the first step to the last.
        overhead: seconds spent watching the steps.
        models, optimizers, loaders: what was met.
        loss: the last loss call that was looked at; None where none was recognised.
        backward: the line that calls ``backward``.
        inputs: of the first minibatch.
        autocast: dtype of automatic mixed precision; "" without it.
        first_loss, last_loss: mean loss over the first and the last tenth of the steps (at most
            50); None without a step.
        constant: loss of the best constant answer to the targets seen (nats or their variance).
        accuracy: share of right answers in the last step looked at; None where there are none.
        series: names to ((step, value), ...), as the run store keeps them.
        layers: the last full sample.
        origin: of the first value that was not finite; None while all were.
        findings: symptoms, the gravest first.
        unseen: what could not be watched, and why.
        crash: modules that were running when the training broke down, with what they were given.

    Examples:
        >>> import torch
        >>> from chainrule.diagnosis.watch import watch
        >>> w = torch.ones(3, requires_grad=True)
        >>> with watch(runs=None) as watching:
        ...     for _ in range(4):
        ...         (w**2).sum().backward()
        ...         w.data -= 0.1 * w.grad
        ...         w.grad = None
        >>> [round(value, 4) for _, value in watching.result.series["train/loss"]]
        [3.0, 1.92, 1.2288, 0.7864]
    """

    script: str
    run: str
    folder: str
    report: str
    ended: str
    error: str
    exit_code: int
    steps: int
    sampled: int
    seconds: float
    overhead: float
    models: tuple[ModelSeen, ...]
    optimizers: tuple[OptimizerSeen, ...]
    loaders: tuple[LoaderSeen, ...]
    loss: LossFacts | None
    backward: Place | None
    inputs: TensorFacts | None
    autocast: str
    first_loss: float | None
    last_loss: float | None
    constant: float | None
    accuracy: float | None
    layers: tuple[LayerSeen, ...]
    origin: Origin | None
    findings: tuple[Finding, ...]
    unseen: tuple[str, ...] = ()
    crash: tuple[str, ...] = ()
    series: dict[str, Series] = field(default_factory=dict, repr=False)
