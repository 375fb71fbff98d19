"""``chainrule flow``: activations forward and gradients back, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chainrule.cli.putting import put_out

if TYPE_CHECKING:
    import torch
    from torch import nn

    from chainrule.training.recipe import Recipe

_WHAT, _HOW, _SHOW = "What is looked at", "How", "What is shown"
_TARGET = (
    "A network in any form (notation, zoo name, file.py:Class), with --data; or a kept run: its "
    "identifier, its beginning, or 'last'."
)


def flow_command(
    target: Annotated[str, typer.Argument(help=_TARGET)],
    data: Annotated[
        str | None,
        typer.Option(
            help="digits, mnist, fashion-mnist, cifar10, cifar100, hf:NAME or a path; a run brings "
            "its own.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="softmax, svm, squared-hinge, mse or bce; by default the run's, or the usual one "
            "for the data.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(help="Training examples to look at.", rich_help_panel=_WHAT)
    ] = 256,
    evaluation: Annotated[
        bool,
        typer.Option(
            "--evaluation", help="In evaluation mode, not training mode.", rich_help_panel=_WHAT
        ),
    ] = False,
    runs: Annotated[
        Path, typer.Option(help="Folder where runs are kept.", rich_help_panel=_WHAT)
    ] = Path("runs"),
    update_rule: Annotated[
        str | None,
        typer.Option(
            help="Of the update ratios: sgd, momentum, nesterov, adagrad, rmsprop, adam or adamw; "
            "by default the run's, or sgd.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Of the update ratios; the run's, or the rule's usual one.", rich_help_panel=_HOW
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Examples per minibatch.", rich_help_panel=_HOW)] = 64,
    jacobians: Annotated[
        bool,
        typer.Option(
            "--jacobians/--no-jacobians",
            help="Singular values of each layer's Jacobian, the costly part.",
            rich_help_panel=_HOW,
        ),
    ] = True,
    seed: Annotated[
        int, typer.Option(help="Fixes weights, dropout and examples.", rich_help_panel=_HOW)
    ] = 0,
    html: Annotated[
        Path | None, typer.Option(help="Write it as one HTML page.", rich_help_panel=_SHOW)
    ] = None,
    json_output: Annotated[
        bool,
        typer.Option("--json", help="One JSON object on standard output.", rich_help_panel=_SHOW),
    ] = False,
) -> None:
    """Activations, gradients, update ratios, dead units, singular values, layer by layer."""
    from dataclasses import replace

    from chainrule.cli.looked import looked
    from chainrule.gradients.flow import flow
    from chainrule.training.update_rules import learning_rate as rate_of

    found = looked(target, data, loss=loss, runs=runs, seed=seed)
    inputs, targets = found.examples(examples, seed)
    usual = None if data is None else "sgd"
    recipe = _stepping(found.recipe, update_rule or usual, learning_rate)
    module = found.module.train(not evaluation)
    answer = flow(
        module,
        inputs,
        targets,
        loss=found.loss,
        batch=batch,
        learning_rate=rate_of(recipe),
        update_rule=_rule(recipe, module),
        jacobians=jacobians,
        seed=seed,
    )
    update = f"first step of {recipe.update_rule}, learning rate {rate_of(recipe):g}"
    if recipe.weight_decay and recipe.penalty != "l2":
        update += f", without the {recipe.penalty} penalty"
    notes = (*answer.notes, found.note)
    put_out(replace(answer, network=found.name, update=update, notes=notes), html, json_output)


def _stepping(recipe: Recipe, rule: str | None, rate: float | None) -> Recipe:
    """The recipe with another update rule or learning rate, validated as a recipe is."""
    from chainrule.training.contradictions import RULES_WITH_MOMENTUM
    from chainrule.training.recipe import make_recipe

    values = recipe.plain()
    if rule is not None and rule != recipe.update_rule:
        values |= {"update_rule": rule, "learning_rate": None}
        if rule not in RULES_WITH_MOMENTUM:
            values["momentum"] = None
    return make_recipe(values | ({} if rate is None else {"learning_rate": rate}))


def _rule(recipe: Recipe, module: nn.Module) -> Callable[..., torch.optim.Optimizer]:
    """The recipe's update rule, its l2 penalty on the weights that it touches."""
    from chainrule.nn.penalties import regularized_parameters
    from chainrule.training.update_rules import build_optimizer

    chosen = regularized_parameters(
        module, biases=recipe.penalize_biases, norms=recipe.penalize_norms
    )
    touched = {name for name, _ in chosen}

    def rule(pairs: list[tuple[str, nn.Parameter]], **_: Any) -> torch.optim.Optimizer:
        first = [item for name, item in pairs if name in touched]
        return build_optimizer(recipe, first, [item for name, item in pairs if name not in touched])

    return rule
