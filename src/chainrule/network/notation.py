"""Notation: text to NetworkSpec. (NetworkSpec to text is ``str(spec)``.)"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, VisitError

from chainrule.errors import NotationError
from chainrule.network import spec
from chainrule.network.explain import explain

GRAMMAR = r"""
    start: _SEPARATOR? (input (_SEPARATOR layers?)? | layers)
    input: "INPUT"i (volume | at | size)
    volume: NUMBER "x"i NUMBER "x"i NUMBER
    at: NUMBER "@" NUMBER "x"i NUMBER
    size: NUMBER
    layers: _layer (_SEPARATOR _layer)* _SEPARATOR?
    _layer: conv | conv1d | pool1d | fc | maxout | pool | gap | activation | bn | dropout
          | dropconnect | repeat | residual | droppath

    conv: "CONV"i pair "-" NUMBER conv_option*
    conv1d: "CONV1D"i NUMBER "-" NUMBER conv_option*
    pool1d: POOL1D NUMBER pool_option*
    conv_option: stride | padding | dilation | groups | bias
    fc: "FC"i "-" NUMBER bias?
    maxout: "MAXOUT"i NUMBER "-" NUMBER
    pool: POOL pair pool_option*
    pool_option: stride | padding
    gap: "GAP"i
    activation: PLAIN | SCALED ("(" real ")")?
    bn: "BN"i
    dropout: "DROPOUT"i ("(" real ")")?
    dropconnect: "DROPCONNECT"i ("(" real ")")? _SEPARATOR? (conv | fc)
    repeat: _body "x"i NUMBER
    residual: "RES"i _body
    droppath: "DROPPATH"i "(" real ")" _body
    _body: "[" _SEPARATOR? layers "]"

    stride: "/" pair
    padding: "p"i pair
    dilation: "d"i pair
    groups: "g"i NUMBER
    bias: "b"i NUMBER
    pair: NUMBER ("x"i NUMBER)?
    real: DECIMAL | NUMBER

    POOL1D.2: "AVGPOOL1D"i | "POOL1D"i
    POOL: "AVGPOOL"i | "POOL"i
    PLAIN.2: "RELU"i | "SIGMOID"i | "TANH"i
    SCALED.2: "LRELU"i | "ELU"i
    DECIMAL.2: /\d+\.\d*(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?|\d+e[+-]?\d+/i
    NUMBER: /\d+/
    _SEPARATOR: /(,|->|\n)([,\s]|->|#[^\n]*)*/
    %ignore /[ \t\r\f]+/
    %ignore /#[^\n]*/
"""

_DEFAULTS = {"LRELU": 0.01, "ELU": 1.0}


def parse(text: str) -> spec.NetworkSpec:
    """Read a network in the notation.

    Args:
        text: layers between commas, newlines or ``->``; case is ignored, ``#`` starts a comment.

    Raises:
        NotationError: with the line, a caret, what was found and what was expected.

    Examples:
        >>> parse("INPUT 32x32x1, CONV5-10, POOL2").input.shape
        (1, 32, 32)
    """
    if not text.strip():
        raise NotationError("network got an empty text, wants layers such as CONV5-10, RELU, FC-10")
    try:
        tree = _parser().parse(text)
        return _ToSpec(text).transform(tree)
    except VisitError as error:
        raise error.orig_exc from None
    except UnexpectedInput as error:
        raise explain(error, text) from None


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True, maybe_placeholders=False)


class _ToSpec(Transformer[Token, spec.NetworkSpec]):
    """Turns the tree into a spec, refusing numbers that no layer can have."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def NUMBER(self, token: Token) -> Token:  # noqa: N802 - Lark calls it by the terminal's name
        return token

    def _whole(self, token: Token, least: int, what: str) -> int:
        value = int(token)
        if value < least:
            raise NotationError(
                f"{what} got {value}, wants at least {least}", self.text, token.start_pos or 0
            )
        return value

    def start(self, items: list[Any]) -> spec.NetworkSpec:
        head = items[0] if isinstance(items[0], spec.Input) else None
        layers = items[-1] if isinstance(items[-1], tuple) else ()
        return spec.NetworkSpec(head, layers)

    def layers(self, items: list[Any]) -> tuple[spec.Layer, ...]:
        return tuple(items)

    def input(self, items: list[Any]) -> spec.Input:
        return spec.Input(items[0])

    def volume(self, items: list[Token]) -> spec.Shape:
        height, width, channels = (self._whole(item, 1, "INPUT") for item in items)
        return (channels, height, width)

    def at(self, items: list[Token]) -> spec.Shape:
        return tuple(self._whole(item, 1, "INPUT") for item in items)

    def size(self, items: list[Token]) -> spec.Shape:
        return (self._whole(items[0], 1, "INPUT"),)

    def pair(self, items: list[Token]) -> tuple[Token, Token]:
        return (items[0], items[-1])

    def _pair(self, tokens: tuple[Token, Token], least: int, what: str) -> spec.Pair:
        return (self._whole(tokens[0], least, what), self._whole(tokens[1], least, what))

    def real(self, items: list[Token]) -> Token:
        return items[0]

    def _option(self, name: str, items: list[Any]) -> tuple[str, Any]:
        return (name, items[0])

    def stride(self, items: list[Any]) -> tuple[str, spec.Pair]:
        return ("stride", self._pair(items[0], 1, "stride"))

    def padding(self, items: list[Any]) -> tuple[str, spec.Pair]:
        return ("padding", self._pair(items[0], 0, "padding"))

    def dilation(self, items: list[Any]) -> tuple[str, spec.Pair]:
        return ("dilation", self._pair(items[0], 1, "dilation"))

    def groups(self, items: list[Token]) -> tuple[str, int]:
        return ("groups", self._whole(items[0], 1, "groups"))

    def bias(self, items: list[Token]) -> tuple[str, bool]:
        if items[0] != "0":
            raise NotationError(
                f"b{items[0]} is no option: b0 leaves the bias out, no b keeps it",
                self.text,
                items[0].start_pos or 0,
            )
        return ("bias", False)

    def conv_option(self, items: list[Any]) -> Any:
        return items[0]

    pool_option = conv_option

    @v_args(meta=True)
    def conv(self, meta: Any, items: list[Any]) -> spec.Conv:
        options = self._options(meta, items[2:])
        kernel = self._pair(items[0], 1, "filter size")
        filters = self._whole(items[1], 1, "number of filters")
        usual = spec.usual_padding(kernel, options.get("dilation", (1, 1)))
        return spec.Conv(kernel, filters, **{"padding": usual} | options)

    @v_args(meta=True)
    def conv1d(self, meta: Any, items: list[Any]) -> spec.Conv1d:
        options = self._along_a_line(meta, items[2:], ("stride", "padding", "bias"))
        kernel = self._whole(items[0], 1, "filter size")
        filters = self._whole(items[1], 1, "number of filters")
        return spec.Conv1d(kernel, filters, **{"padding": (kernel - 1) // 2} | options)

    @v_args(meta=True)
    def pool1d(self, meta: Any, items: list[Any]) -> spec.Pool1d:
        options = self._along_a_line(meta, items[2:], ("stride", "padding"))
        kernel = self._whole(items[1], 1, "pooling window")
        if options.get("padding", 0) > kernel // 2:
            raise NotationError(
                f"pooling takes a padding of at most half its window ({kernel // 2})",
                self.text,
                meta.start_pos,
            )
        average = str(items[0]).upper() == "AVGPOOL1D"
        return spec.Pool1d(kernel, **{"stride": kernel} | options, average=average)

    def _along_a_line(
        self, meta: Any, items: list[tuple[str, Any]], known: tuple[str, ...]
    ) -> dict[str, Any]:
        """Options whose pairs are one number."""
        options = self._options(meta, items)
        for name, value in options.items():
            if name not in known or (isinstance(value, tuple) and value[0] != value[1]):
                raise NotationError(
                    f"{name} does not go with a layer along a line: it takes "
                    f"{', '.join(known)}, each one number", self.text, meta.start_pos,
                )  # fmt: skip
        return {k: v[0] if isinstance(v, tuple) else v for k, v in options.items()}

    def _options(self, meta: Any, items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in items]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise NotationError(f"{twice} is given twice", self.text, meta.start_pos)
        return dict(items)

    def fc(self, items: list[Any]) -> spec.FullyConnected:
        return spec.FullyConnected(self._whole(items[0], 1, "FC"), bias=len(items) == 1)

    def maxout(self, items: list[Token]) -> spec.Maxout:
        pieces = self._whole(items[0], 1, "pieces of MAXOUT")
        return spec.Maxout(pieces, self._whole(items[1], 1, "units of MAXOUT"))

    @v_args(meta=True)
    def pool(self, meta: Any, items: list[Any]) -> spec.Pool:
        options = self._options(meta, items[2:])
        kernel = self._pair(items[1], 1, "pooling window")
        padding = options.get("padding", (0, 0))
        if padding[0] > kernel[0] // 2 or padding[1] > kernel[1] // 2:
            raise NotationError(
                f"pooling takes a padding of at most half its window ({kernel[0] // 2})",
                self.text,
                meta.start_pos,
            )
        average = str(items[0]).upper() == "AVGPOOL"
        return spec.Pool(kernel, options.get("stride", kernel), padding, average)

    def gap(self, _: list[Any]) -> spec.GlobalAveragePool:
        return spec.GlobalAveragePool()

    def activation(self, items: list[Token]) -> spec.Activation:
        name = str(items[0]).upper()
        value = float(items[1]) if len(items) > 1 else _DEFAULTS.get(name)
        return spec.Activation(name, value)

    def bn(self, _: list[Any]) -> spec.BatchNorm:
        return spec.BatchNorm()

    def dropout(self, items: list[Token]) -> spec.Dropout:
        return spec.Dropout(self._probability(items[0], "DROPOUT") if items else 0.5)

    def dropconnect(self, items: list[Any]) -> spec.Layer:
        drop = self._probability(items[0], "DROPCONNECT") if len(items) > 1 else 0.5
        layer: spec.Conv | spec.FullyConnected = items[-1]
        return replace(layer, drop=drop)

    def repeat(self, items: list[Any]) -> spec.Repeat:
        return spec.Repeat(items[0], self._whole(items[1], 1, "repeat"))

    @v_args(meta=True)
    def residual(self, meta: Any, items: list[Any]) -> spec.Residual:
        inner = items[0]
        if len(inner) == 1 and isinstance(inner[0], spec.Residual) and inner[0].drop:
            raise NotationError(
                "DROPPATH has a skip of its own: write it without RES", self.text, meta.start_pos
            )
        return spec.Residual(inner)

    def droppath(self, items: list[Any]) -> spec.Residual:
        return spec.Residual(items[1], self._probability(items[0], "DROPPATH"))

    def _probability(self, token: Token, what: str) -> float:
        value = float(token)
        if not 0 <= value < 1:
            raise NotationError(
                f"{what} got {token}, wants a probability of dropping in [0, 1)",
                self.text,
                token.start_pos or 0,
            )
        return value
