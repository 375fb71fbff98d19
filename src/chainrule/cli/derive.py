"""``chainrule derive``: the gradient by hand, step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.errors import NotationError

_WHAT, _NUMBERS, _SHOW = "What is derived", "Numbers", "What is shown"


def derive_command(
    equations: Annotated[
        str | None,
        typer.Argument(
            help="A file of equations, or the text itself; one per line or between semicolons: "
            "'z = w*x + b; L = (z - y)^2 / 2'. Arrays are declared: 'X: (N, D)'."
        ),
    ] = None,
    wrt: Annotated[
        str | None,
        typer.Option(
            help="Names by which the gradient is wanted, z1,k1; by default all inputs.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(
            help="Gradients that are known already: v1=delta1,v2=delta2.", rich_help_panel=_WHAT
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            help="What is differentiated; by default the last value.", rich_help_panel=_WHAT
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="A network instead of equations: notation, zoo name, file.py:Class.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    input_: Annotated[
        str | None,
        typer.Option(
            "--input", help="Shape of one example, C,H,W, for networks.", rich_help_panel=_WHAT
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="softmax, svm or mse, behind a network.", rich_help_panel=_WHAT),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            help="Numbers for inputs: x1=1,x2=0.5,W=[[1,2],[3,4]].", rich_help_panel=_NUMBERS
        ),
    ] = None,
    update: Annotated[
        str | None,
        typer.Option(
            help="Append the first step of sgd, momentum, nesterov, adagrad, rmsprop or adam.",
            rich_help_panel=_NUMBERS,
        ),
    ] = None,
    learning_rate: Annotated[
        float, typer.Option(help="Of that step.", rich_help_panel=_NUMBERS)
    ] = 0.1,
    seed: Annotated[
        int, typer.Option(help="Of the points of the proof.", rich_help_panel=_NUMBERS)
    ] = 0,
    latex: Annotated[
        bool,
        typer.Option("--latex", help="The steps in LaTeX (amsmath).", rich_help_panel=_SHOW),
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write it as one HTML page.", rich_help_panel=_SHOW)
    ] = None,
    json_output: Annotated[
        bool,
        typer.Option("--json", help="One JSON object on standard output.", rich_help_panel=_SHOW),
    ] = False,
) -> None:
    """The gradient by the chain rule, written out step by step, and proved."""
    from chainrule.derivation.derive import derive

    answer = derive(
        _source(equations, network, _shape(input_)),
        wrt,
        given=pairs("--given", given),
        values=pairs("--values", values),
        output=output,
        update=update,
        learning_rate=learning_rate,
        loss=loss,
        input=_shape(input_),
        seed=seed,
    )
    _print(answer, latex, html, json_output)


def _source(equations: str | None, network: str | None, shape: tuple[int, ...] | None) -> Any:
    """Text, from the command line or a file; or a network."""
    if (equations is None) == (network is None):
        raise NotationError(
            "derive wants equations (a file or text) or --network, "
            f"got {'neither' if network is None else 'both'}"
        )
    if network is not None:
        from chainrule.network.source import network as network_of

        return network_of(network, input=shape)
    assert equations is not None
    if "=" not in equations:
        path = Path(equations)
        if not path.is_file():
            raise NotationError(
                f"equations got '{equations}', which is no file and has no '=' in it: give a file "
                "or equations such as 'L = (w*x - y)^2'"
            )
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise NotationError(f"equations '{equations}' cannot be read: {error}") from None
    return equations


def pairs(option: str, text: str | None) -> dict[str, str] | None:
    """``a=1,b=[1,2]`` as names and texts; commas in brackets belong to the value.

    Examples:
        >>> pairs("--values", "a=1,b=[1,2]")
        {'a': '1', 'b': '[1,2]'}
    """
    if text is None:
        return None
    found: dict[str, str] = {}
    for item in _split(text):
        name, sign, value = item.partition("=")
        if not sign or not name.strip() or not value.strip():
            raise NotationError(f"{option} got '{item}', wants name=value between commas")
        if name.strip() in found:
            raise NotationError(f"{option} names {name.strip()} twice")
        found[name.strip()] = value.strip()
    return found


def _split(text: str) -> list[str]:
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    sizes = text.split(",")
    if not all(item.strip().isdigit() and int(item) > 0 for item in sizes):
        raise NotationError(f"input got '{text}', wants sizes such as 3,32,32")
    return tuple(int(item) for item in sizes)


def _print(answer: Any, latex: bool, html: Path | None, json_output: bool) -> None:
    if html is not None:
        from chainrule.report.page import write_page

        write_page(answer, html)
        typer.echo(f"written: {html}", err=True)
    if json_output:
        typer.echo(json.dumps(answer.to_dict()))
    elif latex:
        from chainrule.report.derived import latex_document

        typer.echo(latex_document(answer))
    else:
        from chainrule.report.terminal import show

        show(answer)
