"""Notation: every spec survives its own text, and errors show the place."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import NotationError
from chainrule.network import spec
from chainrule.network.notation import parse
from chainrule.network.zoo import ZOO

whole = st.integers(1, 64)
pair = st.tuples(st.integers(1, 7), st.integers(1, 7))
share = st.floats(0, 0.99)
drop = st.none() | share


@st.composite
def convolutions(draw: st.DrawFn) -> spec.Conv:
    kernel, dilation = draw(pair), draw(pair)
    usual = spec.usual_padding(kernel, dilation)
    padding = draw(st.just(usual) | st.tuples(st.integers(0, 3), st.integers(0, 3)))
    return spec.Conv(
        kernel,
        draw(whole),
        stride=draw(pair),
        padding=padding,
        dilation=dilation,
        groups=draw(st.integers(1, 4)),
        bias=draw(st.booleans()),
        drop=draw(drop),
    )


@st.composite
def pools(draw: st.DrawFn) -> spec.Pool:
    kernel = draw(pair)
    padding = draw(st.tuples(st.integers(0, kernel[0] // 2), st.integers(0, kernel[1] // 2)))
    return spec.Pool(kernel, draw(pair), padding, draw(st.booleans()))


activations = st.sampled_from(
    [spec.Activation(name) for name in ("RELU", "SIGMOID", "TANH")]
) | st.builds(
    spec.Activation,
    st.sampled_from(["LRELU", "ELU"]),
    st.floats(0, 10, allow_subnormal=False),
)
simple = st.one_of(
    convolutions(),
    pools(),
    st.builds(spec.FullyConnected, whole, st.booleans(), drop),
    st.builds(spec.Maxout, whole, whole),
    activations,
    st.just(spec.GlobalAveragePool()),
    st.just(spec.BatchNorm()),
    st.builds(spec.Dropout, share),
)


def _nested(inner: st.SearchStrategy[spec.Layer]) -> st.SearchStrategy[spec.Layer]:
    layers = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.builds(spec.Repeat, layers, whole) | st.builds(
        spec.Residual, layers, st.just(0.0) | share
    )


def _readable(layer: spec.Layer) -> bool:
    """RES[DROPPATH(p)[...]] alone is refused on purpose."""
    if isinstance(layer, spec.Repeat | spec.Residual):
        lone = layer.layers[0] if len(layer.layers) == 1 else None
        plain = isinstance(layer, spec.Residual) and not layer.drop
        if plain and isinstance(lone, spec.Residual) and lone.drop:
            return False
        return all(_readable(part) for part in layer.layers)
    return True


layers = st.recursive(simple, _nested, max_leaves=6).filter(_readable)
inputs = st.none() | st.builds(spec.Input, st.tuples(whole) | st.tuples(whole, whole, whole))
specs = st.builds(spec.NetworkSpec, inputs, st.lists(layers, min_size=1, max_size=5).map(tuple))


@given(specs)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_text_and_back(network: spec.NetworkSpec) -> None:
    assert parse(str(network)) == network


@given(specs, st.sampled_from([", ", "\n", " -> ", " # note\n"]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_case_and_separators_do_not_matter(network: spec.NetworkSpec, separator: str) -> None:
    text = str(network).lower()
    assert parse(text.replace(", ", separator)) == network


@pytest.mark.parametrize("name", sorted(ZOO))
def test_the_zoo_survives_its_own_text(name: str) -> None:
    network = parse(ZOO[name].text)
    assert parse(str(network)) == network


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("INPUT 32x20x3", spec.Input((3, 32, 20))),
        ("INPUT 3@32x20", spec.Input((3, 32, 20))),
        ("INPUT 64", spec.Input((64,))),
    ],
)
def test_inputs(text: str, expected: spec.Input) -> None:
    assert parse(text).input == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CONV5-10", spec.Conv((5, 5), 10, padding=(2, 2))),
        ("CONV5-10 p0", spec.Conv((5, 5), 10)),
        ("CONV3x1-16", spec.Conv((3, 1), 16, padding=(1, 0))),
        ("CONV3-8 d2", spec.Conv((3, 3), 8, padding=(2, 2), dilation=(2, 2))),
        ("CONV7-64/2p3b0", spec.Conv((7, 7), 64, stride=(2, 2), padding=(3, 3), bias=False)),
        ("POOL2", spec.Pool((2, 2), (2, 2))),
        ("POOL3/2 p1", spec.Pool((3, 3), (2, 2), (1, 1))),
        ("CONV1D3-4", spec.Conv1d(3, 4, padding=1)),
        ("conv1d5-2/2 p0 b0", spec.Conv1d(5, 2, stride=2, bias=False)),
        ("POOL1D3/2", spec.Pool1d(3, 2)),
        ("AVGPOOL1D2", spec.Pool1d(2, 2, average=True)),
        ("AVGPOOL2", spec.Pool((2, 2), (2, 2), average=True)),
        ("LRELU", spec.Activation("LRELU", 0.01)),
        ("LRELU(0.1)", spec.Activation("LRELU", 0.1)),
        ("ELU", spec.Activation("ELU", 1.0)),
        ("DROPOUT", spec.Dropout(0.5)),
        ("MAXOUT2-64", spec.Maxout(2, 64)),
        ("DROPCONNECT(0.3) FC-64", spec.FullyConnected(64, drop=0.3)),
        ("DROPCONNECT(0.3), FC-64", spec.FullyConnected(64, drop=0.3)),
        ("[FC-3, RELU] x 3", spec.Repeat((spec.FullyConnected(3), spec.Activation("RELU")), 3)),
        ("RES[FC-3]", spec.Residual((spec.FullyConnected(3),))),
        ("DROPPATH(0.2)[FC-3]", spec.Residual((spec.FullyConnected(3),), 0.2)),
    ],
)
def test_layers(text: str, expected: spec.Layer) -> None:
    assert parse(text).layers == (expected,)


def test_lines_comments_and_stray_separators() -> None:
    text = "# a net\nINPUT 8x8x1,\n\nCONV3-4 # filters\n-> RELU,\nFC-10,\n"
    assert str(parse(text)) == "INPUT 8x8x1, CONV3-4, RELU, FC-10"


@pytest.mark.parametrize(
    ("text", "column", "fragments"),
    [
        ("CONV5-10, RELUU, FC-10", 10, ["unknown layer 'RELUU'", "did you mean 'RELU'"]),
        ("CNV5-10, FC-10", 0, ["'CNV5-10'", "did you mean 'CONV'"]),
        ("CONV5", 5, ["ends too early", "'-'"]),
        ("CONV-5", 4, ["'-5'", "a whole number"]),
        ("CONV5--5", 6, ["'-5'", "a whole number"]),
        ("FC-0", 3, ["FC got 0", "at least 1"]),
        ("CONV3-8/0", 8, ["stride got 0"]),
        ("[RELU x 2", 6, ["'x 2'", "']'"]),
        ("[RELU] x 0", 9, ["repeat got 0"]),
        ("RELU RELU", 5, ["'RELU'", "a comma"]),
        ("DROPOUT(1.5)", 8, ["DROPOUT got 1.5", "[0, 1)"]),
        ("DROPPATH(1)[FC-3]", 9, ["DROPPATH got 1", "[0, 1)"]),
        ("RES[DROPPATH(0.2)[FC-3]]", 0, ["skip of its own", "without RES"]),
        ("FC-10, SOFTMAX", 7, ["applied by the loss", "--loss softmax"]),
        ("INPUT 32x32, FC-3", 11, ["','", "'x'"]),
        ("FC-10, INPUT 3", 7, ["'INPUT 3'", "a layer"]),
        ("CONV3-4 p1 p2", 0, ["padding is given twice"]),
        ("CONV3-4 b1", 9, ["b0 leaves the bias out"]),
        ("POOL2 p2", 0, ["at most half its window"]),
        ("LRELU(a)", 6, ["'a)'", "a number"]),
        ("FC-10, ?", 7, ["'?'", "a layer"]),
    ],
)
def test_errors_show_the_place(text: str, column: int, fragments: list[str]) -> None:
    with pytest.raises(NotationError) as caught:
        parse(text)
    message, line, caret = str(caught.value).split("\n")
    for fragment in fragments:
        assert fragment in message
    assert line == f"  line 1: {text}"
    assert caret.index("^") - len("  line 1: ") == column
    assert "__" not in message  # none of the grammar's own names
    assert "NUMBER" not in message


def test_the_line_is_counted() -> None:
    with pytest.raises(NotationError, match="line 3: RELUU") as caught:
        parse("CONV3-4\nRELU\nRELUU\nFC-10")
    assert "unknown layer" in str(caught.value)


@pytest.mark.parametrize("text", ["", "  \n ", "# only a comment"])
def test_empty_text(text: str) -> None:
    with pytest.raises(NotationError):
        parse(text)


@given(st.text("CONVFRELUPDx0123456789-,>/[]()@ .#\n", max_size=40))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_text_is_read_or_refused_by_name(text: str) -> None:
    with contextlib.suppress(NotationError):
        parse(text)
