"""Scene: who takes part in a training, as plain numbers."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from chainrule.diagnosis.answer import (
    LayerSeen,
    ModelSeen,
    OptimizerSeen,
    ParameterSeen,
)
from chainrule.diagnosis.facts import Sample
from chainrule.diagnosis.layers import Activations
from chainrule.diagnosis.models import Cast, Model, Rule
from chainrule.diagnosis.parameters import ParameterStep
from chainrule.diagnosis.places import Place

_CLIPPERS = ("clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_")
_CLIPPED = 0.999


def models_seen(cast: Cast, reached: set[str], gone: dict[str, ModelSeen]) -> tuple[ModelSeen, ...]:
    """The networks as they are now; those that are gone as they were last."""
    held, names = cast.held(), cast.names()
    found = []
    for model in cast.models:
        if not model.training and any(item.training for item in cast.models):
            continue  # only ever evaluated: a copy with averaged weights, a fixed teacher
        if model.module() is not None:
            gone[model.name] = _model(model, held, names, reached)
        if model.name in gone:
            # what was counted goes on after the network itself is gone
            gone[model.name] = replace(
                gone[model.name], training=model.training, evaluation=model.evaluation,
                trained_in_evaluation=model.trained_in_evaluation, later=model.later,
                later_in_evaluation=model.later_in_evaluation,
                evaluated_in_training=model.evaluated_in_training,
                evaluated=model.evaluation_place,
            )  # fmt: skip
            found.append(gone[model.name])
    return tuple(found)


def _model(model: Model, held: set[int], names: dict[int, str], reached: set[str]) -> ModelSeen:
    parameters = tuple(
        ParameterSeen(
            name, tuple(item.shape), item.requires_grad, id(item) in held,
            names.get(id(item), name) in reached or item.grad is not None,
        )
        for name, item in model.parameters()
    )  # fmt: skip
    return ModelSeen(
        model.name, model.kind, model.place, model.made, parameters, model.training,
        model.evaluation, model.modal, model.trained_in_evaluation, model.later,
        model.later_in_evaluation, model.evaluated_in_training, model.evaluation_place,
    )  # fmt: skip


def optimizers_seen(
    cast: Cast, samples: list[Sample], gone: dict[int, OptimizerSeen]
) -> tuple[OptimizerSeen, ...]:
    """The optimizers that have made a step."""
    ratios = [
        sample.before_step / sample.after_backward
        for sample in samples
        if sample.before_step is not None and sample.after_backward
    ]
    clipped = min(ratios, default=1.0)
    found = []
    for number, rule in enumerate(cast.rules):
        if rule.steps and rule.optimizer() is not None:
            seen = _optimizer(cast, rule, clipped if clipped < _CLIPPED else None)
            gone[number] = _with_what_is_gone(seen, gone.get(number))
        if number in gone:
            found.append(gone[number])
    return tuple(found)


def _with_what_is_gone(seen: OptimizerSeen, before: OptimizerSeen | None) -> OptimizerSeen:
    """An optimizer may outlive its network and schedule: when ``main`` has returned, for one."""
    if before is None:
        return seen
    if not seen.scheduler:
        seen = replace(seen, scheduler=before.scheduler, scheduled=before.scheduled)
    return seen if seen.model else replace(seen, model=before.model)


def _optimizer(cast: Cast, rule: Rule, clipped: float | None) -> OptimizerSeen:
    optimizer = rule.optimizer()
    groups = optimizer.param_groups if optimizer is not None else []
    schedule = next(  # the last one made: the one that is made of others, if there is one
        (
            item for item in reversed(cast.schedules)
            if (made := item.scheduler()) is not None
            and getattr(made, "optimizer", None) is optimizer
        ),
        None,
    )  # fmt: skip
    return OptimizerSeen(
        rule.name, tuple(_settings(group) for group in groups), rule.made, rule.stepped,
        rule.steps, rule.backwards / rule.heard if rule.heard else 1.0,
        schedule.name if schedule else "", schedule.made if schedule else None,
        rule.scaler, None if rule.scaler else clipped,
        None if clipped is None else _clipping_line(rule.stepped),
        _owner(cast, groups),
    )  # fmt: skip


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    kept = {
        name: float(value) if isinstance(value, Tensor) and value.numel() == 1 else value
        for name, value in group.items()
        if name != "params"
    }
    plain = {
        name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()
        if isinstance(value, int | float | bool | str | tuple)
    }  # fmt: skip
    return plain | {"parameters": sum(item.numel() for item in group["params"])}


def _owner(cast: Cast, groups: list[dict[str, Any]]) -> str:
    held = {id(item) for group in groups for item in group["params"]}
    owners = [
        model.name for model in cast.models
        if any(id(item) in held for _, item in model.parameters())
    ]  # fmt: skip
    return ", ".join(owners)


def _clipping_line(stepped: Place | None) -> Place | None:
    """The call that clips, in the file that calls ``step``; the one nearest before that line."""
    if stepped is None:
        return None
    lines = [line for line, name in calls_in(stepped.file) if name in _CLIPPERS]
    before = [line for line in lines if line <= stepped.line]
    line = max(before, default=min(lines, default=0))
    return Place(stepped.file, line) if line else None


@lru_cache(maxsize=64)
def calls_in(file: str) -> tuple[tuple[int, str], ...]:
    """Line and name of every call in a file; none where it cannot be read."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ()
    return tuple(
        (node.lineno, node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
    )


def layers_seen(sample: Sample | None, noises: dict[str, float]) -> tuple[LayerSeen, ...]:
    """A full sample layer by layer; parameters of layers without an output of their own last."""
    if sample is None:
        return ()
    by_layer: dict[str, list[ParameterStep]] = {}
    for item in sample.parameters:
        by_layer.setdefault(item.name.rpartition(".")[0], []).append(item)
    dead = {name: found for name, *found in sample.dead}
    rows = []
    for layer in sample.activations:
        off = dead.get(layer.name, [None, None, None])
        own = by_layer.pop(layer.name, [])
        rows.append(_row(layer, off, own, noises))
    return (*rows, *(_row(None, [None] * 3, own, noises) for own in by_layer.values()))


def _row(
    layer: Activations | None,
    off: Sequence[int | None],
    own: list[ParameterStep],
    noises: dict[str, float],
) -> LayerSeen:
    """One layer: its activations, and its parameters together."""
    gradient = _together(item.gradient_norm for item in own)
    weight = _together(item.weight_norm for item in own)
    update = _together(item.update_norm for item in own)
    heard = [noises[item.name] for item in own if item.name in noises]
    return LayerSeen(
        name=layer.name if layer else own[0].name.rpartition(".")[0] or own[0].name,
        operation=layer.operation if layer else "",
        shape=layer.shape if layer else (),
        mean=_finite(layer.mean) if layer else None,
        std=_finite(layer.std) if layer else None,
        zero=layer.zero if layer else None,
        saturated=layer.saturated if layer else None,
        dead=off[0],
        units=off[1],
        inputs=off[2],
        gradient_norm=gradient,
        weight_norm=weight,
        update_ratio=update / weight if update is not None and weight else None,
        noise=sum(heard) / len(heard) if heard else None,
        not_finite=layer.not_finite if layer else 0,
    )


def _together(norms: Iterable[float | None]) -> float | None:
    known = [item for item in norms if item is not None]
    return _finite(sum(item**2 for item in known) ** 0.5) if known else None


def _finite(value: float) -> float | None:
    return value if value - value == 0 else None
