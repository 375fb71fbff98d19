"""Optimization: how the weights are updated."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from statistics import median

from chainrule.diagnosis import repair
from chainrule.diagnosis.case import CERTAIN, SYMPTOM, TRIED, Case, Hypothesis
from chainrule.diagnosis.causes.registry import cause
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.changes.more_steps import MoreSteps
from chainrule.diagnosis.replaying.changes.ordering import Resupply
from chainrule.diagnosis.replaying.changes.updating import (
    ClearGradients,
    HoldRate,
    NoClipping,
    ReplaceRule,
    ScaleRate,
    SetMomentum,
)
from chainrule.diagnosis.source import Edit, read_source


def rate_of(case: Case) -> float:
    """Learning rate of the first optimizer at its first step."""
    if case.record.rates:
        return case.record.rates[0]
    optimizer = case.optimizer
    groups = optimizer.groups if optimizer else ()
    return float(groups[0].get("lr", math.nan)) if groups else math.nan


def update_ratios(case: Case) -> list[float]:
    """Median over parameters of |update| / |weight|, by step watched in full."""
    found = []
    for sample in case.record.samples:
        ratios = [
            item.update_ratio for item in sample.parameters
            if item.update_ratio is not None and item.size > 1 and math.isfinite(item.update_ratio)
        ]  # fmt: skip
        if ratios:
            found.append(median(ratios))
    return found


def _rate_edits(case: Case, factor: float) -> tuple[Edit, ...]:
    optimizer, rate = case.optimizer, rate_of(case)
    if optimizer is None:
        return _by_hand(case, factor)
    value = None if math.isnan(rate) else rate

    def scaled(old: float) -> float:
        return old * factor

    edits = repair.set_argument(optimizer.made, "lr", scaled, 1, value, optimizer.name)
    if edits or value is None:
        return edits
    return repair.set_keyword(case, ("lr", "learning_rate", "base_lr", "max_lr"), scaled, value)


def _by_hand(case: Case, factor: float) -> tuple[Edit, ...]:
    """The rate of a loop without optimizer: the number beside ``.grad``."""
    for source in case.sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
                sides = (node.left, node.right)
                if not any(".grad" in source.text_of(side) for side in sides):
                    continue
                for side in sides:
                    literal = source.literal(side)
                    if literal is not None:
                        text = source.text_of(literal)
                        return (source.replace(literal, f"{text} * {factor:g}"),)
    return ()


def _made(case: Case) -> Place | None:
    return case.optimizer.made if case.optimizer else None


@cause("learning-rate-too-low", "steps too small to get anywhere")
def too_low(case: Case) -> Iterator[Hypothesis]:
    ratios, rate = update_ratios(case), rate_of(case)
    # of a schedule the larger end: what decays away is another cause
    ratio = max(median(ratios[:5]), median(ratios[-5:])) if ratios else math.nan
    weight = SYMPTOM if 0 < ratio < 3e-4 else TRIED  # 0: there is no gradient to be scaled
    for factor in _factors(ratio):
        yield Hypothesis(
            "learning-rate-too-low", ScaleRate(factor), weight,
            f"with a learning rate of {rate:g} an update is {ratio:.2g} of the weights' size; "
            "about 0.001 is usual",
            f"a learning rate of {rate * factor:g}", {"learning_rate": rate, "update_ratio": ratio},
            _made(case), _rate_edits(case, factor),
        )  # fmt: skip


@cause("learning-rate-too-high", "steps so large that they undo each other")
def too_high(case: Case) -> Iterator[Hypothesis]:
    ratios, rate = update_ratios(case), rate_of(case)
    highest = max(ratios, default=math.nan)
    speaks = highest > 0.05 or _grew(case) or bool(case.found("learning-rate-too-high"))
    for factor in (0.1, 0.01, 0.001):
        yield Hypothesis(
            "learning-rate-too-high", ScaleRate(factor), SYMPTOM if speaks else TRIED,
            f"with a learning rate of {rate:g} an update is up to {highest:.2g} of the weights' "
            "size; about 0.001 is usual",
            f"a learning rate of {rate * factor:g}",
            {"learning_rate": rate, "update_ratio": highest},
            _made(case), _rate_edits(case, factor),
        )  # fmt: skip


def _factors(ratio: float) -> tuple[float, ...]:
    """Powers of ten, among them the one that brings updates to their usual size."""
    if not 0 < ratio < 3e-4:
        return (10.0, 100.0)
    usual = 10.0 ** round(math.log10(1e-3 / ratio))
    return tuple(sorted({10.0, usual, 10 * usual, 100 * usual}))


def _grew(case: Case) -> bool:
    """Whether the loss was at some time three times what it was at the start, or not finite."""
    losses = case.record.losses
    if not losses:
        return False
    if any(not math.isfinite(value) for value in losses[1:]):
        return True
    return max(losses) > 3 * abs(losses[0]) + 1e-9


@cause("learning-rate-decays-too-soon", "the schedule makes the steps vanish before it has learned")
def decays(case: Case) -> Iterator[Hypothesis]:
    rates = case.record.rates
    if len(rates) < 3 or max(rates) <= 0:
        return
    peak = rates.index(max(rates))
    after = rates[peak:]
    gone = sum(rate < 0.05 * max(rates) for rate in after) / len(after)
    optimizer = case.optimizer
    if gone < 0.3 or optimizer is None:
        return
    yield Hypothesis(
        "learning-rate-decays-too-soon", HoldRate(), SYMPTOM,
        f"the learning rate falls from {max(rates):g} to {rates[-1]:.2g}; in {gone:.0%} of the "
        "steps looked at it is below a twentieth of its highest".replace("%", " %"),
        "let it fall later or slower (per epoch in place of per step)",
        {"highest": max(rates), "last": rates[-1]}, optimizer.scheduled or optimizer.made,
        _no_schedule(optimizer.scheduled), blamed=True,
    )  # fmt: skip


def _no_schedule(place: Place | None) -> tuple[Edit, ...]:
    """The statements that step the schedule made on a line, taken out."""
    source = None if place is None else read_source(place.file)
    made = None if source is None or place is None else source.statement_at(place.line)
    if source is None or not isinstance(made, ast.Assign):
        return ()
    name = source.text_of(made.targets[0])
    found = []
    for node in source.calls("step"):
        statement = source.statement(node)
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if owner is None or not isinstance(statement, ast.Expr):
            continue
        if source.text_of(owner).split(".")[-1] == name.split(".")[-1]:
            found.append(statement)
    return repair.remove_statements(source, found)


@cause("momentum-too-high", "old gradients outweigh the new one")
def momentum(case: Case) -> Iterator[Hypothesis]:
    optimizer = case.optimizer
    if optimizer is None or not optimizer.groups:
        return
    group = optimizer.groups[0]
    betas = group.get("betas")
    now = betas[0] if isinstance(betas, list | tuple) else group.get("momentum", 0.0)
    if not isinstance(now, int | float) or now < 0.95:
        return
    name = "betas" if isinstance(betas, list | tuple) else "momentum"
    edits = () if name == "betas" else repair.set_argument(
        optimizer.made, "momentum", lambda _: 0.9, 2, float(now), optimizer.name)  # fmt: skip
    yield Hypothesis(
        "momentum-too-high", SetMomentum(0.9), SYMPTOM,
        f"a momentum of {now:g} averages over the last {1 / max(1 - now, 1e-9):,.0f} gradients",
        "a momentum of 0.9", {"momentum": now}, optimizer.made, edits,
    )  # fmt: skip


@cause("optimizer-unsuited", "an update rule that does not suit the problem")
def unsuited(case: Case) -> Iterator[Hypothesis]:
    optimizer = case.optimizer
    if optimizer is None:
        return
    whole = optimizer.name == "Rprop" and case.scouted.distinct > 1
    for rate in (1e-3, 1e-2):
        if optimizer.name in ("Adam", "AdamW") and abs(math.log(rate_of(case) / rate)) < 1:
            continue
        yield Hypothesis(
            "optimizer-unsuited", ReplaceRule("Adam", rate), SYMPTOM if whole else TRIED,
            "Rprop goes by the signs of gradients over the whole data set, which those of "
            "minibatches are not" if whole
            else f"{optimizer.name} with a learning rate of {rate_of(case):g}",
            f"Adam with a learning rate of {rate:g}", {"learning_rate": rate_of(case)},
            optimizer.made, _adam(optimizer.made, rate),
        )  # fmt: skip


def _adam(place: Place | None, rate: float) -> tuple[Edit, ...]:
    source = None if place is None else read_source(place.file)
    node = None if source is None or place is None else source.call_at(place.line)
    if source is None or node is None or not node.args:
        return ()
    first = source.text_of(node.args[0])
    return (source.replace(node, f"torch.optim.Adam({first}, lr={rate:g})"),)


@cause("too-few-steps", "the script ends before it has learned")
def too_few(case: Case) -> Iterator[Hypothesis]:
    if not case.scouted.finished or case.scouted.steps > 3000:
        return
    if any(item.penalty for sample in case.record.samples for item in sample.backwards):
        return  # steps behind the end would be made without it: what they bring proves nothing
    known = [item.skill for item in case.baseline.readings if item.step > 0]
    rise = 1.0 if len(known) < 3 else known[-1] - known[len(known) // 2]
    steps = case.scouted.steps
    if rise < 0.02 and steps >= 300:
        return
    weight = SYMPTOM if steps < 300 and rise >= 0.02 else TRIED
    for times in (5, 20):
        yield Hypothesis(
            "too-few-steps", MoreSteps(float(times)), weight,
            f"the script makes {steps:,} updates"
            + (", and is still getting better at its end" if rise >= 0.02 else ""),
            "more epochs", {"steps": steps},
            case.optimizer.stepped if case.optimizer else None, _more_epochs(case, times),
            later=True,
        )  # fmt: skip


def _more_epochs(case: Case, times: int) -> tuple[Edit, ...]:
    """The number in ``range(...)`` of the outermost loop around ``backward``."""
    for source in case.sources():
        node = next(iter(source.calls("backward")), None)
        current: ast.AST | None = node
        loops = []
        while current is not None:
            if isinstance(current, ast.For) and isinstance(current.iter, ast.Call):
                loops.append(current)
            current = source.parent(current)
        for loop in reversed(loops):
            call = loop.iter
            if isinstance(call, ast.Call) and call.args:
                last = call.args[-1]
                if isinstance(last, ast.BinOp):  # range(1, epochs + 1)
                    last = last.left
                literal = source.literal(last)
                if literal is not None and source.text_of(literal).isdigit():
                    value = int(source.text_of(literal))
                    return (source.replace(literal, str(times * value)),)
    return ()


@cause(
    "batch-size-unsuited", "minibatches too small to tell, or so large that there are few updates"
)
def batch_size(case: Case) -> Iterator[Hypothesis]:
    size, total = case.scouted.examples, case.loader.examples if case.loader else None
    place = case.loader.made if case.loader else None
    if 0 < size <= 4:
        yield Hypothesis(
            "batch-size-unsuited", Resupply(32), SYMPTOM,
            f"a minibatch has {size} examples", "minibatches of 32", {"examples": size}, place,
            repair.set_argument(place, "batch_size", lambda _: 32, 1, size, "DataLoader"),
            later=True,
        )  # fmt: skip
    whole = case.scouted.distinct == 1 or (total is not None and size >= 0.5 * total)
    if whole and size >= 256 and case.scouted.steps < 300:
        extra = min(15, max(1, size // 64 - 1))
        new = max(32, size // 16)
        yield Hypothesis(
            "batch-size-unsuited", MoreSteps(within=extra), SYMPTOM,
            f"a minibatch has {size} examples, the whole data set or half of it, so that there are "
            f"only {case.scouted.steps} updates",
            f"minibatches of {new}", {"examples": size, "steps": case.scouted.steps}, place,
            repair.set_argument(place, "batch_size", lambda _: new, 1, size, "DataLoader"),
        )  # fmt: skip


@cause("gradients-not-cleared", "gradients of earlier steps are added up")
def not_cleared(case: Case) -> Iterator[Hypothesis]:
    found = case.found("gradients-not-cleared")
    if found is None:
        return
    yield Hypothesis(
        "gradients-not-cleared", ClearGradients(), CERTAIN, found.meaning, found.remedy,
        found.evidence, case.place(found.place), repair.zero_grad(case),
    )  # fmt: skip


@cause("gradients-clipped-too-hard", "clipping leaves nearly nothing of the gradient")
def clipped(case: Case) -> Iterator[Hypothesis]:
    optimizer = case.optimizer
    if optimizer is None or optimizer.clipped is None or optimizer.scaler:
        return
    if optimizer.clipped > 0.1:
        return
    place = optimizer.clips or optimizer.stepped
    yield Hypothesis(
        "gradients-clipped-too-hard", NoClipping(), SYMPTOM,
        f"clipping leaves {optimizer.clipped:.2g} of the gradient's norm",
        "clip at about the norm of a usual step", {"kept": optimizer.clipped}, place,
        _looser(place),
    )  # fmt: skip


def _looser(place: Place | None) -> tuple[Edit, ...]:
    for name in ("max_norm", "clip_value"):
        edits = repair.set_argument(place, name, lambda _: 1.0, 1)
        if edits:
            return edits
    return ()
