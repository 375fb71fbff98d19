"""Described: how descriptions, comparisons and measured fields look on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from chainrule.analysis.compare import NetworkComparison
from chainrule.analysis.convolutionalize import Convolutionalized
from chainrule.analysis.description import Description
from chainrule.analysis.effective import EffectiveField
from chainrule.finding import Proof
from chainrule.report.columns import COLUMNS, DEFAULT, field_words, rows_of
from chainrule.report.terminal import facts, renderable
from chainrule.report.words import metric, number, percent, size_in_bytes, volume

_NARROWER = ("note", "formula", "kept", "operation", "memory", "macs")  # what goes first


class LayerTable:
    """The table of layers, in as many columns as the terminal has room for.

    Args:
        answer: what to show.
        columns: names of columns; by default the most useful ones that fit.
    """

    def __init__(self, answer: Description, columns: tuple[str, ...] | None = None) -> None:
        self._answer, self._columns = answer, columns

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        yield _drawn(self._answer, self._columns or self._fitting(options.max_width))

    def _fitting(self, width: int) -> tuple[str, ...]:
        noted = any(layer.note for layer in self._answer.layers)
        columns = [*DEFAULT, *(["note"] if noted else [])]
        for drop in _NARROWER:
            if _width(self._answer, columns) <= width:
                break
            if drop == "formula":
                columns[columns.index("parameters")] = "count"
            elif drop in columns:
                columns.remove(drop)
        return tuple(columns)


def _width(answer: Description, columns: list[str]) -> int:
    rows = [[COLUMNS[name].title for name in columns], *rows_of(answer, columns)]
    return sum(max(len(row[place]) for row in rows) + 2 for place in range(len(columns))) - 2


def _drawn(answer: Description, columns: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(columns):
        column = COLUMNS[name]
        table.add_column(
            column.title,
            justify="left" if column.left else "right",
            no_wrap=place == 0,
            overflow="fold",
        )
    *body, last = rows_of(answer, columns)
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    table.add_row(*(Text(cell, style="bold") for cell in last))
    return table


@renderable.register
def _description(answer: Description) -> RenderableType:
    return described(answer)


def described(answer: Description, columns: tuple[str, ...] | None = None) -> Group:
    """The table and what follows from it.

    Args:
        answer: what to show.
        columns: names of columns; by default those that fit.
    """
    parts: list[RenderableType] = [LayerTable(answer, columns), Text(""), facts(summary(answer))]
    if answer.findings:
        parts += [
            Text(""),
            facts([(f.code, _finding(f.meaning, f.remedy)) for f in answer.findings]),
        ]
    if answer.proofs:
        parts += [Text(""), facts(proof_rows(answer))]
    return Group(*parts, Text(""))


def summary(answer: Description) -> list[tuple[str, str]]:
    """The totals in words."""
    totals, memory = answer.totals, answer.memory
    frozen = totals.parameters - totals.trainable
    examples = "1 example" if answer.batch == 1 else f"{answer.batch} examples"
    adam = memory.training["adam"]
    return [
        (
            "parameters",
            f"{totals.parameters:,} ({size_in_bytes(totals.parameter_bytes)})"
            + (f", {frozen:,} of them frozen" if frozen else "")
            + (f"; {totals.buffers:,} numbers in buffers" if totals.buffers else ""),
        ),
        (
            "work",
            f"forward {metric(totals.macs)} MACs ({metric(totals.flops)} FLOPs), backward "
            f"{metric(totals.backward_macs)} MACs, for {examples}",
        ),
        (
            "activations",
            f"inference holds at most {size_in_bytes(totals.inference_bytes)}, training keeps "
            f"{size_in_bytes(totals.training_bytes)}, for {examples}",
        ),
        (
            "training step",
            f"{size_in_bytes(memory.training['sgd'])} with sgd, "
            f"{size_in_bytes(memory.training['momentum'])} with momentum, "
            f"{size_in_bytes(adam)} with adam, for {examples}",
        ),
        ("largest batch", _largest(answer)),
        ("unknown", "; ".join(f"{name} ({what})" for name, what in answer.unknown.items())),
        ("followed", _followed(answer)),
    ]


def _largest(answer: Description) -> str:
    if answer.budget is None:
        return ""
    sizes = answer.largest_batch
    wanted = ("inference", "sgd", "momentum", "adam")
    text = ", ".join(f"{number(sizes[name])} with {name}" for name in wanted[1:])
    return f"in {size_in_bytes(answer.budget)}: {number(sizes['inference'])} for inference, {text}"


def _followed(answer: Description) -> str:
    if answer.traced == "meta":
        return ""
    return f"by one run of a copy on the CPU: {answer.traced_why}"


def _finding(meaning: str, remedy: str) -> str:
    return f"{meaning}; {remedy}" if remedy else meaning


def proof_rows(answer: Description) -> list[tuple[str, str]]:
    """Each proof with its verdict."""
    return [(_verdict(proof), _proof(proof)) for proof in answer.proofs]


def _verdict(proof: Proof) -> str:
    if not proof.compared:
        return "not compared"
    return "proved" if proof.holds else "DIFFERS"


def _proof(proof: Proof) -> str:
    text = f"{proof.claim} by {proof.way}: {proof.compared:,} compared"
    if proof.differences:
        where, computed, proved = proof.differences[0]
        text += f", {len(proof.differences)} differ, first {where}: {computed} against {proved}"
    return f"{text}; {proof.note}" if proof.note else text


def comparison_rows(answer: NetworkComparison) -> list[tuple[str, list[str]]]:
    """Each quantity with one text per network."""
    rows = []
    for name, values in answer.rows.items():
        unit = name.endswith("(bytes)")
        cells = [size_in_bytes(v) if unit and isinstance(v, int) else number(v) for v in values]
        rows.append((name.removesuffix(" (bytes)"), cells))
    if any(answer.weights_of_channels):
        cells = [text or "-" for text in answer.weights_of_channels]
        rows.append(("weights, for C channels", cells))
    return rows


@renderable.register
def _comparison(answer: NetworkComparison) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in answer.networks:
        table.add_column(Text(name), justify="right", overflow="fold")
    for name, cells in comparison_rows(answer):
        table.add_row(Text(name, style="bold"), *(Text(cell) for cell in cells))
    return Group(table, Text(""))


@renderable.register
def _convolutionalized(answer: Convolutionalized) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("layer", "was", "is"):
        table.add_column(title, overflow="fold")
    for row in answer.replaced:
        table.add_row(*(Text(cell) for cell in row))
    rows = [
        (
            "scores",
            f"{volume(answer.input)} gives {volume(answer.output)}, "
            f"largest difference {answer.largest_difference:.2g}",
        ),
        ("score map", f"{volume(answer.larger_input)} gives {volume(answer.larger_output)}"),
        ("parameters", f"{answer.parameters:,}, unchanged"),
    ]
    return Group(table, Text(""), facts(rows), Text(""))


def effective_rows(answer: EffectiveField) -> list[tuple[str, str]]:
    """What was measured, in words."""
    sizes = " x ".join(f"{high - low + 1}" for low, high in answer.box)
    return [
        ("layer", f"{answer.layer}, central unit {answer.unit}"),
        ("theoretical field", f"{field_words(answer.theoretical)}, inside the input {sizes}"),
        ("effective field", f"{answer.size:.1f} pixels square, {percent(answer.share)} of it"),
        ("spread", " x ".join(f"{value:.2f}" for value in answer.sigma) + " pixels (1 sigma)"),
        ("measured on", f"{answer.images} images"),
    ]


@renderable.register
def _effective(answer: EffectiveField) -> RenderableType:
    return Group(facts(effective_rows(answer)), Text(""))
