"""Every error that chainrule raises on purpose.

    ChainruleError
    ├── NotationError        a text cannot be read (network, equations); shows line and caret
    ├── ShapeError           two layers do not fit together; names both and the mend
    ├── NetworkError         no network by that name, file or attribute
    ├── GradientError        a gradient cannot be checked: nothing to differentiate, not finite
    ├── DerivationError      a derivation failed its own proof and is not shown
    ├── DataError            data are missing, damaged or not what the recipe needs
    ├── RecipeError          a recipe has an unknown key, a wrong value or a contradiction
    ├── ScriptError          a script to watch is not there, or trains nothing
    ├── RunError             the run store cannot be opened, or holds no such run
    ├── CheckpointError      a checkpoint cannot be written, read or does not belong here
    ├── StudyError           no such experiment, topic or question, or an answer cannot be read
    └── TrainingError        training itself broke down (the loss is no longer finite)

The message is one clear line: which argument, what it got, what it wants, how to mend it
(a NotationError adds the line it complains of). The command line prints it and exits with
``exit_code``: 2 for bad input, 1 when the input was fine and training itself broke down.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ChainruleError(Exception):
    """Base of all errors that chainrule raises on purpose."""

    exit_code = 2


class NotationError(ChainruleError):
    """A text cannot be read (a network, equations): shows the line, a caret, what was expected.

    Args:
        message: what was found and what was expected, in one line.
        text: the whole text that was read.
        position: offset of the offending character in ``text`` (0-based).
    """

    def __init__(self, message: str, text: str = "", position: int = 0) -> None:
        self.message, self.text, self.position = message, text, position
        super().__init__(message + _pointer(text, position))


class ShapeError(ChainruleError):
    """Two layers do not fit together."""


class NetworkError(ChainruleError):
    """No network can be found or built under the given name."""


class GradientError(ChainruleError):
    """A gradient cannot be checked: nothing to differentiate, not finite, backward fails."""


class DerivationError(ChainruleError):
    """A derivation failed its own proof: the input was fine, the answer is not shown."""

    exit_code = 1


class DataError(ChainruleError):
    """Data are missing, damaged or not what the recipe needs."""


class RecipeError(ChainruleError):
    """A recipe has an unknown key, a wrong value or a contradiction."""


class ScriptError(ChainruleError):
    """A script to watch is not there, cannot be run or trains nothing."""


class RunError(ChainruleError):
    """The run store cannot be opened or written, or holds no such run."""


class CheckpointError(ChainruleError):
    """A checkpoint cannot be written, cannot be read or belongs to another network."""


class StudyError(ChainruleError):
    """No experiment, topic or question by that name, or an answer that cannot be read."""


class TrainingError(ChainruleError):
    """Training broke down although its input was fine."""

    exit_code = 1


def _pointer(text: str, position: int) -> str:
    """The line of ``text`` that holds ``position`` with a caret under it."""
    if not text.strip():
        return ""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : end if end >= 0 else len(text)]
    number = text.count("\n", 0, start) + 1
    label = f"  line {number}: "
    return f"\n{label}{line}\n{' ' * (len(label) + position - start)}^"


def suggestion(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest known word, or an empty string.

    Examples:
        >>> suggestion("momentun", ["sgd", "momentum"])
        "; did you mean 'momentum'?"
    """
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"; did you mean '{names[near[0]]}'?" if near else ""
