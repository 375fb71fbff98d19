"""Course: symptoms that show while a network trains."""

from __future__ import annotations

import math
from statistics import median

from chainrule.diagnosis.facts import Sample
from chainrule.diagnosis.symptoms.record import Record
from chainrule.finding import Finding

_WINDOW = 500  # inputs for which a unit has to be off
_HALF = 0.5
_OVERWRITES = 0.5  # an update of half the weights' norm leaves little of them
_TENFOLD = 10.0
_ROUNDING = 1e-5  # updates this small against the weights move nothing in some 10,000 steps


def loss_flat(record: Record) -> Finding | None:
    """The loss is no better than that of a constant answer, or than at the start.

    Of adversaries (several optimizers) and of rewards (losses of both signs) nothing is said:
    their losses need not fall.
    """
    if record.learns() is not False or record.origin is not None or record.need_not_fall:
        return None
    name, value = record.reference() or ("", 0.0)
    last = record.last_loss() or 0.0
    return Finding(
        "loss-flat",
        "",
        {"loss": last, "reference": value, "steps": len(record.losses)},
        f"after {len(record.losses):,} steps the loss is {last:.4g}; {name} has {value:.4g}",
        "see the other findings for what may hold it",
    )


def update_size(record: Record) -> Finding | None:
    """Updates that move nothing, or that overwrite the weights."""
    known = [
        (ratio, sample) for sample in record.samples
        if sample.parameters and (ratio := _median_ratio(sample)) is not None
    ]  # fmt: skip
    if len(known) < 2:
        return None
    highest, worst = max(known, key=lambda item: item[0])
    ratio = median(ratio for ratio, _ in known[-5:])
    rate = worst.learning_rates[0] if worst.learning_rates else math.nan
    if record.origin is not None:
        return _exploded(record, highest, rate)
    if 0 < ratio < _ROUNDING and record.learns() is False:
        words = ("the weights hardly move", "a larger learning rate")
        return _rate_finding("learning-rate-too-low", record, ratio, rate, *words)
    if highest > _OVERWRITES and record.learns() is False:
        words = (f"step {worst.step} overwrote the weights", "a smaller learning rate")
        return _rate_finding("learning-rate-too-high", record, highest, rate, *words)
    return None


def _exploded(record: Record, ratio: float, rate: float) -> Finding | None:
    """A loss that grew tenfold before the first value that is not finite."""
    last = (record.origin.step if record.origin else 0) - record.since - 1
    before = [value for value in record.losses[:last] if math.isfinite(value)]
    if not before or ratio < _OVERWRITES or max(before) < _TENFOLD * abs(before[0]):
        return None
    words = f"the loss grew from {before[0]:.3g} to {max(before):.3g} before it was not finite"
    return _rate_finding(
        "learning-rate-too-high", record, ratio, rate, words, "a smaller learning rate"
    )


def _median_ratio(sample: Sample) -> float | None:
    ratios = [
        item.update_ratio if math.isfinite(item.update_ratio) else math.inf
        for item in sample.parameters
        if item.update_ratio is not None and item.size > 1
    ]  # fmt: skip
    return median(ratios) if ratios else None


def _rate_finding(
    code: str, record: Record, ratio: float, rate: float, words: str, remedy: str
) -> Finding:
    place = next((item.made for item in record.optimizers if item.made), None)
    return Finding(
        code,
        str(place or ""),
        {"update_ratio": ratio, "learning_rate": rate},
        f"the norm of an update is {ratio:.2g} of that of the weights (median of the parameters, "
        f"learning rate {rate:g}); about 0.001 is usual: {words}",
        remedy,
    )


def dead_units(record: Record) -> Finding | None:
    """Rectified units that are off for all of many inputs, and were not so at the start."""
    if not record.samples:
        return None
    first = {name: dead for name, dead, _, _ in record.samples[0].dead}
    hit = []
    for name, dead, units, inputs in record.samples[-1].dead:
        began = first.get(name, 0)
        if inputs >= _WINDOW and dead > _HALF * units and (dead == units or dead > 1.5 * began):
            hit.append((name, dead, units, inputs, began))
    if not hit:
        return None
    name, dead, units, inputs, began = max(hit, key=lambda item: item[1] / item[2])
    return Finding(
        "dead-relu",
        name,
        {"dead": dead, "units": units, "inputs": inputs, "at_start": began, "layers": len(hit)},
        f"{dead} of {units} units of layer {name} have been off for all of {inputs:,} inputs "
        f"({began} at the start): no gradient reaches their weights any more",
        "a smaller learning rate, or a leaky ReLU",
    )


def saturated(record: Record) -> Finding | None:
    """Layers nearly all of whose activations lie where the function is flat."""
    if len(record.samples) < 2 or record.learns() is True:
        return None
    first = {item.name: item.saturated for item in record.samples[0].activations}
    hit = [
        (item.name, item.saturated, first.get(item.name) or 0.0)
        for item in record.samples[-1].activations
        if item.saturated is not None and item.saturated > 0.9
    ]
    if not hit:
        return None
    name, share, began = max(hit, key=lambda item: item[1])
    return Finding(
        "saturated-activations",
        name,
        {"saturated": share, "at_start": began, "layers": len(hit)},
        f"{share:.0%} of the activations of layer {name} lie where the slope is below 5 % of its "
        f"maximum ({began:.0%} at the start): hardly a gradient comes through".replace("%", " %")
        .replace("  %", " %"),
        "smaller weights or a smaller learning rate; ReLU; batch normalization",
    )  # fmt: skip


