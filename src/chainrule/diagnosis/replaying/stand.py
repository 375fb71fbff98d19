"""Stand: where changes stand in for PyTorch's functions while a replay runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch.overrides import TorchFunctionMode

from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.taps import Taps

if TYPE_CHECKING:
    from chainrule.diagnosis.replaying.live import Live


class PlayTaps(Taps):
    """Taps that let the number be changed that ``backward`` is called on."""

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self._live = live

    def _backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        heard = super()._backward(original)

        @functools.wraps(original)
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            return heard(self._live.backward(tensors), *args, **kwargs)

        return backward


class Stand(TorchFunctionMode):
    """Lets changes stand in for PyTorch functions."""

    def __init__(self, live: Live, changes: list[Change]) -> None:
        super().__init__()
        self._live, self._changes = live, changes

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._live._depth == 0:
            for change in self._changes:
                found = self._asked(change, function, args, kwargs)
                if found is not NotImplemented:
                    return found
        return function(*args, **kwargs)

    def _asked(self, change: Change, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """What a change puts in place of a call; the other changes hear what it calls in turn."""
        others = [item for item in self._changes if item is not change]
        if not others:
            return change.function(self._live, function, args, kwargs)
        with Stand(self._live, others):
            return change.function(self._live, function, args, kwargs)
