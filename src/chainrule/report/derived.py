"""Derived: how derivations look on a terminal and as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from chainrule.derivation.answer import Derivation, Formula, Number, Step, ValueRow
from chainrule.report.terminal import facts, renderable

_MANY = 8  # values of one family after which those in the middle are folded
_FOLDED = 4  # steps of one family after which those in the middle are folded


@renderable.register
def _derivation(answer: Derivation) -> RenderableType:
    parts: list[RenderableType] = [facts(graph_rows(answer)), Text("")]
    for block in step_blocks(answer):
        parts += [Text(line, style="bold" if line[0] != " " else "") for line in block]
        parts.append(Text(""))
    parts += [facts(answer_rows(answer)), Text(""), facts(end_rows(answer))]
    return Group(*parts)


def graph_rows(answer: Derivation) -> list[tuple[str, str]]:
    """The values, what they are made of and who reads them."""
    rows = []
    for value in _few(answer.values):
        if value is None:
            rows.append(("...", "likewise"))
            continue
        shape = f"   {value.shape}" if value.shape else ""
        number = "" if value.value is None else f" = {shown(value.value)}"
        read = f"   -> {', '.join(value.read_by)}" if value.read_by else ""
        rows.append((value.name, f"= {value.formula.text}{number}{shape}{read}"))
    return rows


def _few(values: tuple[ValueRow, ...]) -> Iterator[ValueRow | None]:
    """Long families by their first and last members, None for those between."""
    for family, group in groupby(values, key=lambda value: value.family):
        members = list(group)
        if family and len(members) > _MANY:
            yield from (*members[:3], None, *members[-2:])
        else:
            yield from members


def step_blocks(answer: Derivation) -> Iterator[list[str]]:
    """Lines for each step; long families folded, likewise leaves after the first."""
    told: set[str] = set()
    for _, group in groupby(answer.steps, key=_base):
        steps = list(group)
        if not any(step.read_by for step in steps):
            yield _given_lines(answer, steps)
            continue
        short = [step for step in steps[1:] if not step.named and step.read_by]
        if len(steps) > 1 and len(short) == len(steps) - 1:
            block = _step_lines(answer, steps[0], told)
            yield [*block, *(f"  {_line(answer, step)}" for step in _ends(short))]
            continue
        folded = _ends(steps)
        for step in folded:
            if isinstance(step, int):
                yield [f"  (likewise for {step} more)"]
            else:
                yield _step_lines(answer, step, told)


def _given_lines(answer: Derivation, steps: list[Step]) -> list[str]:
    names = ", ".join(step.name for step in steps)
    title = f"{names}: gradient given" if len(steps) == 1 else f"{names}: gradients given"
    return [title, *(f"  {_line(answer, step)}" for step in steps)]


def _ends(steps: list[Step]) -> list[Step | int]:
    """The first and the last of many, with how many were left out between."""
    kinds = len({step.name.rstrip("0123456789_") for step in steps})
    head, tail = kinds + 1, kinds
    if len(steps) <= max(_FOLDED, head + tail):
        return list(steps)
    return [*steps[:head], len(steps) - head - tail, *steps[-tail:]]


def _base(step: Step) -> str:
    return step.family or step.name.rstrip("0123456789_") or step.name


def _line(answer: Derivation, step: Step | int) -> str:
    if isinstance(step, int):
        return f"(likewise for {step} more)"
    return f"d{answer.output}/d{step.name} = {step.result.text}{_behind(step)}"


def _step_lines(answer: Derivation, step: Step, told: set[str]) -> list[str]:
    head = f"d{answer.output}/d{step.name}"
    blank = "  " + " " * len(head)
    lines = [_heading(step)]
    chain = [step.chain.text] if step.chain is not None and step.chain.text != head else []
    stages = [*chain, *([step.put_in.text] if step.put_in else []), step.result.text]
    for place, stage in enumerate(stages):
        end = _behind(step) if place == len(stages) - 1 else ""
        lines.append(f"{f'  {head}' if place == 0 else blank} = {stage}{end}")
    for words in (*step.reasons, *step.ties):
        if words not in told:
            told.add(words)
            lines.append(f"    {words}")
    return lines


def _heading(step: Step) -> str:
    readers = ", ".join(step.read_by)
    more = ": the paths add up" if len(step.read_by) > 1 else ""
    return f"{step.name} is read by {readers}{more}"


def _behind(step: Step) -> str:
    """Number, name and shapes behind a result."""
    parts = [
        "" if step.value is None else f" = {shown(step.value)}",
        f"   =: {step.named}" if step.named else "",
        f"   {step.shapes}" if step.shapes else "",
    ]
    return "".join(parts)


def answer_rows(answer: Derivation) -> list[tuple[str, str]]:
    """The gradients that were asked for."""
    rows = []
    for name, item in answer.gradients.items():
        number = "" if item.value is None or item.note else f" = {shown(item.value)}"
        shape = f"   {item.shape}" if item.shape else ""
        note = f"   ({item.note})" if item.note else ""
        rows.append((f"d{answer.output}/d{name}", f"= {item.formula}{number}{shape}{note}"))
    return rows


def end_rows(answer: Derivation) -> list[tuple[str, str]]:
    """Abbreviations, updates, notes and the proof."""
    rows = [("where", f"{name} = {item.text}") for name, item in answer.definitions.items()]
    rows += [
        (f"{item.name} <-", f"{item.formula} = {shown(item.value)}") for item in answer.updates
    ]
    rows += [("note", words) for words in answer.notes]
    return [*rows, ("proved", proof_words(answer))]


def proof_words(answer: Derivation) -> str:
    """How the formulas were shown to be right, in one sentence."""
    proof = answer.proof
    sides = f" and {proof.beside_kinks} on the sides of kinks" if proof.beside_kinks else ""
    axes = ", ".join(f"{name} = {count}" for name, count in proof.axes.items())
    return (
        f"at {proof.points} random points{sides}, {proof.compared:,} numbers"
        f"{f' ({axes})' if axes else ''}: largest difference {proof.largest_difference:.2g} from "
        f"autograd, {proof.largest_difference_to_differences:.2g} from central differences"
    )


def shown(value: Number) -> str:
    """A number with six digits; arrays row by row.

    Examples:
        >>> shown([[1.0, 0.5], [2.0, 1 / 3]])
        '[[1, 0.5], [2, 0.333333]]'
    """
    if isinstance(value, list):
        return f"[{', '.join(shown(item) for item in value)}]"
    return "" if value is None else f"{value:.6g}"


def math_lines(answer: Derivation) -> Iterable[tuple[str, list[str]]]:
    """For every step its heading and its lines in LaTeX, for pages."""
    for step in answer.steps:
        head = ratio(answer.output, step.name)
        if not step.read_by:
            yield f"{step.name}: gradient given", [f"{head} = {step.result.latex}"]
            continue
        yield _heading(step), list(_latex_stages(head, step))


def _latex_stages(head: str, step: Step) -> Iterator[str]:
    stages: list[Formula] = [item for item in (step.chain, step.put_in) if item is not None]
    lines = [item.latex for item in stages]
    lines = [line for line in lines if line != head]
    named = rf" \quad =: {_latex_name(step.named)}" if step.named else ""
    lines.append(step.result.latex + named)
    for place, line in enumerate(lines):
        yield f"{head} = {line}" if place == 0 else f"= {line}"


def _latex_name(name: str) -> str:
    from chainrule.derivation.notation import latex_name

    return latex_name(name)


def ratio(above: str, below: str) -> str:
    r"""``\frac{\mathrm{d} L}{\mathrm{d} z}``."""
    return rf"\frac{{\mathrm{{d}} {_latex_name(above)}}}{{\mathrm{{d}} {_latex_name(below)}}}"


def latex_document(answer: Derivation) -> str:
    """The derivation as LaTeX for a document with amsmath: one ``align*`` for each step."""
    blocks = []
    for heading, lines in math_lines(answer):
        first, *rest = lines
        left, _, right = first.partition(" = ")
        rows = [rf"{left} &= {right}", *(f"&{line}" for line in rest)]
        joined = " \\\\\n  ".join(rows)
        words = heading.replace("_", r"\_")
        blocks.append(f"{words}.\n\\begin{{align*}}\n  {joined}\n\\end{{align*}}")
    if answer.definitions:
        rows = [f"{_latex_name(name)} &= {item.latex}" for name, item in answer.definitions.items()]
        joined = " \\\\\n  ".join(rows)
        blocks.append(f"where\n\\begin{{align*}}\n  {joined}\n\\end{{align*}}")
    return "\n\n".join(blocks)
