"""From network: a network's forward pass as equations, in the names of its layers.

The network is followed by ``torch.fx``; every layer becomes a line of text, and the text is read
like any other. Minibatches have the axis N, batch normalization the statistics of training.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from chainrule.derivation.functions import FUNCTIONS
from chainrule.derivation.program import Program, Value
from chainrule.derivation.reading import read
from chainrule.errors import NetworkError, ShapeError, suggestion
from chainrule.network.build import Network, build
from chainrule.network.spec import NetworkSpec
from chainrule.nn.global_average_pool import GlobalAveragePool
from chainrule.nn.residual import residual_sum

_LOSSES = {"softmax": "softmax_loss", "svm": "svm_loss", "mse": "mse_loss"}


def program_of(
    network: Any, loss: str | None = None, shape: Sequence[int] | None = None
) -> Program:
    """The equations of a network, as a program.

    Args:
        network: a module, or a spec.
        loss: softmax, svm or mse; by default softmax for several scores, mse for one.
        shape: of one example, (C, H, W) or (features,); where the network does not say it.

    Raises:
        NetworkError: it cannot be followed, or a layer has no rule.
    """
    module = build(network) if isinstance(network, NetworkSpec) else network
    if not isinstance(module, nn.Module):
        raise NetworkError(f"network got a {type(network).__name__}, wants a module or a spec")
    writer = _Writer(module, _input_shape(module, shape))
    text = writer.written(loss)
    program = read(text)
    values = {
        name: Value(name, value.expr, value.family, writer.layers.get(name, ""))
        for name, value in program.values.items()
    }
    return Program(text, values, program.leaves)


def _input_shape(module: nn.Module, shape: Sequence[int] | None) -> tuple[int, ...]:
    if shape is not None:
        return tuple(shape)
    if isinstance(module, Network) and module.spec.input is not None:
        return module.spec.input.shape
    first = next((item for item in module.modules() if isinstance(item, nn.Linear)), None)
    leading = next((item for item in module.modules() if isinstance(item, nn.Conv1d | nn.Conv2d)),
                   None)  # fmt: skip
    if first is None or leading is not None:
        raise NetworkError("the shape of an example is missing: give input, such as 1,8,8")
    return (first.in_features,)


class _Layers(fx.Tracer):
    """Follows into everything but PyTorch's own layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        own = isinstance(m, GlobalAveragePool)
        return own or super().is_leaf_module(m, module_qualified_name)


