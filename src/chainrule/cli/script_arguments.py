"""Script arguments: which words of a command line are ours and which are the script's."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from chainrule.errors import RecipeError


@dataclass(frozen=True)
class Words:
    """A command line taken apart.

    Attributes:
        script: its name.
        theirs: its own arguments.
        ours: options of chainrule that stood behind the script, without dashes; flags are "".
    """

    script: str
    theirs: tuple[str, ...]
    ours: dict[str, str] = field(default_factory=dict)


def words_of(
    rest: Sequence[str], options: Collection[str], flags: Collection[str], source: str
) -> Words:
    """What stands behind the options of chainrule: the script and its arguments.

    An option of chainrule may also stand behind the script, if the script has no such option
    itself (the word is none of the strings in its code); after ``--`` every word is the script's.

    Args:
        rest: the script's name and what follows.
        options: names of options that take a value, without dashes.
        flags: names of options that take none.
        source: text of the script.

    Raises:
        RecipeError: an option without its value.

    Examples:
        >>> words_of(["train.py", "--lr", "0.1", "--json", "out.json"], ["json"], [], "")
        Words(script='train.py', theirs=('--lr', '0.1'), ours={'json': 'out.json'})
    """
    script, words = rest[0], list(rest[1:])
    own = _strings(source)
    theirs: list[str] = []
    ours: dict[str, str] = {}
    while words:
        word = words.pop(0)
        if word == "--":
            theirs += words
            break
        name, equals, value = word.removeprefix("--").partition("=")
        known = name in options or (name in flags and not equals)
        if not word.startswith("--") or not known or f"--{name}" in own:
            theirs.append(word)
        elif name in flags:
            ours[name] = ""
        elif equals or words:
            ours[name] = value if equals else words.pop(0)
        else:
            raise RecipeError(f"option --{name} got nothing, wants a value behind it")
    return Words(script, tuple(theirs), ours)


def _strings(source: str) -> frozenset[str]:
    """All string constants of a program; none where it cannot be parsed."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return frozenset()
    return frozenset(
        node.value for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )  # fmt: skip
