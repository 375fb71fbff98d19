"""Structure: symptoms that need no threshold; something is so or is not."""

from __future__ import annotations

from chainrule.diagnosis.facts import LossFacts, TensorFacts
from chainrule.diagnosis.symptoms.record import Record
from chainrule.finding import Finding

_PASSES = 2  # passes of training after an evaluation before their mode is judged
_FEW = 32  # numbers below which "all in [0, 1]" may be chance


def not_finite(record: Record) -> Finding | None:
    """A NaN or an infinity, and the operation that made it."""
    origin = record.origin
    if origin is None:
        return None
    data = origin.stage in ("inputs", "targets")
    what = {"inputs": "the inputs hold", "targets": "the targets hold"}.get(origin.stage)
    where = f" at {origin.place}" if origin.place else ""
    if origin.stage == "weights":
        meaning = (
            f"before step {origin.step} an update made {origin.operation} {_value(origin.value)}"
        )
    elif what:
        meaning = f"{what} {_value(origin.value)} in step {origin.step}: {origin.note}"
    elif origin.stage == "unknown":
        meaning = f"the loss of step {origin.step} is not finite; {origin.note}"
    else:
        side = "the gradient of " if origin.stage == "backward" else ""
        layer = f" in {origin.layer}" if origin.layer else ""
        passed = f"; after it {', '.join(origin.passed_on)}" if origin.passed_on else ""
        passed += f"; {origin.note}" if origin.note else ""
        meaning = (
            f"{side}{origin.operation}{layer}{where} made the first {origin.value} in step "
            f"{origin.step}, from finite inputs{_ranges(origin.inputs)}{passed}"
        )
    return Finding(
        "non-finite-data" if data else "numerical-overflow",
        str(origin.place or origin.layer or origin.operation),
        {"step": origin.step, "stage": origin.stage, "operation": origin.operation,
         "loss_before": _loss_before(record, origin.step)},
        meaning,
        "drop or mend these examples" if data
        else "keep the argument away from where the function or its slope is infinite, or lower "
        "the learning rate if values have grown",
    )  # fmt: skip


def _loss_before(record: Record, step: int) -> float | None:
    place = step - record.since - 2
    return record.losses[place] if 0 <= place < len(record.losses) else None


def _value(value: str) -> str:
    return "NaN" if value == "nan" else "infinite values"


def _ranges(inputs: tuple[TensorFacts, ...]) -> str:
    found = [f"[{item.low:.3g}, {item.high:.3g}]" for item in inputs]
    return f" in {', '.join(found[:2])}" if found else ""


def parameters_not_optimized(record: Record) -> Finding | None:
    """Parameters that get gradients and that no optimizer holds."""
    if not any(item.steps for item in record.optimizers):
        return None
    if record.strangers:
        return _strangers(record)
    for model in record.models:
        left = [
            item.name for item in model.parameters
            if item.trainable and item.reached and not item.held
        ]  # fmt: skip
        some = any(item.held for item in model.parameters)
        if left and (some or len(record.models) == 1):
            place = next((item.made for item in record.optimizers if item.made), None)
            return Finding(
                "parameters-not-optimized",
                str(place or ""),
                {"parameters": len(left), "of": len(model.parameters)},
                f"{_listed(left)} of {model.name} get gradients, but no optimizer holds them: they "
                "stay as initialized",
                "give the optimizer model.parameters(), after every layer has been made; set "
                "requires_grad = False where that is meant",
            )
    return None


def _strangers(record: Record) -> Finding:
    """Layers in a plain list or dict: no module knows them."""
    shapes = ", ".join(" x ".join(map(str, shape)) for shape in record.strangers[:3])
    shapes += ", ..." if len(record.strangers) > 3 else ""
    place = next((item.made for item in record.optimizers if item.made), None)
    return Finding(
        "parameters-not-optimized",
        str(place or ""),
        {"parameters": len(record.strangers)},
        f"the loss depends on {len(record.strangers)} parameters ({shapes}) that are "
        "part of no network called here and that no optimizer holds: they stay as initialized",
        "keep layers in nn.ModuleList or nn.ModuleDict, not in a list or dict, or give them to the "
        "optimizer",
    )


