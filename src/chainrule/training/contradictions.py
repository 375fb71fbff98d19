"""Contradictions: settings of a recipe that cannot stand together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.errors import suggestion
from chainrule.nn.initializers import INITIALIZER_ALIASES, INITIALIZERS

if TYPE_CHECKING:
    from chainrule.training.recipe import Recipe

_INITIALIZERS = (*INITIALIZERS, *INITIALIZER_ALIASES)
RULES_WITH_MOMENTUM = ("momentum", "nesterov")


def contradictions(recipe: Recipe) -> list[tuple[bool, str]]:
    """Each with whether the recipe has it, and words that name both sides and the mend."""
    rule, schedule = recipe.update_rule, recipe.schedule
    return [
        (
            recipe.initialization not in _INITIALIZERS,
            f"initialization got {recipe.initialization!r}, wants one of "
            f"{', '.join(_INITIALIZERS)}{suggestion(recipe.initialization, _INITIALIZERS)}",
        ),
        (
            recipe.momentum is not None and rule not in RULES_WITH_MOMENTUM,
            f"momentum {recipe.momentum} contradicts update_rule {rule!r}, which has none of "
            "that name: use momentum or nesterov, or leave momentum out",
        ),
        (
            (recipe.step_epochs is not None or recipe.step_factor is not None)
            and schedule != "step",
            f"step_epochs and step_factor contradict schedule {schedule!r}: set schedule to "
            "step, or leave them out",
        ),
        (
            recipe.clip_norm is not None and recipe.clip_value is not None,
            "clip_norm and clip_value contradict each other: give one of the two",
        ),
        (
            recipe.l1_ratio is not None and recipe.penalty != "elastic",
            f"l1_ratio contradicts penalty {recipe.penalty!r}: set penalty to elastic, or "
            "leave l1_ratio out",
        ),
        (
            recipe.penalty != "l2" and recipe.weight_decay == 0,
            f"penalty {recipe.penalty!r} has no weight: give weight_decay (lambda) as well",
        ),
        (
            recipe.penalty != "l2" and rule == "adamw",
            f"penalty {recipe.penalty!r} contradicts update_rule 'adamw', whose decay is "
            "decoupled: use adam",
        ),
        (
            recipe.label_smoothing > 0 and recipe.loss not in (None, "softmax"),
            f"label_smoothing contradicts loss {recipe.loss!r}: it belongs to softmax",
        ),
        (
            recipe.early_stopping > 0 and recipe.validation_share == 0,
            "early_stopping needs validation examples: give a validation_share above 0",
        ),
        (
            recipe.warmup_epochs >= recipe.epochs,
            f"warmup_epochs {recipe.warmup_epochs:g} leaves nothing of {recipe.epochs} epochs: "
            "lower it",
        ),
        *_of_execution(recipe),
        *_of_processes(recipe),
        (
            recipe.initialization_std is not None and recipe.initialization != "normal",
            f"initialization_std contradicts initialization {recipe.initialization!r}: "
            "it belongs to normal",
        ),
    ]


def _of_execution(recipe: Recipe) -> list[tuple[bool, str]]:
    other = [
        word
        for word, plain in (
            (recipe.precision, "float32"),
            (recipe.memory_format, "channels-first"),
            (recipe.update_kernel, "foreach"),
        )
        if word not in ("auto", plain)
    ]
    return [
        (
            recipe.precise and (bool(other) or bool(recipe.compiled)),
            f"precise contradicts {', '.join(other) or 'compiled'}: it is plain float32, "
            "channels-first, foreach and not compiled; leave one of the two out",
        ),
        (
            recipe.micro_batch_size is not None and recipe.memory is not None,
            "memory decides micro_batch_size: give one of the two",
        ),
        (
            (recipe.micro_batch_size or 0) > recipe.batch_size,
            f"micro_batch_size {recipe.micro_batch_size} is more than batch_size "
            f"{recipe.batch_size}: lower it",
        ),
    ]


def _of_processes(recipe: Recipe) -> list[tuple[bool, str]]:
    other = [
        name
        for name, given in (
            ("average_weights", recipe.average_weights is not None),
            ("max_norm", recipe.max_norm is not None),
            (f"penalty {recipe.penalty}", recipe.penalty != "l2"),
            ("checkpoint_activations", recipe.checkpoint_activations),
            ("compiled", bool(recipe.compiled)),
            ("update_kernel fused", recipe.update_kernel == "fused"),
        )
        if given
    ]
    return [
        (
            recipe.sharded and bool(other),
            f"sharded contradicts {', '.join(other)}, which want whole tensors in every process: "
            "leave one of the two out",
        ),
    ]
