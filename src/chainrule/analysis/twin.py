"""Twin: a copy of a module that can be run without touching the module.

The weightless twin lies on PyTorch's meta device and holds no memory, whatever the size of
the module. The twin with weights, for networks whose path depends on values, is on the CPU.
"""

from __future__ import annotations

import copy
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from chainrule.analysis.tree import layers_of

_SHARED = (
    *(int, float, complex, bool, str, bytes, type(None), type, torch.dtype, torch.device),
    *(torch.Size, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, range),
)
_PLAIN = frozenset((int, float, bool, str, type(None)))
_DICTS = (dict, OrderedDict)
_RUN_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_NO_HOOKS = ("_backward_hooks", "_backward_pre_hooks")


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside ``torch.compile``, DataParallel and DistributedDataParallel wrappers.

    Examples:
        >>> inner = nn.Linear(2, 2)
        >>> unwrapped(nn.DataParallel(inner)) is inner
        True
    """
    while True:
        if type(module).__name__ == "OptimizedModule":  # its import would load the compiler
            module = module._orig_mod  # type: ignore[assignment]
        elif isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        else:
            return module


def weightless(module: nn.Module) -> nn.Module:
    """A copy of ``module`` on the meta device; hooks that are not PyTorch's own are left out."""
    return _Copier(_meta).module(unwrapped(module))


def with_weights(module: nn.Module) -> nn.Module:
    """A copy of ``module`` on the CPU with its values; hooks other than PyTorch's left out."""
    return _Copier(_cloned).module(unwrapped(module))


def submodule(root: nn.Module, path: str) -> nn.Module | None:
    """The module at a path, also of scripted modules; None when there is none."""
    return dict(root.named_modules()).get(path)


def forget_laziness(twin: nn.Module) -> None:
    """Take off the hooks that gave lazy layers their sizes; a copy cannot do it by itself."""
    for layer in twin.modules():
        for key, hook in list(layer._forward_pre_hooks.items()):
            if getattr(hook, "__name__", "") == "_infer_parameters":
                del layer._forward_pre_hooks[key]


def left_out_hooks(module: nn.Module) -> int:
    """How many forward hooks of the user's a twin leaves out."""
    hooks = (
        hook
        for layer in layers_of(unwrapped(module)).values()
        for name in _RUN_HOOKS
        for hook in layer.__dict__.get(name, {}).values()
    )
    return sum(not _belongs_to_torch(hook) for hook in hooks)


def _belongs_to_torch(hook: Callable[..., Any]) -> bool:
    """Weight norm, spectral norm and lazy modules work by hooks; other hooks are the user's."""
    where = getattr(hook, "__module__", None) or type(hook).__module__
    return where == "torch" or where.startswith("torch.")


def _meta(tensor: Tensor) -> Tensor:
    if isinstance(tensor, UninitializedParameter):
        made: Tensor = UninitializedParameter(  # type: ignore[call-arg]
            requires_grad=tensor.requires_grad, device="meta", dtype=tensor.dtype
        )
        return made
    if isinstance(tensor, UninitializedBuffer):
        return UninitializedBuffer(device="meta", dtype=tensor.dtype)  # type: ignore[call-arg]
    if tensor.is_quantized or tensor.layout != torch.strided:
        empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    else:
        empty = torch.empty_strided(
            tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta"
        )
    return _like(empty, tensor)


def _cloned(tensor: Tensor) -> Tensor:
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
        return copy.deepcopy(tensor)
    return _like(tensor.detach().to("cpu", copy=True), tensor)


def _like(made: Tensor, tensor: Tensor) -> Tensor:
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(made, requires_grad=tensor.requires_grad)
    return made.requires_grad_() if tensor.requires_grad else made


class _Copier:
    """Copies modules by their attributes; much faster than deepcopy, and never copies weights."""

    def __init__(self, tensor: Callable[[Tensor], Tensor]) -> None:
        self._tensor = tensor
        self._memo: dict[int, Any] = {}
        self._kept: list[Any] = []  # keeps originals alive, so that no id is used twice

    def module(self, module: nn.Module) -> nn.Module:
        module = unwrapped(module)
        if id(module) in self._memo:
            found: nn.Module = self._memo[id(module)]
            return found
        if isinstance(module, torch.jit.ScriptModule):
            scripted: nn.Module = self._remember(module, copy.deepcopy(module).to("cpu"))
            return scripted
        # not by its own __new__: that of a traced graph (torch.fx) makes a class without forward
        twin: nn.Module = self._remember(module, object.__new__(type(module)))
        attributes = twin.__dict__
        for name, value in module.__dict__.items():
            kind = type(value)
            if kind in _PLAIN:
                attributes[name] = value
            elif kind in _DICTS and not value:  # most of a module's own dictionaries are empty
                attributes[name] = kind()
            elif name in _RUN_HOOKS:
                attributes[name] = OrderedDict(self._hooks(value))
            elif name in _NO_HOOKS:
                attributes[name] = OrderedDict()
            elif name == "_compiled_call_impl":
                attributes[name] = None
            else:
                attributes[name] = self.value(value)
        return twin

    def _remember(self, original: Any, made: Any) -> Any:
        self._memo[id(original)] = made
        self._kept.append(original)
        return made

    def _hooks(self, hooks: dict[int, Any]) -> list[tuple[int, Any]]:
        return [(key, self.value(hook)) for key, hook in hooks.items() if _belongs_to_torch(hook)]

    def value(self, value: Any) -> Any:
        if isinstance(value, _SHARED):
            return value
        if id(value) in self._memo:
            return self._memo[id(value)]
        if isinstance(value, nn.Module):
            return self.module(value)
        if isinstance(value, Tensor):
            return self._remember(value, self._tensor(value))
        if isinstance(value, types.MethodType):
            return types.MethodType(value.__func__, self.value(value.__self__))
        if type(value) in _DICTS:
            made = self._remember(value, type(value)())
            made.update((key, self.value(item)) for key, item in value.items())
            return made
        if type(value) in (list, tuple, set):
            return self._remember(value, type(value)(self.value(item) for item in value))
        return self._object(value)

    def _object(self, value: Any) -> Any:
        try:
            return copy.deepcopy(value, self._memo)
        except Exception:  # noqa: BLE001 - locks, generators and files cannot be copied
            return value
