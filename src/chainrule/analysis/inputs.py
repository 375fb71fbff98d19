"""Inputs: what a network is described on, from shapes, tensors, tuples and dicts of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.analysis.twin import unwrapped
from chainrule.errors import ShapeError, suggestion
from chainrule.network.source import spec_of

InputLike = (
    "tuple[int, ...] | str | Tensor | Sequence[Any] | Mapping[str, Any] | None"  # for readers
)
DTYPES = {
    "float": torch.float32, "float32": torch.float32, "float64": torch.float64,
    "float16": torch.float16, "bfloat16": torch.bfloat16, "int": torch.int64,
    "int64": torch.int64, "int32": torch.int32, "long": torch.int64, "bool": torch.bool,
    "uint8": torch.uint8, "complex64": torch.complex64,
}  # fmt: skip


_WANTED = "input got {!r}, wants the shape of one example such as (3, 224, 224), or a tensor"


@dataclass(frozen=True)
class Example:
    """Shape and type of one example, without the minibatch axis."""

    shape: tuple[int, ...]
    dtype: torch.dtype | None = None


@dataclass(frozen=True)
class Inputs:
    """What goes into ``forward``: examples to be batched, or tensors and constants as they are.

    Attributes:
        positional: arguments of ``forward``.
        named: keyword arguments.
        batch: examples in the minibatch.
        fixed: whether tensors were given, whose minibatch cannot be changed.
    """

    positional: tuple[Any, ...]
    named: dict[str, Any]
    batch: int = 1
    fixed: bool = False

    def tensors(
        self, device: str, batch: int | None = None, dtype: torch.dtype = torch.float32
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as tensors on a device: empty on "meta", random or given on "cpu".

        Args:
            device: "meta" or "cpu".
            batch: examples in the minibatch, where shapes were given.
            dtype: type of examples whose type was not given.
        """

        def made(value: Any) -> Any:
            return _tensor(value, device, batch or self.batch, dtype)

        return (
            tuple(_nested(item, made) for item in self.positional),
            {name: _nested(item, made) for name, item in self.named.items()},
        )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of every tensor, without the minibatch axis where shapes were given."""
        found: list[tuple[int, ...]] = []

        def collect(value: Any) -> Any:
            found.append(tuple(value.shape))

        for item in (self.positional, self.named):
            _nested(item, collect)
        return tuple(found)


def _tensor(value: Example | Tensor, device: str, batch: int, dtype: torch.dtype) -> Tensor:
    if isinstance(value, Tensor):
        if device == "meta":
            return torch.empty_like(value, device="meta", requires_grad=False)
        if value.is_meta:
            value = Example(tuple(value.shape[1:]), value.dtype)
        else:
            return value.detach().to(device, copy=True)
    kind, shape = value.dtype or dtype, (batch, *value.shape)
    if device == "meta":
        return torch.empty(shape, dtype=kind, device="meta")
    generator = torch.Generator().manual_seed(0)  # so that no global generator is drawn from
    if kind.is_floating_point or kind.is_complex:
        return torch.rand(shape, generator=generator).to(kind)
    return torch.zeros(shape, dtype=kind)


def _nested(value: Any, change: Any) -> Any:
    if isinstance(value, Tensor | Example):
        return change(value)
    if isinstance(value, tuple | list):
        made = [_nested(item, change) for item in value]
        return tuple(made) if isinstance(value, tuple) else made
    if isinstance(value, dict):
        return {key: _nested(item, change) for key, item in value.items()}
    return value


def read_inputs(given: Any, module: nn.Module, batch: int = 1) -> Inputs:
    """Inputs from what a user says.

    Args:
        given: the shape of one example, ``(C, H, W)`` or "C,H,W" or "length:int64"; a tensor
            with its minibatch axis; a sequence of these for several arguments; a mapping from
            argument names to these; None to take it from the network where that is safe.
        module: the network.
        batch: examples in the minibatch.

    Raises:
        ShapeError: the input cannot be read, or is not said and cannot be told.
    """
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise ShapeError(f"batch got {batch!r}, wants a whole number from 1")
    if given is None:
        return Inputs((_own(module),), {}, batch)
    if not isinstance(given, str | Tensor | Sequence | Mapping) and not hasattr(given, "dtype"):
        raise ShapeError(_WANTED.format(given))
    if isinstance(given, Sequence | Mapping) and not given:
        raise ShapeError(_WANTED.format(given))
    if isinstance(given, Mapping):
        named = {str(name): _read(item) for name, item in given.items()}
        return Inputs((), named, _batch_of(named, batch), _fixed(named))
    single = not isinstance(given, Sequence) or isinstance(given, str)
    single = single or all(_whole(item) for item in given)
    positional = (_read(given),) if single else tuple(_read(item) for item in given)
    return Inputs(positional, {}, _batch_of(positional, batch), _fixed(positional))


def _whole(item: Any) -> bool:
    return isinstance(item, Integral) and not isinstance(item, bool)


def _read(item: Any) -> Any:
    if isinstance(item, str):
        return _from_text(item)
    if isinstance(item, Tensor | bool | float) or item is None:
        return item
    if isinstance(item, Sequence) and item and all(_whole(size) for size in item):
        return _example(tuple(int(size) for size in item))
    if isinstance(item, Sequence):
        return type(item)(_read(part) for part in item)  # type: ignore[call-arg]
    if isinstance(item, Mapping):
        return {key: _read(part) for key, part in item.items()}
    if hasattr(item, "shape") and hasattr(item, "dtype"):  # NumPy
        return torch.as_tensor(item)
    raise ShapeError(_WANTED.format(item))


def _example(shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Example:
    if any(size < 1 for size in shape):
        raise ShapeError(
            f"input got {','.join(map(str, shape))}, wants sizes from 1, such as 3,224,224"
        )
    return Example(shape, dtype)


def _from_text(text: str) -> Example:
    """ "3,224,224" or "128:int64"."""
    sizes, _, kind = text.partition(":")
    if kind and kind not in DTYPES:
        raise ShapeError(
            f"input got the type '{kind}'{suggestion(kind, DTYPES)}; wants one of "
            f"{', '.join(DTYPES)}"
        )
    try:
        shape = tuple(int(part) for part in sizes.split(","))
    except ValueError:
        shape = ()
    if not shape:
        raise ShapeError(
            f"input got '{text}', wants the shape of one example as C,H,W, such as 3,224,224"
        )
    return _example(shape, DTYPES.get(kind))


def single_shape(given: Any) -> tuple[int, ...] | None:
    """The shape of one example, where it is all that was said.

    Examples:
        >>> single_shape("3,8,8"), single_shape((3, 8, 8)), single_shape({"x": (3,)})
        ((3, 8, 8), (3, 8, 8), None)
    """
    if isinstance(given, str):
        return _from_text(given).shape
    plain = isinstance(given, tuple) and bool(given) and all(_whole(size) for size in given)
    return tuple(int(size) for size in given) if plain else None


def shape_of(text: str) -> tuple[int, ...]:
    """A shape from the command line's "C,H,W".

    Raises:
        ShapeError: it is none.

    Examples:
        >>> shape_of("3,224,224")
        (3, 224, 224)
    """
    return _from_text(text).shape


def _tensors_in(value: Any) -> list[Tensor]:
    found: list[Tensor] = []

    def collect(item: Any) -> Any:
        if isinstance(item, Tensor):
            found.append(item)

    _nested(value, collect)
    return found


def _fixed(value: Any) -> bool:
    return bool(_tensors_in(value))


def _batch_of(value: Any, batch: int) -> int:
    tensors = [item for item in _tensors_in(value) if item.dim()]
    return int(tensors[0].shape[0]) if tensors else batch


def _own(module: nn.Module) -> Example:
    """The input that the network itself tells of, where that is safe."""
    module = unwrapped(module)
    spec = spec_of(module)
    if spec is not None and spec.input is not None:
        return Example(tuple(spec.input.shape))
    config = getattr(module, "default_cfg", None) or getattr(module, "pretrained_cfg", None)
    if isinstance(config, Mapping) and config.get("input_size"):  # timm
        return Example(tuple(config["input_size"]))
    where = type(module).__module__
    if where.startswith("torchvision.models") and "." not in where.removeprefix(
        "torchvision.models."
    ):
        side = 299 if "inception" in where else 224  # the crop of the published weights
        return Example((3, side, side))
    first = next((item for item in module.modules() if not list(item.children())), None)
    if isinstance(first, nn.Linear) and first.in_features:
        return Example((first.in_features,))
    raise ShapeError(_asked(module, first))


def _asked(module: nn.Module, first: nn.Module | None) -> str:
    name = type(module).__name__
    channels = getattr(first, "in_channels", None)
    if isinstance(first, nn.Embedding):
        return (
            f"the input of {name} is not said: its first layer is an embedding of "
            f"{first.num_embeddings:,} tokens; add the length, such as input 128:int64"
        )
    if channels:
        return (
            f"the input of {name} is not said: its first layer wants {channels} channels of a size "
            f"that it leaves open; add it, such as input {channels},224,224"
        )
    return f"the input of {name} is not said: add the shape of one example, such as 3,224,224"
