"""Script words: what the commands that take a script of the user's have in common."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any


def split_words(
    rest: list[str], module: str | None, command: str, options: Collection[str],
    flags: Collection[str],
) -> tuple[str, tuple[str, ...], dict[str, str]]:  # fmt: skip
    """The script's name, its own arguments, and our options that stood behind it.

    Raises:
        ScriptError: no script is named, or an option of ours that there is not.
    """
    from chainrule.cli.script_arguments import words_of
    from chainrule.errors import ScriptError

    if module is not None:
        rest = [module, *rest]
    if not rest:
        raise ScriptError("script is missing: name a Python file that trains, or -m MODULE")
    if rest[0].startswith("-") and rest[0] != "-":
        raise ScriptError(
            f"option '{rest[0]}' is not one of chainrule {command}: see chainrule {command} "
            "--help; the script's own options stand behind its name"
        )
    path = Path(rest[0])
    plain = module is None and path.is_file()
    source = path.read_text("utf-8", "replace") if plain else ""
    words = words_of(rest, options, flags, source)
    return words.script, words.theirs, dict(words.ours)


def number_of(name: str, value: Any, kind: type) -> Any:
    """A number that may have come as text.

    Raises:
        RecipeError: it is none.

    Examples:
        >>> number_of("steps", "100", int)
        100
    """
    from chainrule.errors import RecipeError

    if not isinstance(value, str):
        return value
    try:
        return kind(value)
    except ValueError:
        raise RecipeError(f"{name} got '{value}', wants a number") from None


def check_writable(name: str, path: Path) -> None:
    """Refuse a file that could not be written in the end.

    Raises:
        RunError: it is a folder, or its folder cannot be written to.
    """
    from chainrule.errors import RunError

    folder = path.absolute().parent
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise RunError(f"{name} file '{path}' cannot be written: choose another with --{name}")


def write_text(path: Path, text: str) -> None:
    """Whole, or not at all."""
    from chainrule.record.atomic import write_atomically

    write_atomically(path, (text + "\n").encode())


def finite(value: Any) -> Any:
    """JSON has no NaN: None stands for it.

    Examples:
        >>> finite({"loss": float("nan"), "steps": (1, 2)})
        {'loss': None, 'steps': [1, 2]}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
