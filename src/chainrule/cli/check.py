"""``chainrule check``: are the gradients right?"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

_WHAT, _HOW, _SHOW = "What is checked", "How", "What is shown"
_TARGET = (
    "A network in any form (notation, zoo name, file.py:Class), a torch.autograd.Function or a "
    "function of tensors (file.py:name), a loss (softmax, svm, ...), or a pair of NumPy functions "
    "(file.py:forward,backward)."
)


def check_command(
    target: Annotated[str, typer.Argument(help=_TARGET)],
    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="For networks the shape of one example, C,H,W; for functions the whole shape of "
            "each argument, again for further ones: --input 4,3 --input 3,5.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="softmax, svm, squared-hinge, mse, bce or file.py:function; by default all "
            "outputs, as a vector-Jacobian product.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    weight_decay: Annotated[
        float,
        typer.Option(help="Check a penalty of this strength too, apart.", rich_help_panel=_WHAT),
    ] = 0.0,
    penalty: Annotated[str, typer.Option(help="l2, l1 or elastic.", rich_help_panel=_WHAT)] = "l2",
    second_order: Annotated[
        bool,
        typer.Option(
            "--second-order", help="The gradient of the gradient too.", rich_help_panel=_WHAT
        ),
    ] = False,
    batch: Annotated[
        int, typer.Option(help="Examples per minibatch, for networks.", rich_help_panel=_WHAT)
    ] = 2,
    dtype: Annotated[
        str, typer.Option(help="float64 or float32.", rich_help_panel=_HOW)
    ] = "float64",
    method: Annotated[
        str, typer.Option(help="central, forward or richardson.", rich_help_panel=_HOW)
    ] = "central",
    exhaustive: Annotated[
        bool | None,
        typer.Option(
            "--exhaustive/--sampled",
            help="Every element, or random directions and some elements; by default what the time "
            "allows.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(help="Elements of each tensor when sampled.", rich_help_panel=_HOW)
    ] = 16,
    seconds: Annotated[
        float, typer.Option(help="How long it may take, about.", rich_help_panel=_HOW)
    ] = 30.0,
    seed: Annotated[
        int, typer.Option(help="Fixes weights, dropout and inputs.", rich_help_panel=_HOW)
    ] = 0,
    json_output: Annotated[
        bool,
        typer.Option("--json", help="One JSON object on standard output.", rich_help_panel=_SHOW),
    ] = False,
) -> None:
    """Gradients against differences: which tensor, which operation, or is it only a kink?

    Exit code 0: correct, or right beside a kink; 1: wrong; 2: bad input; 3: cannot tell.
    """
    from chainrule.gradients.check import check_gradients

    answer = check_gradients(
        target,
        _inputs(target, input_),
        loss=_loss(loss),
        weight_decay=weight_decay,
        penalty=penalty,
        second_order=second_order,
        batch=batch,
        dtype=dtype,
        method=method,
        exhaustive=exhaustive,
        samples=samples,
        seconds=seconds,
        seed=seed,
    )
    if json_output:
        typer.echo(json.dumps(answer.to_dict()))
    else:
        _show(answer)
    if not answer.ok:
        raise typer.Exit(1 if answer.verdict == "wrong" else 3)


def _inputs(target: str, given: list[str] | None) -> Any:
    """What ``check_gradients`` takes, from the command line's words."""
    if not given:
        return None
    if any("=" in item for item in given):
        return {name: shape for name, _, shape in (item.partition("=") for item in given)}
    return given[0] if len(given) == 1 else tuple(given)


def _loss(text: str | None) -> Any:
    """A loss by name, or the function that ``file.py:name`` stands for."""
    if text is None or ":" not in text:
        return text
    from chainrule.network.imported import attribute

    where, _, what = text.rpartition(":")
    return attribute(where, what)


def _show(answer: Any) -> None:
    from chainrule.report.terminal import show

    show(answer)
