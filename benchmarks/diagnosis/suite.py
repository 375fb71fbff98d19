"""Suite: the scripts, faulty and mended, and what is known of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "scripts"
_MARK = re.compile(r"\s*# (faulty|fixed|near)(?:: ?([\w-]+))?\s*$")


@dataclass(frozen=True)
class Entry:
    """One script.

    Attributes:
        name: of its file, without suffix.
        faults: codes; empty for a healthy one.
        also: codes that cure it as well.
        faulty, fixed: texts without markers.
        lines: code to the lines of the faulty text that count as right.
    """

    name: str
    faults: tuple[str, ...]
    also: tuple[str, ...]
    faulty: str
    fixed: str
    lines: dict[str, set[int]]


def entries(names: list[str] | None = None) -> list[Entry]:
    """All scripts, or those whose names begin so."""
    found = [read(path) for path in sorted(FOLDER.glob("*.py"))]
    if not names:
        return found
    return [item for item in found if any(item.name.startswith(name) for name in names)]


def read(path: Path) -> Entry:
    """One file of the suite."""
    text = path.read_text()
    head = text.split('"""')[1]
    body = text.replace(head, head.strip().splitlines()[0], 1)
    faulty, lines = _version(body, "faulty")
    fixed, _ = _version(body, "fixed")
    return Entry(path.stem, _field(head, "faults"), _field(head, "also"), faulty, fixed, lines)


def _field(head: str, name: str) -> tuple[str, ...]:
    found = re.search(rf"^{name}:(.*)$", head, re.MULTILINE)
    words = [] if found is None else re.split(r"[,;\s]+", found[1].strip())
    return tuple(word for word in words if word and word != "none" and not word.startswith("("))


def _version(text: str, which: str) -> tuple[str, dict[str, set[int]]]:
    kept: list[str] = []
    lines: dict[str, set[int]] = {}
    for line in text.splitlines():
        mark = _MARK.search(line)
        if mark is None:
            kept.append(line)
            continue
        kind, code = mark[1], mark[2]
        if kind == "near" or kind == which:
            kept.append(line[: mark.start()])
            if code:
                lines.setdefault(code, set()).add(len(kept))
        elif code:  # a line that is missing here: the ones around it
            lines.setdefault(code, set()).update((len(kept), len(kept) + 1))
    return "\n".join(kept) + "\n", lines
