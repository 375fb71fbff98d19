"""Taps: where PyTorch is listened to. Everything is put back when the tap is closed.

Public hooks (``register_optimizer_step_pre_hook`` and ``_post_hook``,
``register_module_module_registration_hook``) and a few functions that are wrapped while a watch
lasts: ``torch.autograd.backward`` (which ``Tensor.backward`` calls), ``torch.autograd.grad``,
``torch.compile``, ``Module.train``, ``DataLoader.__iter__``, and the constructors of optimizers,
schedulers and DataLoaders, which only note the line that they are called from.
"""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
)
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.data import DataLoader

_OPEN: weakref.WeakSet[Taps] = weakref.WeakSet()


def _close_all() -> None:
    """In a child process, a DataLoader's worker for one, nothing is heard."""
    for taps in list(_OPEN):
        taps.close()


os.register_at_fork(after_in_child=_close_all)


class Listener(Protocol):
    """Who is told of what happens; no method may raise."""

    def made(self, made: Any) -> None:
        """An optimizer, a scheduler or a DataLoader is being constructed."""

    def assembled(self, child: nn.Module) -> None:
        """A module has become part of another."""

    def compiled(self, target: Any, result: Any) -> None:
        """Something was given to ``torch.compile``."""

    def switched(self) -> None:
        """A module was switched to training or evaluation."""

    def iterated(self, loader: Any) -> None:
        """A pass over a DataLoader begins."""

    def before_backward(self, tensors: Any) -> None:
        """Gradients are about to be computed."""

    def after_backward(self) -> None:
        """Gradients have been computed, or an error was raised on the way."""

    def before_grad(self, outputs: Any, inputs: Any, higher: bool) -> bool:
        """``torch.autograd.grad`` is called; gives whether it is the gradient of a step."""

    def before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """An optimizer is about to update."""

    def after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """An optimizer has updated."""


class Taps:
    """Listens from ``open`` to ``close``; a process forked meanwhile hears nothing."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._stack: ExitStack | None = None

    def open(self) -> None:
        """Begin to listen."""
        listener, stack = self._listener, ExitStack()
        for handle in (
            register_optimizer_step_pre_hook(listener.before_step),
            register_optimizer_step_post_hook(listener.after_step),
            register_module_module_registration_hook(
                lambda _parent, _name, child: (
                    listener.assembled(child) if child is not None else None
                )
            ),
        ):
            stack.callback(handle.remove)
        self._wrap(stack, torch.autograd, "backward", self._backward)
        self._wrap(stack, torch.autograd, "grad", self._grad)
        self._wrap(stack, torch, "compile", self._compile)
        self._wrap(stack, nn.Module, "train", self._train)
        self._wrap(stack, DataLoader, "__iter__", self._iterate)
        # the last three do not call the constructor of their parent
        for kind in (
            Optimizer, LRScheduler, DataLoader, SequentialLR, ChainedScheduler, ReduceLROnPlateau,
        ):  # fmt: skip
            self._wrap(stack, kind, "__init__", self._construct)
        self._stack = stack
        _OPEN.add(self)

    def close(self) -> None:
        """Put everything back as it was."""
        if self._stack is not None:
            self._stack.close()
            self._stack = None
            _OPEN.discard(self)

    def _wrap(self, stack: ExitStack, owner: Any, name: str, wrap: Callable[..., Any]) -> None:
        original = getattr(owner, name)
        wrapped = functools.wraps(original)(wrap(original))
        setattr(owner, name, wrapped)

        def restore() -> None:
            if getattr(owner, name) is wrapped:  # else another tool has wrapped it since
                setattr(owner, name, original)

        stack.callback(restore)

    def _backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        listener = self._listener

        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            listener.before_backward(tensors)
            try:
                return original(tensors, *args, **kwargs)
            finally:
                listener.after_backward()

        return backward

    def _grad(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def grad(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            higher = kwargs.get("create_graph") or (len(args) > 2 and args[2])
            if not self._listener.before_grad(outputs, inputs, bool(higher)):
                return original(outputs, inputs, *args, **kwargs)
            try:
                return original(outputs, inputs, *args, **kwargs)
            finally:
                self._listener.after_backward()

        return grad

    def _compile(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def compiled(model: Any = None, *args: Any, **kwargs: Any) -> Any:
            result = original(model, *args, **kwargs)
            self._listener.compiled(model, result)
            return result

        return compiled

    def _train(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def train(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            self._listener.switched()
            return original(module, *args, **kwargs)

        return train

    def _iterate(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def iterate(loader: Any) -> Any:
            self._listener.iterated(loader)
            return original(loader)

        return iterate

    def _construct(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def construct(made: Any, *args: Any, **kwargs: Any) -> None:
            self._listener.made(made)
            original(made, *args, **kwargs)

        return construct
