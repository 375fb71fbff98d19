"""Ear: hears PyTorch functions as they are called, for short stretches of a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

Heard = Callable[[Any, Any, dict[str, Any], Any], None]


class Ear(TorchFunctionMode):
    """Tells of every function called between ``open`` and ``close``.

    Args:
        heard: (function, args, kwargs, output) -> None; runs outside the mode and may not raise.
    """

    def __init__(self, heard: Heard) -> None:
        super().__init__()
        self._heard = heard
        self.is_open = False

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = function(*args, **kwargs)
        self._heard(function, args, kwargs, output)
        return output

    def open(self) -> None:
        """Begin to hear."""
        if not self.is_open:
            self.__enter__()  # type: ignore[no-untyped-call]
            self.is_open = True

    def close(self) -> None:
        """Stop hearing; later, where the user has entered a mode of their own since."""
        stack = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
        if self.is_open and stack[-1:] == [self]:
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self.is_open = False
