"""Applying: write a fix that has been proved, and keep the original."""

from __future__ import annotations

import shutil
from pathlib import Path

from chainrule.diagnosis.verdict import Diagnosis
from chainrule.errors import RunError
from chainrule.record.atomic import write_atomically


def apply_fix(answer: Diagnosis) -> list[str]:
    """Write the changed files of a diagnosis; gives what was done, in lines.

    Nothing is written unless the changed script itself was run and learned.

    Raises:
        RunError: a file cannot be written, or has changed in the meantime.

    Examples:
        >>> apply_fix(Diagnosis("healthy", "train.py", "it learns"))
        ['nothing to apply: the verdict is healthy']
    """
    if answer.verdict != "faulty":
        return [f"nothing to apply: the verdict is {answer.verdict}"]
    if not answer.patched:
        tried = any(item.checked is False for item in answer.causes)
        reason = (
            "the changed script was run and did not learn" if tried
            else "no edit is known that was run and learned"
        )  # fmt: skip
        return [f"nothing applied: {reason}"]
    return [_write(Path(file), text) for file, text in answer.patched.items()]


def _write(path: Path, text: str) -> str:
    kept = _free(path)
    try:
        shutil.copy2(path, kept)
        write_atomically(path, text.encode())
    except OSError as error:
        raise RunError(
            f"file '{path}' cannot be written: {error.strerror or error}; the diff is above"
        ) from None
    return f"changed {path}; the original is {kept}"


def _free(path: Path) -> Path:
    """A name beside it that is not taken."""
    kept = path.with_name(path.name + ".orig")
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.orig{number}")
    return kept
