"""Columns: what the table of a network can show, the same in every medium."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.analysis.description import Description, LayerDescription
from chainrule.analysis.receptive_field import ReceptiveField
from chainrule.errors import RecipeError, suggestion
from chainrule.report.words import metric, number, size_in_bytes, volume


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        title: its heading.
        cell: the text of a row.
        total: the text of the last row.
        meaning: one line for help and for readers who hover over it.
        left: whether it is set to the left.
    """

    title: str
    cell: Callable[[LayerDescription], str]
    total: Callable[[Description], str] = lambda _answer: ""
    meaning: str = ""
    left: bool = False


def _sizes(values: Sequence[float | int | None]) -> str:
    """ "3x3", or "7" where all axes agree and there is but one."""
    return "x".join("-" if value is None else f"{value:g}" for value in values)


def field_words(field: ReceptiveField | None) -> str:
    """A receptive field as a reader wants it.

    "7x7"; "188..204" where it varies by position; "851x851 + all" behind a gate; "all".
    """
    if field is None:
        return ""
    bound = "" if field.exact else "<= "
    if field.size is None:
        return f"{bound}all"
    sizes = [
        str(large) if large == small else f"{small}..{large}"
        for small, large in zip(field.smallest or (), field.size, strict=True)
    ]
    return f"{bound}{'x'.join(sizes)}{' + all' if field.whole else ''}"


def _of_field(name: str) -> Callable[[LayerDescription], str]:
    def cell(layer: LayerDescription) -> str:
        field = layer.receptive_field
        if field is None or field.size is None:
            return ""
        return _sizes(getattr(field, name))

    return cell


def _padding(layer: LayerDescription) -> str:
    field = layer.receptive_field
    if field is None or field.size is None:
        return ""
    return "x".join(str(a) if a == b else f"{a}/{b}" for a, b in field.padding)


def _clipped(layer: LayerDescription) -> str:
    field = layer.receptive_field
    return "" if field is None or field.size is None else f"{100 * field.clipped:.0f} %"


def parameters_words(layer: LayerDescription) -> str:
    """ "10 x (5x5x1 + 1) = 260"."""
    if layer.formula:
        return f"{layer.formula} = {layer.parameters:,}"
    return f"{layer.parameters:,}"


COLUMNS: dict[str, Column] = {
    "layer": Column("layer", lambda row: row.name, lambda _: "total", "path in the module", True),
    "operation": Column("operation", lambda row: row.operation, meaning="what it does", left=True),
    "output": Column("output", lambda row: volume(row.output), meaning="height x width x channels"),
    "parameters": Column(
        "parameters",
        parameters_words,
        lambda answer: number(answer.totals.parameters),
        "weights and biases, written out",
    ),
    "count": Column(
        "parameters",
        lambda row: number(row.parameters),
        lambda answer: number(answer.totals.parameters),
        "weights and biases, the number alone",
    ),
    "trainable": Column(
        "trainable",
        lambda row: number(row.trainable),
        lambda answer: number(answer.totals.trainable),
        "parameters that require a gradient",
    ),
    "buffers": Column(
        "buffers",
        lambda row: number(row.buffers),
        lambda answer: number(answer.totals.buffers),
        "numbers in buffers",
    ),
    "macs": Column(
        "MACs",
        lambda row: metric(row.macs),
        lambda answer: metric(answer.totals.macs),
        "multiply-accumulates, forward",
    ),
    "flops": Column(
        "FLOPs",
        lambda row: metric(row.flops),
        lambda answer: metric(answer.totals.flops),
        "floating-point operations, forward",
    ),
    "backward-macs": Column(
        "MACs back",
        lambda row: metric(row.backward_macs),
        lambda answer: metric(answer.totals.backward_macs),
        "multiply-accumulates, backward",
    ),
    "backward-flops": Column(
        "FLOPs back",
        lambda row: metric(row.backward_flops),
        lambda answer: metric(answer.totals.backward_flops),
        "floating-point operations, backward",
    ),
    "memory": Column(
        "memory",
        lambda row: size_in_bytes(row.activation_bytes),
        lambda answer: size_in_bytes(answer.totals.activation_bytes),
        "activations that a forward pass allocates",
    ),
    "kept": Column(
        "kept",
        lambda row: size_in_bytes(row.saved_bytes),
        lambda answer: size_in_bytes(answer.totals.training_bytes),
        "activations that autograd keeps for the backward pass (total: with the input)",
    ),
    "intensity": Column(
        "FLOPs/byte",
        lambda row: "" if row.intensity is None else f"{row.intensity:.3g}",
        meaning="arithmetic intensity, forward",
    ),
    "field": Column(
        "field",
        lambda row: field_words(row.receptive_field),
        meaning="receptive field in input pixels; + all: also the whole input through a gate",
    ),
    "jump": Column("jump", _of_field("jump"), meaning="input pixels from unit to unit"),
    "padding": Column("padding", _padding, meaning="pixels seen before/after the input"),
    "centre": Column("centre", _of_field("centre"), meaning="centre of the first unit's field"),
    "holes": Column("holes", _of_field("holes"), meaning="pixels inside the field not seen"),
    "period": Column("period", _of_field("period"), meaning="units after which fields repeat"),
    "clipped": Column("clipped", _clipped, meaning="share of units whose field is cut"),
    "note": Column("note", lambda row: row.note, meaning="remarks", left=True),
}
DEFAULT = ("layer", "operation", "output", "parameters", "macs", "memory", "kept", "field")


def chosen(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names of columns from a list or a text with commas.

    Raises:
        RecipeError: a column that does not exist.

    Examples:
        >>> chosen("layer,field")
        ('layer', 'field')
    """
    if names is None:
        return DEFAULT
    wanted = names.split(",") if isinstance(names, str) else list(names)
    wanted = [name.strip().lower() for name in wanted if name.strip()]
    for name in wanted:
        if name not in COLUMNS:
            raise RecipeError(
                f"columns got '{name}'{suggestion(name, COLUMNS)}; wants some of "
                f"{', '.join(COLUMNS)}"
            )
    return tuple(wanted) or DEFAULT


def rows_of(answer: Description, columns: Sequence[str]) -> list[list[str]]:
    """The table as text: the input, the layers and the totals."""
    first = [_input_cell(answer, name) for name in columns]
    body = [[COLUMNS[name].cell(layer) for name in columns] for layer in answer.layers]
    last = [COLUMNS[name].total(answer) for name in columns]
    return [first, *body, last]


def _input_cell(answer: Description, name: str) -> str:
    if name == "layer":
        return "input"
    return ", ".join(volume(shape) for shape in answer.inputs) if name == "output" else ""
