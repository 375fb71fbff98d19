"""Noise: changes of the random numbers that a script draws itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn

from chainrule.diagnosis.places import is_users
from chainrule.diagnosis.replaying.change import Args, Change, Keywords

if TYPE_CHECKING:
    from chainrule.diagnosis.replaying.live import Live


_NORMAL = ("randn_like", "randn", "normal", "normal_")


_UNIFORM = ("rand_like", "rand", "bernoulli", "uniform_", "bernoulli_")


@dataclass(frozen=True)
class NoNoise(Change):
    """Random numbers that the script itself draws while it trains are all the same.

    Args:
        uniform: what stands for numbers drawn from [0, 1); those of a normal distribution are 0.
    """

    hears: ClassVar[bool] = True
    uniform: float = 0.5

    @property
    def title(self) -> str:
        return f"no random numbers in the training loop ({self.uniform:g} in place of uniform ones)"

    def meet(self, live: Live, network: nn.Module) -> None:
        if live.memory(self).setdefault("patched", False):
            return
        live.memory(self)["patched"] = True
        for name in ("randn", "standard_normal", "rand", "random"):
            value = 0.0 if "n" in name and name != "random" and name != "rand" else self.uniform
            setattr(np.random, name, _steady(getattr(np.random, name), value, live))

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        if live.busy or not live.networks:
            return NotImplemented
        name = str(getattr(function, "__name__", ""))
        if name not in (*_NORMAL, *_UNIFORM):
            return NotImplemented
        value = 0.0 if name in _NORMAL else self.uniform
        if name in ("bernoulli", "bernoulli_"):
            value = round(self.uniform)
        found = function(*args, **kwargs)
        return found.fill_(value) if name.endswith("_") else torch.full_like(found, value)


def _steady(original: Callable[..., Any], value: float, live: Live) -> Callable[..., Any]:
    def drawn(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        if live.busy or not is_users(sys._getframe(1).f_code.co_filename):
            return found
        return found * 0 + value

    return drawn