class _Writer:
    """Writes a line for each operation."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...]) -> None:
        self.module = module
        self.lines = [f"x: {_shape(('N', *shape))}"]
        self.names: dict[str, str] = {}
        self.layers: dict[str, str] = {}
        self.taken = {"x", "y", "t", "L", "N"}

    def written(self, loss: str | None) -> str:
        last = "x"
        for node in self._nodes():
            if node.op == "placeholder":
                self.names[node.name] = "x"
            elif node.op == "output":
                break
            elif node.op == "get_attr":
                self.names[node.name] = self._parameter(node)
            else:
                last = self._line(node)
        self._loss(last, loss)
        return "\n".join(self.lines)

    def _nodes(self) -> Any:
        try:
            return list(_Layers().trace(self.module).nodes)
        except Exception as error:  # whatever torch.fx says is told
            reason = (str(error).splitlines() or [""])[0]
            raise NetworkError(
                f"the network cannot be followed symbolically ({type(error).__name__}: {reason}): "
                "its forward branches on values; write its equations instead"
            ) from error

    def _parameter(self, node: fx.Node) -> str:
        value = operator.attrgetter(str(node.target))(self.module)
        return self._declared(_identifier(str(node.target)), tuple(value.shape))

    def _declared(self, name: str, shape: tuple[int, ...]) -> str:
        if name not in self.taken:
            self.taken.add(name)
            self.lines.append(f"{name}: {_shape(shape)}")
        return name

    def _line(self, node: fx.Node) -> str:
        if node.op == "call_module":
            layer = self.module.get_submodule(str(node.target))
            name = self._free(_identifier(str(node.target)))
            formula = self._layer(layer, name, self._argument(node.args[0]))
            self.layers[name] = str(node.target)
        else:
            name = self._free(_identifier(node.name))
            formula = self._function(node)
        self.lines.append(f"{name} = {formula}")
        self.names[node.name] = name
        return name

    def _free(self, name: str) -> str:
        base, count = name, 2
        while name in self.taken or name in FUNCTIONS:
            name, count = f"{base}_{count}", count + 1
        self.taken.add(name)
        return name

    def _argument(self, item: Any) -> str:
        if isinstance(item, fx.Node):
            return self.names[item.name]
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise NetworkError(f"an argument {item!r} has no place in an equation")
        return f"({item})" if item < 0 else f"{item}"

    def _layer(self, layer: nn.Module, name: str, x: str) -> str:
        make = next((make for kind, make in _MODULES.items() if type(layer) is kind), None)
        if make is None:
            known = ", ".join(kind.__name__ for kind in _MODULES)
            raise NetworkError(
                f"layer '{name}' is a {type(layer).__name__}, for which there is no rule; rules: "
                f"{known}"
            )
        return make(self, layer, name, x)

    def _function(self, node: fx.Node) -> str:
        args = [
            self._argument(item) for item in node.args if isinstance(item, fx.Node | int | float)
        ]
        if node.op == "call_method":
            key: Any = str(node.target)
        else:
            key = node.target
        make = _CALLS.get(key)
        if make is None:
            name = getattr(key, "__name__", key)
            raise NetworkError(f"function '{name}' has no rule in equations; write them by hand")
        return make(args)

    def weights(self, layer: Any, name: str) -> tuple[str, str]:
        """Names of a layer's weight and bias, declared; "" for no bias."""
        weight = self._declared(f"W_{name}", tuple(layer.weight.shape))
        if layer.bias is None:
            return weight, ""
        return weight, self._declared(f"b_{name}", tuple(layer.bias.shape))

    def _loss(self, last: str, loss: str | None) -> None:
        program = read("\n".join(self.lines))
        shape = program.shape(last)
        if loss is None:
            loss = "softmax" if len(shape) == 2 and shape[1] != 1 else "mse"
        if loss not in _LOSSES:
            raise NetworkError(
                f"loss got '{loss}'{suggestion(loss, _LOSSES)}; wants one of {', '.join(_LOSSES)}"
            )
        if loss != "mse" and len(shape) != 2:
            raise ShapeError(f"loss {loss} wants scores (N, C), the network gives {_shape(shape)}")
        other = "y"
        if loss == "mse":
            other = "t"
            self.lines.append(f"t: {_shape(shape)}")
        self.lines.append(f"L = {_LOSSES[loss]}({last}, {other})")


def _shape(shape: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, shape))})"


def _identifier(path: str) -> str:
    name = re.sub(r"\W", "_", path)
    return name if not name[0].isdigit() else f"layer{name}"


def _linear(writer: _Writer, layer: Any, name: str, x: str) -> str:
    weight, bias = writer.weights(layer, name)
    return f"{x} @ {weight}^T" + (f" + {bias}" if bias else "")


def _conv(rank: int) -> Callable[[_Writer, Any, str, str], str]:
    def make(writer: _Writer, layer: Any, name: str, x: str) -> str:
        plain = layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros"
        stride, padding = _one(layer.stride, name), _one(layer.padding, name)
        if not plain:
            raise NetworkError(f"layer '{name}': groups, dilation and padding modes have no rule")
        weight, bias = writer.weights(layer, name)
        end = f", {bias}" if bias else ""
        return f"conv{rank}d({x}, {weight}{end}, stride={stride}, padding={padding})"

    return make


def _pool(kind: str, rank: int) -> Callable[[_Writer, Any, str, str], str]:
    def make(writer: _Writer, layer: Any, name: str, x: str) -> str:
        if _one(layer.padding, name) or getattr(layer, "ceil_mode", False):
            raise NetworkError(f"layer '{name}': pooling with padding has no rule")
        window, stride = _one(layer.kernel_size, name), _one(layer.stride, name)
        return f"{kind}{rank}d({x}, {window}, stride={stride})"

    return make