def graph_detached(record: Record) -> Finding | None:
    """Parameters of layers that run, that an optimizer holds and that no gradient reaches."""
    if len(record.samples) < 2 or _lost_before_update(record):
        return None
    ran = {item.name.partition(" ")[0] for sample in record.samples for item in sample.activations}
    for model in record.models:
        left = [
            item.name for item in model.parameters
            if item.trainable and item.held and not item.reached
            and (not ran or item.name.rpartition(".")[0] in ran)  # a layer left unused is no fault
        ]  # fmt: skip
        if left:
            return Finding(
                "graph-detached",
                str(model.defined or model.called or ""),
                {"parameters": len(left), "of": len(model.parameters),
                 "samples": len(record.samples)},
                f"no gradient reaches {_listed(left)} of {model.name}: they are not on the way to "
                "the loss",
                "look for detach(), .data, item(), no_grad() or NumPy between them and the loss",
            )  # fmt: skip
    return None


def _lost_before_update(record: Record) -> bool:
    """Whether gradients of the only network came and were gone before the update: none was cut."""
    held = all(part.held for model in record.models for part in model.parameters)
    return len(record.models) == 1 and held and all(
        sample.after_backward and sample.before_step == 0.0 for sample in record.samples
    )  # fmt: skip


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def gradients_not_cleared(record: Record) -> Finding | None:
    """Gradients of the step before are still there when ``backward`` begins."""
    later = [item for item in record.later if item.backwards]
    if len(record.optimizers) != 1 or len(later) < 2:
        return None
    left = [item.leftover or 0.0 for item in later]
    if not all(left):
        return None
    optimizer = record.optimizers[0]
    return Finding(
        "gradients-not-cleared",
        str(optimizer.stepped or ""),
        {"norm_left": left[-1], "norm_after": later[-1].after_backward, "steps": len(later)},
        f"when backward begins, gradients of norm {left[-1]:.3g} are left from the step before, in "
        f"each of {len(later)} steps looked at: every update repeats all earlier ones",
        "call optimizer.zero_grad() before backward()",
    )


def wrong_mode(record: Record) -> Finding | None:
    """Training in evaluation mode, or evaluation in training mode, where it makes a difference."""
    for model in record.models:
        if not model.modal:
            continue
        layers = ", ".join(model.modal[:2])
        if model.training > 1 and model.trained_in_evaluation >= model.training - 1:
            return Finding(
                "wrong-mode",
                str(model.called or ""),
                {"passes": model.trained_in_evaluation, "layers": len(model.modal)},
                f"{model.name} is trained in evaluation mode: {layers} do not do their work",
                f"call {model.name}.train() before each epoch",
            )
        if model.later >= _PASSES and model.later_in_evaluation == model.later:
            return Finding(
                "wrong-mode",
                str(model.called or ""),
                {"passes": model.later, "layers": len(model.modal)},
                f"after its first evaluation {model.name} is trained in evaluation mode: {layers} "
                "do not do their work",
                f"call {model.name}.train() before each epoch",
            )
        if model.evaluated_in_training:
            return Finding(
                "wrong-mode",
                str(model.evaluated or ""),
                {"passes": model.evaluated_in_training, "layers": len(model.modal)},
                f"{model.name} is evaluated in training mode: {layers} act as in training",
                f"call {model.name}.eval() before, and .train() after it",
            )
    return None


def loss_expects_logits(record: Record) -> Finding | None:
    """Probabilities where the loss wants scores; scores where it wants log-probabilities."""
    calls = record.loss_calls
    if len(calls) < 2 or calls[0].written_out:
        return None
    if all(item.wants == "logits" for item in calls):
        what = _probabilities(calls)
        if what:
            return _loss_finding(
                "loss-expects-logits", calls[0],
                f"{calls[0].function} expects scores of any size, and is given {what}: it applies "
                "the function a second time, which flattens the gradient",
                "give it the scores, without softmax or sigmoid",
            )  # fmt: skip
    if calls[0].function == "nll_loss" and not any(item.normalized for item in calls):
        return _loss_finding(
            "output-activation-wrong", calls[0],
            "nll_loss expects log-probabilities; the exponentials of what it is given do not sum "
            "to 1, so that the loss has no lower bound",
            "apply log_softmax before it, or use cross_entropy on the scores",
        )  # fmt: skip
    return None