def decay_outweighs(record: Record) -> Finding | None:
    """Weight decay or a penalty that pulls harder than the data."""
    if record.learns() is not False or not record.optimizers:
        return None
    decay = max(
        (float(group.get("weight_decay") or 0) for group in record.optimizers[0].groups), default=0
    )
    pulls = []
    for sample in record.later[-5:]:
        pairs = [
            (decay * item.weight_norm, item.gradient_norm) for item in sample.parameters
            if item.gradient_norm is not None and item.size > 1
        ]  # fmt: skip
        if pairs:
            pull = math.hypot(*(one for one, _ in pairs))
            force = math.hypot(*(two for _, two in pairs))
            pulls.append(pull / force if force else (math.inf if pull else 0.0))
    shares = [
        item.penalty / (abs(item.data) + item.penalty)
        for sample in record.later[-5:] for item in sample.backwards
        if item.penalty and item.data is not None and item.penalty > 0
    ]  # fmt: skip
    pull, share = (median(pulls) if pulls else 0.0), (median(shares) if shares else 0.0)
    if pull <= 1 and share <= _HALF:
        return None
    by_decay = pull > 1
    words = (
        f"weight decay pulls {pull:.2g} times as hard as the gradient of the loss" if by_decay
        else f"the penalty is {share:.0%} of the full loss".replace("%", " %")
    )  # fmt: skip
    return Finding(
        "regularization-too-strong",
        str(record.optimizers[0].made or ""),
        {"pull": pull, "penalty_share": share, "weight_decay": decay},
        f"{words}, and the loss is no better than {(record.reference() or ('', 0))[0]}",
        "a smaller weight decay or penalty",
    )


def clipped_too_hard(record: Record) -> Finding | None:
    """Gradients of which clipping leaves a hundredth, in a network that does not learn."""
    if record.learns() is not False or any(item.scaler for item in record.optimizers):
        return None  # a scaler makes gradients small again before the step, too
    shares = [
        item.before_step / item.after_backward for item in record.later
        if item.before_step is not None and item.after_backward
    ]  # fmt: skip
    if len(shares) < 2 or max(shares) > 0.01:
        return None
    place = next((item.clips or item.stepped for item in record.optimizers), None)
    return Finding(
        "gradients-clipped-too-hard",
        str(place or ""),
        {"kept": median(shares), "norm": record.later[-1].after_backward},
        f"clipping leaves {median(shares):.2g} of the gradient's norm in every step looked at",
        "clip at about the norm of a usual step, or raise the learning rate as much",
    )


def not_shuffled(record: Record) -> Finding | None:
    """Minibatches hold far fewer classes than a random draw would."""
    calls = [item for item in record.loss_calls if item.task == "classes" and item.labels]
    if any((item.answers or 0) > (record.examples or 0) for item in calls):
        return None  # pixels or words: those of one example are alike in any order
    calls = [item for item in calls if item.answers == calls[0].answers]  # the last may be smaller
    total = sum(record.classes.values())
    if len(calls) < 3 or not total:
        return None
    size = calls[0].answers or 1
    shares = [count / total for count in record.classes.values()]
    expected = sum(1 - (1 - share) ** size for share in shares)
    seen = sum(item.labels for item in calls) / len(calls)
    alone = all(item.labels == 1 for item in calls) and len(record.classes) > 1
    if size < 8 or not (alone or seen < _HALF * expected):
        return None
    loader = next((item for item in record.loaders if not item.shuffle), None)
    return Finding(
        "data-not-shuffled",
        str(loader.made if loader is not None and loader.made else ""),
        {"classes_per_minibatch": seen, "expected": expected, "examples": size},
        f"a minibatch of {size} holds {seen:.1f} classes on average; drawn at random it would hold "
        f"{expected:.1f}",
        "shuffle the data (shuffle=True)",
    )


def not_averaged(record: Record) -> Finding | None:
    """A loss that is summed over the minibatch, in a network that does not learn."""
    call = next(iter(record.loss_calls), None)
    if (
        call is None
        or call.reduction != "sum"
        or not (record.learns() is False or record.origin is not None)
    ):
        return None
    size = call.answers or (call.input.shape[0] if call.input.shape else 1)
    if size < 2 or record.need_not_fall:
        return None
    return Finding(
        "loss-not-averaged",
        str(call.place or ""),
        {"examples": size},
        f"{call.function} is summed over {size} examples: gradients and steps are {size} times as "
        "large as with the mean",
        "reduction='mean', or a learning rate smaller by that factor",
    )


def symmetric_units(record: Record) -> Finding | None:
    """Units that are identical and stay so."""
    found = next((item.symmetric for item in reversed(record.samples) if item.symmetric), ())
    if not found:
        return None
    worst = max(found, key=lambda item: max(map(len, item.groups)) / item.units)
    size = max(map(len, worst.groups))
    return Finding(
        "symmetric-initialization",
        worst.layer,
        {"identical_units": size, "units": worst.units, "layers": len(found)},
        f"{size} of {worst.units} units of layer {worst.layer} have identical weights and "
        "gradients: together they are one",
        "draw the weights at random",
    )
