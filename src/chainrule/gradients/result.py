"""Result: what a gradient check found, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.answer import Answer
from chainrule.finding import Finding

VERDICTS = ("correct", "kink", "cannot-tell", "wrong")  # from the mildest to the gravest


@dataclass(frozen=True)
class TensorCheck(Answer):
    """The gradient with respect to one tensor.

    Attributes:
        name: parameter or input.
        shape: its shape.
        max_relative_error: largest ``|a - n| / max(|a|, |n|, bound / 1e-7)`` over what was
            compared: the course's relative error, with a floor where the difference itself is too
            uncertain for a ratio to mean anything.
        verdict: "correct", "kink" (the point lies on a kink and the gradient is right beside it),
            "wrong", or "cannot-tell" (the difference is too uncertain).
        kinks: elements and directions whose difference first went across a kink.
        elements: how many numbers it has.
        compared: how many elements were compared one by one.
        directions: how many random directions were compared.
        unresolved: compared elements that no difference at this precision resolves.
        where: index of the worst element, None where that is a direction.
        analytic: gradient in question at the worst element or along the worst direction.
        numeric: the difference there.
        bound: uncertainty of that difference, by rounding and truncation.
        step: the h of that difference.
        note: what else must be said.
    """

    name: str
    shape: tuple[int, ...]
    max_relative_error: float
    verdict: str
    kinks: int
    elements: int
    compared: int
    directions: int
    unresolved: int
    where: tuple[int, ...] | None
    analytic: float
    numeric: float
    bound: float
    step: float
    note: str = ""


@dataclass(frozen=True)
class Culprit(Answer):
    """The operation whose vector-Jacobian product is wrong.

    Attributes:
        operation: its name.
        file: the file that calls it; None where no file of the user's does.
        line: the line there.
        argument: which of its arguments gets the wrong gradient.
        analytic: its gradient along the direction or at the element that shows it best.
        numeric: the difference there.
        looks_like: what the two have in common ("the sign is flipped"), "" where nothing.
        defined: "file:line" of the backward itself, "" for PyTorch's own operations.
        layer: path of the layer that called it, "" outside of layers.
    """

    operation: str
    file: str | None
    line: int | None
    argument: str
    analytic: float
    numeric: float
    looks_like: str = ""
    defined: str = ""
    layer: str = ""


@dataclass(frozen=True)
class GradientCheck(Answer):
    """Whether the gradients of a function are right, and if not, which operation is to blame.

    Attributes:
        target: what was checked.
        verdict: the gravest verdict of its tensors.
        tensors: one row for each parameter and input.
        culprit: the first operation that is wrong alone; None where nothing is wrong or none is.
        mode: "exhaustive" (every element) or "sampled" (random directions and some elements).
        method: "central", "forward" or "richardson".
        dtype: precision of the check.
        evaluations: forward passes that it took.
        seconds: how long it took.
        loss: data loss at this point, None without one.
        expected_loss: what it should be with small random scores (ln C, C - 1), None if unknown.
        forward_mode: relative difference of the directional derivative by forward mode, an
            independent implementation; None where an operation has no forward mode.
        second_order: the check of the gradient's own gradient; None if not asked for.
        regularization: the check of the penalty alone; None without one.
        findings: what else was noticed.
        notes: what was done to make it checkable.

    Examples:
        >>> import chainrule, torch
        >>> found = chainrule.check_gradients(torch.nn.Linear(3, 2), (3,))
        >>> found.ok, found["bias"].compared, found.culprit
        (True, 2, None)
    """

    target: str
    verdict: str
    tensors: tuple[TensorCheck, ...]
    culprit: Culprit | None
    mode: str
    method: str
    dtype: str
    evaluations: int
    seconds: float
    loss: float | None = None
    expected_loss: float | None = None
    forward_mode: float | None = None
    second_order: GradientCheck | None = None
    regularization: GradientCheck | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __getitem__(self, name: str) -> TensorCheck:
        """The row of a tensor, by its name."""
        return next(item for item in self.tensors if item.name == name)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong and nothing was left open."""
        return self.verdict in ("correct", "kink")


def gravest(verdicts: list[str]) -> str:
    """The gravest of several verdicts; "correct" for none.

    Examples:
        >>> gravest(["correct", "cannot-tell", "kink"])
        'cannot-tell'
    """
    return max(verdicts, key=VERDICTS.index, default="correct")
