"""Diagnosed: how a diagnosis looks on a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chainrule.diagnosis.verdict import CauseFound, Diagnosis, ReplaySeen
from chainrule.report.terminal import renderable
from chainrule.report.words import duration

_STYLE = {"faulty": "bold red", "healthy": "bold green", "cannot-tell": "bold yellow"}
_MOST = 14


@renderable.register
def _diagnosis(answer: Diagnosis) -> RenderableType:
    parts: list[RenderableType] = [
        Text.assemble((answer.verdict.replace("-", " "), _STYLE[answer.verdict]),
                      f"  {answer.script}"),
        Text(sentence(answer.reason)), Text(""),
    ]  # fmt: skip
    for item in answer.causes:
        parts += [*_cause(item), Text("")]
    if answer.equivalent:
        parts.append(Text(f"cure as well: {', '.join(' + '.join(c) for c in answer.equivalent)}"))
    parts += [_replays(answer), Text("")]
    for title, lines in lists_of(answer):
        parts.append(Text(title, style="bold"))
        parts += [Text(f"  {line}") for line in lines]
    parts.append(Text(f"{len(answer.replays)} replays in {duration(answer.seconds)}", style="dim"))
    return Group(*parts)


def sentence(text: str) -> str:
    """With a capital letter and a full stop.

    Examples:
        >>> sentence("it learns")
        'It learns.'
    """
    return text if not text else f"{text[0].upper()}{text[1:].rstrip('.')}."


def _cause(item: CauseFound) -> list[RenderableType]:
    head = Text.assemble((item.code, "bold"), f"  {item.status}", f"  {item.place}")
    parts: list[RenderableType] = [head, Text(f"  {sentence(item.meaning)}")]
    parts.append(Text(f"  Mend: {item.remedy}."))
    if "baseline" in item.evidence:
        parts.append(Text(f"  Skill by seed: {seeds(item)}."))
    if item.fix:
        parts += [Text(line, style=_line_style(line)) for line in item.fix.splitlines()]
    if item.checked is not None:
        parts.append(Text(f"  The script with this change was run and {_learned(item.checked)}."))
    return parts


def _line_style(line: str) -> str:
    """Of a line of a diff."""
    if line.startswith(("---", "+++", "@@")):
        return "dim"
    return {"+": "green", "-": "red"}.get(line[:1], "")


def cause_words(item: CauseFound) -> dict[str, str]:
    """What a page says of a cause."""
    checked = ""
    if item.checked is not None:
        checked = f"The script with this change was run and {_learned(item.checked)}."
    return {
        "code": item.code, "status": item.status, "place": item.place, "fix": item.fix,
        "meaning": sentence(item.meaning), "remedy": item.remedy, "checked": checked,
        "seeds": seeds(item) if "baseline" in item.evidence else "",
    }  # fmt: skip


def _learned(checked: bool) -> str:
    return "learned" if checked else "did not learn"


def seeds(item: CauseFound) -> str:
    """Skills of baseline and cure."""
    before, after = item.evidence.get("baseline", ()), item.evidence.get("changed", ())
    shown = [", ".join("-" if value is None else f"{value:.2f}" for value in values)
             for values in (before, after)]  # fmt: skip
    return f"{shown[0]} as it is; {shown[1]} with {item.intervention}"


def _replays(answer: Diagnosis) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in (("replay", "left"), ("steps", "right"), ("skill", "right"), ("", "left")):
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    for item in shown(answer):
        table.add_row(item.intervention, f"{item.steps:,}", value_of(item), bar(item.progress))
    return table


def shown(answer: Diagnosis, most: int = _MOST) -> list[ReplaySeen]:
    """Replays of the first seed: the baseline, then the best."""
    first = [item for item in answer.replays if item.seed == 0]
    base = [item for item in first if item.intervention == "nothing changed"][:1]
    rest = [item for item in first if item.intervention != "nothing changed"]
    rest.sort(key=lambda item: -(item.progress if item.progress is not None else -9.0))
    return [*base, *rest[:most]]


def value_of(item: ReplaySeen) -> str:
    """Skill with two digits; a dash where there is none."""
    return "-" if item.progress is None else f"{item.progress:.2f}"


def bar(value: float | None, width: int = 20) -> str:
    """A bar of characters.

    Examples:
        >>> bar(0.5, 4)
        '━━'
    """
    return "━" * round(width * max(0.0, min(1.0, value or 0.0)))


def lists_of(answer: Diagnosis) -> list[tuple[str, list[str]]]:
    """Titles and lines of what else there is to say."""
    found = [
        ("Better, but no fault", [f"{item.code}: {item.text}" for item in answer.advice]),
        ("Ruled out", [f"{code}: {text}" for code, text in answer.ruled_out]),
        ("Controls", [f"{name}: {'held' if held else 'FAILED'}" for name, held in answer.controls]),
        ("Not checked", list(answer.unseen)),
        ("Different from a plain run", list(answer.notes)),
    ]
    return [(title, lines) for title, lines in found if lines]
