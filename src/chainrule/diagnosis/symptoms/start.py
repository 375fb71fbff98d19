"""Start: symptoms of the untrained network and of the data."""

from __future__ import annotations

import math

from chainrule.diagnosis.symptoms.record import Record
from chainrule.finding import Finding

_FAR = 10.0  # a signal ten times the size that initializations are made for
_SPREAD = 100.0  # features whose scales differ so: a condition number of 10,000
_HALF = 0.5
_SURE = 3.0  # standard errors
_PER_CLASS = 20  # examples of a class from which a probe can learn it


def initial_loss(record: Record) -> Finding | None:
    """The first loss against that of a network that says nothing: ln C, ln 2 or C - 1."""
    call = next(iter(record.loss_calls), None)
    if call is None or call.at_zero is None or not record.samples or record.samples[0].step > 1:
        return None
    answers = call.answers or 1
    room = max(0.5, 2 / math.sqrt(answers))
    if not math.isfinite(call.value) or call.value <= call.at_zero * (1 + room):
        return None
    return Finding(
        "initial-loss-unexpected",
        str(call.place or ""),
        {"loss": call.value, "expected": call.at_zero, "classes": call.classes},
        f"the first {call.function} is {call.value:.4g}; scores near 0 give {call.at_zero:.4g}: "
        f"the untrained network is sure of wrong answers (its scores reach {call.input.high:.3g})",
        "smaller initial weights, above all in the last layer, or inputs of unit variance",
    )


def inputs_not_normalized(record: Record) -> Finding | None:
    """Inputs far from the zero mean and unit variance that initializations are made for."""
    found = next((item for sample in record.samples[:1] for item in sample.passes), None)
    if found is None or found.inputs is None or found.inputs.dtype.startswith(("int", "uint")):
        return None
    facts = found.inputs
    if facts.whole and facts.dtype == "int64":
        return None
    rms = math.hypot(facts.mean, facts.std)
    spread = facts.feature_spread or 1.0
    if not math.isfinite(rms) or (1 / _FAR / 10 <= rms <= _FAR and spread <= _SPREAD):
        return None
    words = (
        f"scales of the features differ by a factor of {spread:,.0f}" if spread > _SPREAD
        else f"inputs have a mean of {facts.mean:.3g} and a standard deviation of {facts.std:.3g}"
    )  # fmt: skip
    return Finding(
        "inputs-not-normalized",
        "",
        {"mean": facts.mean, "std": facts.std, "low": facts.low, "high": facts.high,
         "feature_spread": facts.feature_spread},
        f"{words}; initializations are made for zero mean and unit variance",
        "subtract the mean of the training set and divide by its standard deviation",
    )  # fmt: skip


def targets_not_scaled(record: Record) -> Finding | None:
    """Targets of a regression far larger or smaller than what an untrained network says."""
    call = next(iter(record.loss_calls), None)
    if call is None or call.task != "numbers" or call.target is None:
        return None
    size = math.hypot(call.target.mean, call.target.std)
    said = math.hypot(call.input.mean, call.input.std)
    if not math.isfinite(size) or size <= _FAR or size <= _FAR * said:
        return None
    return Finding(
        "targets-not-scaled",
        str(call.place or ""),
        {"mean": call.target.mean, "std": call.target.std, "output_rms": said},
        f"targets have a mean of {call.target.mean:.3g} and a standard deviation of "
        f"{call.target.std:.3g}; the untrained network says numbers of about {said:.2g}",
        "standardize the targets, and undo it on the predictions",
    )


def small_batch_not_fitted(record: Record) -> Finding | None:
    """A copy of the network cannot even learn a handful of examples by heart."""
    fitted = record.start.fitted
    if fitted is None or not math.isfinite(fitted[0]) or fitted[1] <= _HALF * fitted[0]:
        return None
    before, after, steps = fitted
    return Finding(
        "small-batch-not-fitted",
        "",
        {"loss_before": before, "loss_after": after, "steps": steps},
        f"a copy of the untrained network, trained by Adam on one small minibatch, goes from a "
        f"loss of {before:.3g} to {after:.3g} in {steps} steps: it cannot learn it by heart",
        "look at the network and the loss, not at the data or the learning rate",
    )


def inputs_do_not_predict(record: Record) -> Finding | None:
    """Neither the nearest neighbour nor a linear probe does better than the commonest class."""
    predicted = record.start.predicted
    if predicted is None or record.first_epoch_learns():
        return None
    neighbour, linear, most, examples = predicted
    if examples < _PER_CLASS * len(record.classes):
        return None  # too few of each class for a probe to see anything
    error = _SURE * math.sqrt(most * (1 - most) / examples) if 0 < most < 1 else 0.0
    if max(neighbour, linear) > most + error:
        return None
    return Finding(
        "inputs-do-not-predict-targets",
        "",
        {"nearest_neighbour": neighbour, "linear_probe": linear, "most_frequent": most,
         "examples": examples},
        f"on {examples} examples the nearest neighbour is right in {neighbour:.0%} and a linear "
        f"probe in {linear:.0%}, the commonest class alone in {most:.0%}".replace("%", " %")
        + ": inputs and targets may not belong together",
        "look at some examples with their targets, just before they enter the network",
    )  # fmt: skip
