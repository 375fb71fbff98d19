"""Functions: what may be called in an equation, with the shapes that it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.derivation import layers, operations, windows
from chainrule.derivation.expression import (
    Expr,
    Shape,
    add,
    broadcast,
    call,
    mul,
    number,
    power,
    shape_text,
    sizes,
)
from chainrule.errors import ShapeError

Options = dict[str, Expr]
Build = Callable[[Sequence[Expr], Options], Expr]


@dataclass(frozen=True)
class Function:
    """A function by name.

    Attributes:
        build: makes the formula from arguments and options.
        least: fewest arguments.
        most: most arguments.
        options: names of options.
    """

    build: Build
    least: int = 1
    most: int = 1
    options: tuple[str, ...] = ()


FUNCTIONS: dict[str, Function] = {}


def _function(
    *names: str, least: int = 1, most: int = 1, options: tuple[str, ...] = ()
) -> Callable[[Build], Build]:
    def put(build: Build) -> Build:
        for name in names:
            FUNCTIONS[name] = Function(build, least, most, options)
        return build

    return put


def _elementwise(name: str) -> None:
    FUNCTIONS[name] = Function(lambda args, _: call(name, args[0], shape=args[0].shape))


for _name in ("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "abs", "sign", "sin", "cos",
              "softplus"):  # fmt: skip
    _elementwise(_name)


FUNCTIONS["max"] = Function(lambda args, _: _extreme("max", args), 2, 99)
FUNCTIONS["min"] = Function(lambda args, _: _extreme("min", args), 2, 99)


def _extreme(kind: str, args: Sequence[Expr]) -> Expr:
    different = list(dict.fromkeys(args))
    if len(different) == 1:
        return different[0]
    return call(kind, *different, shape=broadcast([item.shape for item in different]))


@_function("leaky_relu", most=2)
def _leaky_relu(args: Sequence[Expr], options: Options) -> Expr:
    slope = args[1] if len(args) > 1 else number(1) / number(100)
    return call("leaky_relu", args[0], slope, shape=args[0].shape)


@_function("elu", most=2)
def _elu(args: Sequence[Expr], options: Options) -> Expr:
    alpha = args[1] if len(args) > 1 else number(1)
    return call("elu", args[0], alpha, shape=args[0].shape)


@_function("where", least=3, most=3)
def _where(args: Sequence[Expr], options: Options) -> Expr:
    if args[0].kind != "indicator":
        raise ShapeError("where wants a condition first, such as where(x > 0, x, 0)")
    return operations.choice(*args)


@_function("sum", options=("axis", "keep"))
def _sum(args: Sequence[Expr], options: Options) -> Expr:
    keep = "keep" in options and options["keep"] != number(0)
    return operations.total(args[0], _axes(args[0], options), keep)


@_function("mean", options=("axis",))
def _mean(args: Sequence[Expr], options: Options) -> Expr:
    axes = _axes(args[0], options)
    return operations.total(args[0], axes) / sizes(args[0].shape[axis] for axis in axes)


def _axes(node: Expr, options: Options) -> list[int]:
    rank = len(node.shape)
    if "axis" not in options:
        return list(range(rank))
    axis = whole(options["axis"], "axis")
    if not -rank <= axis < rank:
        raise ShapeError(f"axis got {axis}, the argument has shape {shape_text(node.shape)}")
    return [axis % rank]


def whole(node: Expr, name: str) -> int:
    """The whole number that an option is."""
    if node.kind != "number" or node.data.denominator != 1:
        raise ShapeError(f"{name} wants a whole number")
    return int(node.data)


@_function("transpose")
def _transpose(args: Sequence[Expr], options: Options) -> Expr:
    return operations.transposed(args[0])


@_function("outer", least=2, most=2)
def _outer(args: Sequence[Expr], options: Options) -> Expr:
    for item in args:
        _ranks("outer", item, (1,))
    return operations.outer(*args)


@_function("norm")
def _norm(args: Sequence[Expr], options: Options) -> Expr:
    squares = operations.total(power(args[0], number(2)), range(len(args[0].shape)))
    return call("sqrt", squares, shape=())


# -- losses ----------------------------------------------------------------------------------


@_function("softmax")
def _softmax(args: Sequence[Expr], options: Options) -> Expr:
    _ranks("softmax", args[0], (1, 2))
    return layers.softmax(args[0])


FUNCTIONS["log_softmax"] = Function(
    lambda args, _: call("log_softmax", args[0], shape=args[0].shape)
)


def _class_loss(kind: str) -> Function:
    def build(args: Sequence[Expr], _options: Options) -> Expr:
        scores, labels = args
        _ranks(kind, scores, (1, 2))
        if labels.shape != scores.shape[:-1]:
            raise ShapeError(
                f"{kind} wants a class for each row, {shape_text(scores.shape[:-1])}; got scores "
                f"{shape_text(scores.shape)} and labels {shape_text(labels.shape)}"
            )
        return call(kind, scores, labels, shape=())

    return Function(build, 2, 2)


FUNCTIONS["softmax_loss"] = _class_loss("softmax_loss")
FUNCTIONS["svm_loss"] = _class_loss("svm_loss")


@_function("squared_error", least=2, most=2)
def _squared_error(args: Sequence[Expr], options: Options) -> Expr:
    gap = power(_same("squared_error", args), number(2))
    return operations.total(gap, range(len(gap.shape)))


@_function("mse_loss", least=2, most=2)
def _mse_loss(args: Sequence[Expr], options: Options) -> Expr:
    gap = power(_same("mse_loss", args), number(2))
    return operations.total(gap, range(len(gap.shape))) / sizes(gap.shape)


def _same(name: str, args: Sequence[Expr]) -> Expr:
    if args[0].shape != args[1].shape:
        shapes = " and ".join(shape_text(item.shape) for item in args)
        raise ShapeError(f"{name} wants two of the same shape, got {shapes}")
    return args[0] - args[1]


def _ranks(name: str, node: Expr, ranks: tuple[int, ...]) -> None:
    if len(node.shape) not in ranks:
        wants = " or ".join(f"{rank} axes" for rank in ranks)
        raise ShapeError(f"{name} wants {wants}, got shape {shape_text(node.shape)}")


@_function("onehot", least=2, most=2)
def _onehot(args: Sequence[Expr], options: Options) -> Expr:
    return layers.one_hot(*args)


@_function("over_margin", least=2, most=2)
def _over_margin(args: Sequence[Expr], options: Options) -> Expr:
    return call("over_margin", *args, shape=args[0].shape)


# -- layers ----------------------------------------------------------------------------------


@_function("batchnorm", least=3, most=3, options=("eps",))
def _batchnorm(args: Sequence[Expr], options: Options) -> Expr:
    _ranks("batchnorm", args[0], (2, 3, 4))
    eps = options.get("eps", number(1) / number(100_000))
    x, gamma, beta = args
    return layers.batchnorm(x, gamma, beta, eps)


@_function("normalized", least=2, most=2)
def _normalized(args: Sequence[Expr], options: Options) -> Expr:
    return layers.normalized(*args)


@_function("deviation", least=2, most=2)
def _deviation(args: Sequence[Expr], options: Options) -> Expr:
    return call("deviation", *args, shape=args[0].shape[1:2])


@_function("dropout", least=3, most=3)
def _dropout(args: Sequence[Expr], options: Options) -> Expr:
    x, mask, p = args
    return mul(x, mask) / (number(1) - p)


@_function("flatten")
def _flatten(args: Sequence[Expr], options: Options) -> Expr:
    first, *rest = args[0].shape
    return operations.reshaped(args[0], (first, _product(rest, "flatten")))


@_function("reshape", least=2, most=9)
def _reshape(args: Sequence[Expr], options: Options) -> Expr:
    node, *dims = args
    shape = tuple(_dim(item) for item in dims)
    for name in {dim for dim in (*shape, *node.shape) if isinstance(dim, str)}:
        if shape.count(name) != node.shape.count(name):
            raise ShapeError(f"reshape cannot change axis {name} of {shape_text(node.shape)}")
    plain = [math.prod(d for d in dims if isinstance(d, int)) for dims in (shape, node.shape)]
    if plain[0] != plain[1]:
        raise ShapeError(f"reshape of {shape_text(node.shape)} to {shape_text(shape)} does not fit")
    return operations.reshaped(node, shape)


@_function("ones", most=9)
def _ones(args: Sequence[Expr], options: Options) -> Expr:
    return number(1, tuple(_dim(item) for item in args))


def _dim(node: Expr) -> int | str:
    return str(node.data) if node.kind == "dim" else whole(node, "an axis")


def _product(dims: Sequence[int | str], name: str) -> int:
    made = 1
    for dim in dims:
        made *= _size(dim, name)
    return made


def _size(dim: int | str, name: str) -> int:
    if isinstance(dim, str):
        raise ShapeError(f"{name} wants axes with sizes in numbers, got {dim}")
    return dim


def _convolution(rank: int) -> Function:
    def build(args: Sequence[Expr], options: Options) -> Expr:
        x, k, *bias = args
        stride = whole(options.get("stride", number(1)), "stride")
        padding = whole(options.get("padding", number(0)), "padding")
        shape = _conv_shape(f"conv{rank}d", rank, x, k, stride, padding)
        made = call(f"conv{rank}d", x, k, shape=shape, stride=stride, padding=padding)
        return made if not bias else add(made, _bias(bias[0], shape, rank))

    return Function(build, 2, 3, ("stride", "padding"))


def _bias(bias: Expr, shape: Shape, rank: int) -> Expr:
    """A bias per filter, (O,), placed so that it meets (N, O, H, W)."""
    if bias.shape == () or len(shape) == rank:
        return bias
    axes = tuple(range(1, rank + 1))
    return call("insert", bias, shape=(*bias.shape, *(1 for _ in axes)), axes=axes)


def _conv_shape(name: str, rank: int, x: Expr, k: Expr, stride: int, padding: int) -> Shape:
    plain = len(x.shape) == rank and len(k.shape) == rank
    if not plain and (len(x.shape), len(k.shape)) != (rank + 2, rank + 2):
        axes = "W" if rank == 1 else "H, W"
        raise ShapeError(
            f"{name} wants input ({axes}) and filter (F...) or input (N, C, {axes}) and filters "
            f"(O, C, F...), got {shape_text(x.shape)} and {shape_text(k.shape)}"
        )
    if not plain and x.shape[1] != k.shape[1]:
        raise ShapeError(
            f"{name} got {x.shape[1]} input channels in {shape_text(x.shape)} and filters "
            f"{shape_text(k.shape)} for {k.shape[1]}"
        )
    spatial = tuple(
        _window(name, n, f, stride, padding)
        for n, f in zip(x.shape[-rank:], k.shape[-rank:], strict=True)
    )
    return spatial if plain else (x.shape[0], k.shape[0], *spatial)


def _window(name: str, n: int | str, f: int | str, stride: int, padding: int) -> int:
    found = windows.window_size(_size(n, name), _size(f, name), stride, padding)
    if found < 1 or stride < 1:
        raise ShapeError(f"{name}: a window of {f} does not fit into {n} (padding {padding})")
    return found


def _pooling(kind: str, rank: int) -> Function:
    def build(args: Sequence[Expr], options: Options) -> Expr:
        x = args[0]
        window = whole(args[1], "the window") if len(args) > 1 else 2
        stride = whole(options["stride"], "stride") if "stride" in options else window
        _ranks(f"{kind}{rank}d", x, (rank, rank + 2))
        spatial = (_window(kind, n, window, stride, 0) for n in x.shape[-rank:])
        shape = (*x.shape[:-rank], *spatial)
        return call(f"{kind}{rank}d", x, shape=shape, window=window, stride=stride)

    return Function(build, 1, 2, ("stride",))


for _rank in (1, 2):
    FUNCTIONS[f"conv{_rank}d"] = _convolution(_rank)
    for _kind in ("maxpool", "avgpool"):
        FUNCTIONS[f"{_kind}{_rank}d"] = _pooling(_kind, _rank)

# arguments that need not be declared: their shape follows from the first one
FOLLOWS: dict[tuple[str, int], Callable[[Expr], Shape]] = {
    ("softmax_loss", 1): lambda scores: scores.shape[:-1],
    ("svm_loss", 1): lambda scores: scores.shape[:-1],
    ("batchnorm", 1): lambda x: x.shape[1:2],
    ("batchnorm", 2): lambda x: x.shape[1:2],
    ("dropout", 1): lambda x: x.shape,
}
ROLES = {("softmax_loss", 1): "labels", ("svm_loss", 1): "labels", ("dropout", 1): "mask",
         ("dropout", 2): "probability"}  # fmt: skip
