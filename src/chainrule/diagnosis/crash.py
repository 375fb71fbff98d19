"""Crash: where in a network a training broke down, read from the traceback."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from torch import Tensor, nn

from chainrule.diagnosis.models import Cast
from chainrule.diagnosis.places import is_users

_MOST = 6


def crash_lines(error: BaseException | None, cast: Cast) -> tuple[str, ...]:
    """The modules that were running, outermost first, with the shapes of what they were given.

    Args:
        error: with its traceback.
        cast: the networks that were met, to name the modules.

    Examples:
        >>> try:
        ...     nn.Linear(3, 2)(__import__("torch").ones(4, 5))
        ... except RuntimeError as error:
        ...     print(crash_lines(error, Cast())[-1].startswith("Linear"))
        True
    """
    if error is None or isinstance(error, KeyboardInterrupt | SystemExit):
        return ()
    names = _names(cast)
    found: dict[int, str] = {}
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        module = frame.f_locals.get("self")
        if isinstance(module, nn.Module) and frame.f_code.co_name == "forward":
            line = ""
            if is_users(frame.f_code.co_filename):
                line = f" at {frame.f_code.co_filename}:{traceback.tb_lineno}"
            given = _shapes(frame.f_locals)
            found[id(module)] = f"{_title(module, names)}{line}{f': {given}' if given else ''}"
        traceback = traceback.tb_next
    return tuple(found.values())[-_MOST:]


def _names(cast: Cast) -> dict[int, str]:
    return {
        id(layer): f"{model.name}.{path}" if path else model.name
        for model in cast.models
        if (module := model.module()) is not None
        for path, layer in module.named_modules()
    }


def _title(module: nn.Module, names: dict[int, str]) -> str:
    kind = type(module).__name__
    detail = module.extra_repr()
    words = f"{kind}({detail})" if detail and len(detail) < 80 else kind
    name = names.get(id(module))
    return f"{name} = {words}" if name else words


def _shapes(local: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {tuple(value.shape)}" for name, value in list(local.items())
        if isinstance(value, Tensor) and name != "self"
    )  # fmt: skip
