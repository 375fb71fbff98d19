"""Module hooks: at most three, and none of them for longer than it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from chainrule.diagnosis.layers import LayerProbe


class ModuleHooks:
    """Tells of the next module that is called, of its return, and of the layers inside it.

    Args:
        called: (module, args) -> None, when a module is called while the hooks are armed.

    Attributes:
        probe: looks at the layers of the forward pass that is running; None for no look.
    """

    def __init__(self, called: Callable[[nn.Module, Any], None]) -> None:
        self.probe: LayerProbe | None = None
        self._called = called
        self._armed: Any = None
        self._returning: Any = None

    @property
    def is_armed(self) -> bool:
        return self._armed is not None

    @property
    def is_waiting(self) -> bool:
        """Whether a module that was called has not returned yet."""
        return self._returning is not None

    def arm(self) -> None:
        """Be told of the next module that is called, and of none inside it."""
        if self._armed is None:
            self._armed = register_module_forward_pre_hook(self._called)

    def disarm(self) -> None:
        """Be told of no module."""
        if self._armed is not None:
            self._armed.remove()
            self._armed = None

    def until_return(self, module: nn.Module, then: Callable[..., None]) -> None:
        """Call ``then`` when this call of the module has ended, in whatever way."""

        def hook(called: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if called is module:
                self.unreturn()
                then(args, kwargs, output)

        if isinstance(module, torch.jit.ScriptModule):  # takes no hooks of its own
            self._returning = register_module_forward_hook(hook, with_kwargs=True)
            return
        self._returning = module.register_forward_hook(hook, with_kwargs=True, always_call=True)

    def unreturn(self) -> None:
        """Wait for no return."""
        if self._returning is not None:
            self._returning.remove()
            self._returning = None

    def unprobe(self) -> float:
        """Look at no layers; gives the seconds that the look has taken."""
        probe, self.probe = self.probe, None
        if probe is None:
            return 0.0
        probe.remove()
        return probe.seconds

    def quiet(self) -> float:
        """Take all of them off; gives the seconds that a look has taken."""
        self.disarm()
        self.unreturn()
        return self.unprobe()
