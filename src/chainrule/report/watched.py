"""Watched: how a watched training looks on a terminal."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Group, RenderableType
from rich.text import Text

from chainrule.diagnosis.answer import LayerSeen, LoaderSeen, ModelSeen, OptimizerSeen, Watched
from chainrule.diagnosis.facts import TensorFacts
from chainrule.report.fitting import FittingTable
from chainrule.report.terminal import facts, renderable
from chainrule.report.words import duration, number, percent, volume

COLUMNS = ("layer", "operation", "output", "mean", "std", "zero", "saturated", "dead", "gradient",
           "weights", "update ratio", "noise")  # fmt: skip
LEGEND = (
    "gradient and weights: norms of the layer's parameters; update ratio: norm of the update / "
    "norm of the parameters; noise: share of the squared gradient norm that two minibatches in a "
    "row do not have in common, more than all of it where they point apart"
)
_LEFT = ("layer", "operation")
_FIRST_TO_GO = ("weights", "operation", "mean", "output", "zero", "noise", "std")
_MOST_LAYERS = 40


@renderable.register
def _watched(answer: Watched) -> RenderableType:
    rows = fact_rows(answer)
    parts: list[RenderableType] = []
    if answer.layers:
        parts += [_layers(answer.layers), Text("")]
    return Group(*parts, facts(rows), Text(""), facts(watched_findings(answer)))


def _layers(layers: tuple[LayerSeen, ...]) -> RenderableType:
    cells = [layer_cells(layer) for layer in layers[:_MOST_LAYERS]]
    empty = [
        name for place, name in enumerate(COLUMNS)
        if place > 1 and all(row[place] in ("-", "") for row in cells)
    ]  # fmt: skip
    kept = [place for place, name in enumerate(COLUMNS) if name not in empty]
    rows = [[row[place] for place in kept] for row in cells]
    table = FittingTable([COLUMNS[place] for place in kept], rows, _LEFT, _FIRST_TO_GO, "layer")
    if len(layers) <= _MOST_LAYERS:
        return table
    return Group(table, Text(f"and {len(layers) - _MOST_LAYERS} more, in the report"))


def layer_cells(layer: LayerSeen) -> list[str]:
    """The cells of one layer, in the order of ``COLUMNS``."""
    dead = "-"
    if layer.dead is not None:
        dead = f"{layer.dead} of {layer.units}"
    return [
        layer.name, layer.operation, volume(layer.shape[1:]) if layer.shape else "",
        *(brief(value) for value in (layer.mean, layer.std)),
        share(layer.zero), share(layer.saturated), dead,
        *(brief(value) for value in (layer.gradient_norm, layer.weight_norm, layer.update_ratio)),
        share(layer.noise),
    ]  # fmt: skip


def brief(value: float | None) -> str:
    """Two or three digits of a number.

    Examples:
        >>> brief(0.0123456), brief(None)
        ('0.0123', '-')
    """
    return "-" if value is None else f"{value:.3g}"


def share(value: float | None) -> str:
    """A share in whole per cent.

    Examples:
        >>> share(0.256), share(None)
        ('26 %', '-')
    """
    return "-" if value is None else f"{100 * value:.0f} %"


def fact_rows(answer: Watched) -> list[tuple[str, str]]:
    """What trains, on what, and how it went."""
    return [
        ("script", answer.script),
        *(("network", _model(model)) for model in answer.models),
        ("minibatch", _tensor(answer.inputs)),
        *(("data", words) for words in _loaders(answer)),
        ("loss", _loss(answer)),
        *(("optimizer", _optimizer(item, _rates(answer))) for item in answer.optimizers),
        ("precision", f"autocast to {answer.autocast}" if answer.autocast else ""),
        ("steps", _steps(answer)),
        ("went", _went(answer)),
        ("ended", _ended(answer)),
        *(("broke down in", line) for line in answer.crash),
        *(("not watched", item) for item in answer.unseen),
        ("run", answer.folder),
        ("report", answer.report),
    ]


def _at(place: object) -> str:
    return f" ({place})" if place is not None else ""


def _model(model: ModelSeen) -> str:
    frozen = sum(not item.trainable for item in model.parameters)
    note = f", {frozen} of its {len(model.parameters)} tensors frozen" if frozen else ""
    return f"{model.name} = {model.kind}, {number(model.size)} parameters{note}{_at(model.called)}"


def _tensor(found: TensorFacts | None) -> str:
    if found is None:
        return ""
    shape = " x ".join(map(str, found.shape))
    return (
        f"{shape} {found.dtype}, mean {found.mean:.3g}, std {found.std:.3g}, in [{found.low:.3g}, "
        f"{found.high:.3g}]"
    )


def _loaders(answer: Watched) -> list[str]:
    """One line for each place that makes DataLoaders: some programs make one for every epoch."""
    by_place: dict[str, LoaderSeen] = {}
    for item in answer.loaders:
        name = f"{item.made} {item.examples} {item.batch_size}"
        passes = item.passes + (by_place[name].passes if name in by_place else 0)
        by_place[name] = replace(item, passes=passes)
    return [_loader(item) for item in by_place.values()]


def _loader(item: LoaderSeen) -> str:
    examples = "?" if item.examples is None else f"{item.examples:,}"
    workers = f", {item.workers} workers" if item.workers else ""
    order = "shuffled" if item.shuffle else "in order"
    size = "" if item.batch_size is None else f" in minibatches of {item.batch_size}"
    return f"{examples} examples{size}, {order}{workers}, {item.passes} passes{_at(item.made)}"


def _loss(answer: Watched) -> str:
    call = answer.loss
    if call is None:
        return f"not recognised; backward{_at(answer.backward)}" if answer.backward else ""
    name = f"written out as {call.function}" if call.written_out else call.function
    reduction = "" if call.reduction == "mean" else f", reduction {call.reduction}"
    where = f"; backward{_at(answer.backward)}" if answer.backward else ""
    return f"{name}{reduction}{_at(call.place)}{where}"


def _rates(answer: Watched) -> str:
    """The first and the last learning rate of the only optimizer, where it was changed."""
    rates = [value for _, value in answer.series.get("train/learning_rate", ())]
    return "" if len(set(rates)) < 2 else f"{rates[0]:g} to {rates[-1]:g}"


def _optimizer(item: OptimizerSeen, rates: str = "") -> str:
    first = dict(item.groups[0]) if item.groups else {}
    if rates:
        first["lr"] = rates
    settings = [
        f"{name} {_setting(first[key])}"
        for key, name in (("lr", "learning rate"), ("momentum", "momentum"), ("betas", "betas"),
                          ("weight_decay", "weight decay"))
        if first.get(key)
    ]  # fmt: skip
    groups = f"{len(item.groups)} groups" if len(item.groups) > 1 else ""
    word = "evaluations" if item.name == "LBFGS" else "backwards"
    accumulated = f"{item.backwards:.3g} {word} per step" if item.backwards > 1.05 else ""
    schedule = f"{item.scheduler}{_at(item.scheduled)}" if item.scheduler else ""
    clipped = ""
    if item.clipped is not None:
        clipped = f"gradients clipped to {item.clipped:.2g} of their norm at most{_at(item.clips)}"
    scaler = "gradient scaler" if item.scaler else ""
    words = [*settings, groups, accumulated, schedule, clipped, scaler]
    name = f"{item.name}{_at(item.made)}"
    return ", ".join([name, *(word for word in words if word)])


def _setting(value: object) -> str:
    if isinstance(value, list):
        return " ".join(f"{item:g}" for item in value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _steps(answer: Watched) -> str:
    speed = ""
    if answer.seconds > 0 and answer.steps > 1:
        speed = (
            f" in {duration(answer.seconds)}, {answer.steps / answer.seconds:,.1f} a second; "
            f"watching took {duration(answer.overhead)}"
        )
    return f"{answer.steps:,}, {answer.sampled} of them watched in full{speed}"


def _went(answer: Watched) -> str:
    if answer.first_loss is None:
        return ""
    words = [f"loss {number(answer.first_loss)} to {number(answer.last_loss)}"]
    if answer.constant is not None:
        words.append(f"a constant answer has {number(answer.constant)}")
    if answer.accuracy is not None:
        words.append(f"{percent(answer.accuracy)} right in the last minibatch looked at")
    return "; ".join(words)


def _ended(answer: Watched) -> str:
    if answer.ended in ("finished", "running"):
        return ""
    return f"{answer.ended}: {answer.error}" if answer.error else answer.ended


def _line(place: str) -> str:
    """A line in parentheses; layers stand in the meaning already."""
    return f" ({place})" if ":" in place else ""


def watched_findings(answer: Watched) -> list[tuple[str, str]]:
    """What is not as it should be; one row that says so where nothing was found."""
    if not answer.findings:
        return [("findings", "none (no symptom is no proof of health)")]
    return [
        (item.code, f"{item.meaning}{_line(item.place)}; {item.remedy}") for item in answer.findings
    ]