def _one(value: Any, name: str) -> int:
    """The same number along all axes."""
    values = set(value) if isinstance(value, tuple) else {value}
    if len(values) != 1 or not isinstance(next(iter(values)), int):
        raise NetworkError(f"layer '{name}' has different numbers along its axes: no rule for that")
    return int(values.pop())


def _batchnorm(writer: _Writer, layer: Any, name: str, x: str) -> str:
    if not layer.affine:
        raise NetworkError(f"layer '{name}': batch normalization without gamma has no rule")
    shape = (layer.num_features,)
    gamma, beta = (writer._declared(f"{word}_{name}", shape) for word in ("gamma", "beta"))
    return f"batchnorm({x}, {gamma}, {beta}, eps={layer.eps:.12f})"


def _dropout(writer: _Writer, layer: Any, name: str, x: str) -> str:
    return f"dropout({x}, m_{name}, {layer.p})"


def _unflatten(writer: _Writer, layer: Any, name: str, x: str) -> str:
    if layer.dim != 1:
        raise NetworkError(f"layer '{name}' unflattens axis {layer.dim}: no rule for that")
    return f"reshape({x}, N, {', '.join(map(str, layer.unflattened_size))})"


def _plain(function: str) -> Callable[[_Writer, Any, str, str], str]:
    return lambda writer, layer, name, x: f"{function}({x})"


_MODULES: dict[type[nn.Module], Callable[[_Writer, Any, str, str], str]] = {
    nn.Linear: _linear,
    nn.Conv1d: _conv(1),
    nn.Conv2d: _conv(2),
    nn.MaxPool1d: _pool("maxpool", 1),
    nn.MaxPool2d: _pool("maxpool", 2),
    nn.AvgPool1d: _pool("avgpool", 1),
    nn.AvgPool2d: _pool("avgpool", 2),
    nn.BatchNorm1d: _batchnorm,
    nn.BatchNorm2d: _batchnorm,
    nn.ReLU: _plain("relu"),
    nn.Tanh: _plain("tanh"),
    nn.Sigmoid: _plain("sigmoid"),
    nn.LeakyReLU: lambda w, layer, n, x: f"leaky_relu({x}, {layer.negative_slope})",
    nn.ELU: lambda w, layer, n, x: f"elu({x}, {layer.alpha})",
    nn.Softplus: _plain("softplus"),
    nn.Dropout: _dropout,
    nn.Flatten: _plain("flatten"),
    nn.Unflatten: _unflatten,
    nn.Identity: lambda w, layer, n, x: x,
    GlobalAveragePool: lambda w, layer, n, x: f"mean(mean({x}, axis=3), axis=2)",
}


def _called(function: str) -> Callable[[list[str]], str]:
    return lambda args: f"{function}({args[0]})"


def _between(sign: str) -> Callable[[list[str]], str]:
    return lambda args: f"{args[0]} {sign} {args[1]}"


_CALLS: dict[Any, Callable[[list[str]], str]] = {
    operator.add: _between("+"), torch.add: _between("+"),
    operator.sub: _between("-"), operator.mul: _between("*"), torch.mul: _between("*"),
    operator.truediv: _between("/"), operator.matmul: _between("@"), torch.matmul: _between("@"),
    operator.neg: lambda args: f"-{args[0]}",
    operator.pow: _between("^"),
    F.relu: _called("relu"), torch.flatten: _called("flatten"), "flatten": _called("flatten"),
    "t": lambda args: f"{args[0]}^T",
}  # fmt: skip
_CALLS[residual_sum] = _between("+")
for _name in ("relu", "tanh", "sigmoid", "exp", "log", "abs", "sin", "cos", "sqrt"):
    for _key in (_name, getattr(torch, _name), getattr(F, _name, None)):
        _CALLS.setdefault(_key, _called(_name))
_CALLS.pop(None, None)
