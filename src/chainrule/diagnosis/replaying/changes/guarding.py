"""Guarding: changes that keep numbers within what floating point can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from chainrule.diagnosis.replaying.change import Args, Change, Keywords
from chainrule.diagnosis.replaying.changes.losing import name_of_function

if TYPE_CHECKING:
    from chainrule.diagnosis.replaying.live import Live


@dataclass(frozen=True)
class GuardOperation(Change):
    """An operation that made the first NaN is kept away from where it is infinite.

    Args:
        name: of the operation.
        line: of the user's file; 0 for every call.
    """

    hears: ClassVar[bool] = True
    name: str = "log"
    line: int = 0

    @property
    def title(self) -> str:
        where = f" on line {self.line}" if self.line else ""
        return f"{self.name}{where} kept away from where it is infinite"

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        name = name_of_function(function)
        if name.strip("ri") not in (self.name, self.name.strip("ri")) and name != self.name:
            return NotImplemented
        if not args or not isinstance(args[0], Tensor) or not self._here():
            return NotImplemented
        guarded = _guarded(name, args)
        return NotImplemented if guarded is None else function(*guarded, **kwargs)

    def _here(self) -> bool:
        if not self.line:
            return True
        from chainrule.diagnosis.places import user_place

        place = user_place()
        return place is None or place.line == self.line


def _guarded(name: str, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    value = args[0]
    rest = args[1:]
    if name in ("log", "log2", "log10"):
        return (value.clamp_min(1e-7), *rest)
    if name in ("sqrt", "rsqrt"):
        return (value.clamp_min(0) + 1e-8, *rest)
    if name == "exp":
        return (value.clamp_max(30.0), *rest)
    if name in ("acos", "asin", "arccos", "arcsin"):
        return (value.clamp(-1 + 1e-6, 1 - 1e-6), *rest)
    if name in ("div", "truediv", "true_divide", "divide") and rest:
        divisor = rest[0]
        if isinstance(divisor, Tensor):
            divisor = torch.where(divisor.abs() < 1e-6, torch.full_like(divisor, 1e-6), divisor)
        return (value, divisor, *rest[1:])
    if name == "rtruediv" or name == "rdiv" or name == "reciprocal":
        return (torch.where(value.abs() < 1e-6, torch.full_like(value, 1e-6), value), *rest)
    if name in ("pow", "norm", "std", "var"):
        return (value + 1e-8 * torch.randn_like(value) if name != "pow" else value + 1e-8, *rest)
    return None


@dataclass(frozen=True)
class FullPrecision(Change):
    """Conversions to half precision are left out."""

    hears: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return "float32 in place of float16"

    def meet(self, live: Live, network: nn.Module) -> None:
        network.float()

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        name = name_of_function(function)
        if name == "half" or (name == "to" and torch.float16 in (*args, *kwargs.values())):
            return args[0].float()
        return NotImplemented
