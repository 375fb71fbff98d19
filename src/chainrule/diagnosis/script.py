"""Script: run a user's script or module as Python itself would, in this process."""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from types import ModuleType, TracebackType

from chainrule.errors import ScriptError, suggestion

_OURS = (str(Path(__file__)), runpy.__file__, "<frozen runpy>")


@dataclass(frozen=True)
class Script:
    """What is to be run.

    Attributes:
        name: the file as it was typed, or the name of the module.
        arguments: its own arguments.
        module: whether ``name`` is that of a module (``-m``).
    """

    name: str
    arguments: tuple[str, ...] = ()
    module: bool = False

    @property
    def path(self) -> Path | None:
        """The file; None for a module."""
        return None if self.module else Path(self.name)


@dataclass(frozen=True)
class Ending:
    """How a script ended.

    Attributes:
        code: its exit code, as a shell would see it.
        error: what was raised and not caught, None where the script came to its end.
        signal: the signal that Python would end the process with; 0 for none.
    """

    code: int
    error: BaseException | None = None
    signal: int = 0


def find_script(name: str, arguments: Sequence[str] = (), *, module: bool = False) -> Script:
    """The script of that name, looked for before anything is run.

    Raises:
        ScriptError: there is none, or it is not Python.
    """
    script = Script(name, tuple(arguments), module)
    if module:
        _check_module(name)
        return script
    path = Path(name)
    if path.is_dir() and not (path / "__main__.py").exists():
        raise ScriptError(f"script '{name}' is a folder: name the file in it that trains")
    if not path.exists():
        raise ScriptError(f"script '{name}' does not exist{_near(path)}")
    if path.suffix == ".ipynb":
        raise ScriptError(
            f"script '{name}' is a notebook: put 'with chainrule.watch():' around its training "
            "loop, or convert it with 'jupyter nbconvert --to script'"
        )
    return script


def is_script(name: str) -> bool:
    """Whether there is a file or folder of that name, or it is meant to be one."""
    return Path(name).exists() or name.endswith((".py", ".ipynb")) or "/" in name


def _near(path: Path) -> str:
    """What lies in the folder and is spelled alike."""
    try:
        names = [item.name for item in path.parent.iterdir() if item.suffix == ".py"]
    except OSError:
        return f": there is no folder '{path.parent}'"
    return suggestion(path.name, names) or f"; the folder is {path.parent.resolve()}"


def _check_module(name: str) -> None:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None:
        raise ScriptError(
            f"module '{name}' cannot be found: -m wants a name as in 'package.module', importable "
            f"from {here}; a file is given without -m"
        )


def run_script(script: Script, source: str | None = None) -> Ending:
    """Run a script as ``python script.py arguments`` would, until it ends.

    Its output, standard input and signals are its own. A traceback is printed as Python prints
    it, without the lines of chainrule.

    Args:
        script: what to run.
        source: is run in place of the text of the file; it keeps the file's name.
    """
    try:
        _run(script, source)
    except SystemExit as error:
        return _exited(error)
    except KeyboardInterrupt as error:
        _print_traceback(error)
        return Ending(128 + signal.SIGINT, error, signal.SIGINT)
    except BaseException as error:  # noqa: BLE001 - whatever it is, Python would print it
        _print_traceback(error)
        return Ending(1, error)
    return Ending(0)


def leave(ending: Ending) -> None:
    """End this process as the script would have ended its own; returns where that is an exit."""
    if ending.signal:
        signal.signal(ending.signal, signal.SIG_DFL)
        os.kill(os.getpid(), ending.signal)


def _run(script: Script, source: str | None = None) -> None:
    if script.module:
        sys.argv = [script.name, *script.arguments]
        sys.path[0] = str(Path.cwd())
        runpy.run_module(script.name, run_name="__main__", alter_sys=True)
        return
    path = Path(script.name)
    sys.argv = [script.name, *script.arguments]
    if path.is_dir():
        runpy.run_path(script.name, run_name="__main__")
        return
    sys.path[0] = str(path.resolve().parent)
    main = ModuleType("__main__")
    main.__file__ = script.name if path.is_absolute() else str(Path.cwd() / path)
    main.__dict__.update(__builtins__=__builtins__, __annotations__={}, __cached__=None)
    sys.modules["__main__"] = main
    # read as Python reads it: with the encoding that the file declares
    text = path.read_bytes() if source is None else source
    code = compile(text, main.__file__, "exec", dont_inherit=True)
    exec(code, main.__dict__)


def _exited(error: SystemExit) -> Ending:
    code = error.code
    if code is None:
        return Ending(0)
    if isinstance(code, int):
        return Ending(code & 0xFF)
    print(code, file=sys.stderr)
    return Ending(1)


def _print_traceback(error: BaseException) -> None:
    """As Python does, through ``sys.excepthook``, which a script may have replaced."""
    found = users_traceback(error.__traceback__)
    if found is None and not isinstance(error, SyntaxError):
        found = error.__traceback__
    error.__traceback__ = found
    sys.excepthook(type(error), error, error.__traceback__)


def users_traceback(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback from the script's first line on; None where no line of it is the script's."""
    found = traceback
    while found is not None and found.tb_frame.f_code.co_filename in _OURS:
        found = found.tb_next
    return found
