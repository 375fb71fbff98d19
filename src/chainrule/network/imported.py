"""Imported: a network from ``package.module:attribute`` or ``file.py:Class(arguments)``."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from chainrule.errors import NetworkError, suggestion


def load_attribute(where: str, what: str, call: str | None) -> nn.Module:
    """The module that ``where:what`` names; a class or function is called.

    Args:
        where: an importable module ("package.module") or a Python file ("net.py").
        what: attribute, dots allowed.
        call: "(64, bias=False)" with literal arguments, or None for none.

    Raises:
        NetworkError: no such module, file or attribute, an error in it, or not a network.
    """
    name = f"{where}:{what}"
    positional, keywords = _arguments(call, name)
    found = attribute(where, what)
    if isinstance(found, nn.Module):
        if call is not None:
            raise NetworkError(f"'{name}' is a module already: leave {call} out")
        return found
    if not callable(found):
        raise NetworkError(f"'{name}' is a {type(found).__name__}, wants a torch.nn.Module")
    try:
        made = found(*positional, **keywords)
    except Exception as error:
        raise NetworkError(f"{name}{call or '()'} failed: {_place(error)}") from error
    if not isinstance(made, nn.Module):
        raise NetworkError(f"{name} gives a {type(made).__name__}, wants a torch.nn.Module")
    return made


def attribute(where: str, what: str) -> Any:
    """The object that ``where:what`` names, as it is.

    Raises:
        NetworkError: no such module, file or attribute, or an error in it.
    """
    found: Any = _import(where)
    for part in what.split("."):
        if not hasattr(found, part):
            near = suggestion(part, [item for item in dir(found) if not item.startswith("_")])
            raise NetworkError(f"'{where}' has no '{part}'{near}")
        found = getattr(found, part)
    return found


def _arguments(call: str | None, name: str) -> tuple[list[Any], dict[str, Any]]:
    """Literal arguments; nothing is evaluated."""
    if call is None:
        return [], {}
    try:
        tree = ast.parse(f"f{call}", mode="eval").body
        if not isinstance(tree, ast.Call):
            raise ValueError
        positional = [ast.literal_eval(item) for item in tree.args]
        keywords = {str(item.arg): ast.literal_eval(item.value) for item in tree.keywords}
    except (ValueError, SyntaxError):
        raise NetworkError(
            f"arguments of '{name}' got {call}, want literals such as (64, bias=False)"
        ) from None
    return positional, keywords


def _import(where: str) -> ModuleType:
    if where.endswith(".py") or "/" in where:
        return _import_file(Path(where))
    try:
        with _on_path(Path.cwd()):
            return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name and (where == error.name or where.startswith(f"{error.name}.")):
            raise NetworkError(
                f"no module '{where}': is its package installed, or is it a file ({where}.py:...)?"
            ) from None
        raise NetworkError(f"'{where}' cannot be imported: {_place(error)}") from error
    except Exception as error:
        raise NetworkError(f"'{where}' cannot be imported: {_place(error)}") from error


def _import_file(path: Path) -> ModuleType:
    """The file as a fresh module; its folder is importable while it loads, as for a script."""
    if not path.is_file():
        raise NetworkError(f"network file '{path}' does not exist: check the path")
    name = f"chainrule_network_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise NetworkError(f"network file '{path}' is not a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses and pickling look the module up while it loads
    try:
        with _on_path(path.resolve().parent):
            specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise NetworkError(f"network file '{path}' failed: {_place(error)}") from error
    return module


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before


def _place(error: Exception) -> str:
    """An error in one line with the file and line where it was raised."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__} at {error.filename}:{error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    reason = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}: {reason}"