def _probabilities(calls: tuple[LossFacts, ...]) -> str:
    if calls[0].task == "classes" and all(item.simplex == 1.0 for item in calls):
        return "probabilities (every row is at least 0 and sums to 1)"
    numbers = sum(_size(item.input.shape) for item in calls)
    if calls[0].task == "binary" and numbers >= _FEW and all(item.unit_interval for item in calls):
        return f"numbers that all lie in [0, 1] ({numbers:,} looked at)"
    return ""


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size


def _loss_finding(code: str, call: LossFacts, meaning: str, remedy: str, **more: object) -> Finding:
    evidence = {"low": call.input.low, "high": call.input.high, **more}
    return Finding(code, str(call.place or ""), evidence, meaning, remedy)


def shapes_broadcast(record: Record) -> Finding | None:
    """Output and target of a regression have different shapes and are stretched to fit."""
    for call in record.loss_calls:
        if call.task not in ("numbers", "binary") or call.target is None:
            continue
        if call.input.shape != call.target.shape and call.shape != call.input.shape:
            return _loss_finding(
                "shapes-broadcast", call,
                f"{call.function} compares outputs {call.input.shape} with targets "
                f"{call.target.shape}: broadcast to {call.shape}, every output is compared with "
                "every target",
                "give both the same shape, as in output.squeeze(1) or target.unsqueeze(1)",
                compared=_size(call.shape), outputs=_size(call.input.shape),
            )  # fmt: skip
    return None


def loss_sign_flipped(record: Record) -> Finding | None:
    """The loss is multiplied by a negative number before ``backward``."""
    signs = [
        item.scale for sample in record.samples for item in sample.backwards
        if item.scale is not None
    ]  # fmt: skip
    calls = record.loss_calls
    if calls and calls[0].written_out:
        return _log_share_raised(record)
    if not signs or max(signs) >= 0 or not calls:
        return None
    place = record.samples[-1].backwards[0].place
    return Finding(
        "loss-sign-flipped",
        str(place or calls[0].place or ""),
        {"factor": signs[-1]},
        f"the {calls[0].function} is multiplied by {signs[-1]:g} before backward: each step makes "
        "it larger",
        "minimize the loss itself",
    )


def _log_share_raised(record: Record) -> Finding | None:
    """The mean of log shares without its minus: at most 0, and lower the worse the answers."""
    call = record.loss_calls[0]
    totals = [item.total for sample in record.samples for item in sample.backwards]
    if call.wants != "log-probabilities" or not totals or max(totals) >= 0:
        return None
    return _loss_finding(
        "loss-sign-flipped", call,
        f"the mean of log probabilities is minimized ({totals[-1]:.3g}): each step makes the right "
        "answers less likely",
        "minimize its negative, as nll_loss does",
    )  # fmt: skip


def targets_out_of_range(record: Record) -> Finding | None:
    """Targets that the loss is not made for."""
    calls = [item for item in record.loss_calls if item.target is not None]
    if not calls or calls[0].target is None:
        return None
    call, target = calls[0], calls[0].target
    if call.function.startswith("binary_cross") and (target.low < 0 or target.high > 1):
        return _loss_finding(
            "labels-wrongly-encoded", call,
            f"{call.function} expects targets in [0, 1]; they lie in [{target.low:g}, "
            f"{target.high:g}]: the loss has no lower bound",
            "encode the classes as 0 and 1",
        )  # fmt: skip
    if call.task == "classes" and call.classes == 1:
        return _loss_finding(
            "loss-unsuited", call,
            f"{call.function} over one single score is 0 whatever the network says",
            "two scores with cross_entropy, or one with binary_cross_entropy_with_logits",
        )  # fmt: skip
    return None


def same_batch(record: Record) -> Finding | None:
    """The same minibatch in every step, though there is more data."""
    seen = sum(record.fingerprints.values())
    inputs = [item.inputs for sample in record.samples for item in sample.passes if item.inputs]
    if seen < 4 or len(record.fingerprints) != 1 or not inputs or not inputs[0].shape:
        return None
    used = [item for item in record.loaders if (item.examples or 0) > inputs[0].shape[0]]
    if not used:
        return None  # the whole data set in one minibatch looks the same
    examples = max(item.examples or 0 for item in used)
    return Finding(
        "same-batch-repeated",
        str(used[0].made or ""),
        {"looks": seen, "examples": inputs[0].shape[0], "of": examples},
        f"the network gets the same {inputs[0].shape[0]} examples in all {seen} steps looked at; "
        f"the data set has {examples:,}",
        "loop over the loader; next(iter(loader)) begins anew each time",
    )
