"""Shapes and parameters, proved by the built module: a real forward, and counting."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from chainrule.errors import NetworkError, ShapeError
from chainrule.network.build import build
from chainrule.network.notation import parse
from chainrule.network.shapes import LayerShape, shapes
from chainrule.network.source import network
from chainrule.network.zoo import ZOO
from chainrule.nn.dropconnect import DropConnectConv2d, DropConnectLinear
from chainrule.nn.residual import Residual

EXAMPLES = [
    "INPUT 32x32x1, CONV5-10, RELU, POOL2, FC-10",
    "INPUT 9x7x2, CONV3x1-4/2x1 p1x0, LRELU(0.1), AVGPOOL2x1, ELU, MAXOUT2-6, TANH, FC-3",
    "INPUT 8x8x4, CONV3-8 g4 b0, BN, SIGMOID, GAP, DROPOUT(0.3), FC-2",
    "INPUT 12x12x3, RES[CONV3-8/2 b0, BN, RELU, CONV3-8 b0, BN], RELU, RES[CONV3-8], GAP, FC-5",
    "INPUT 6x6x2, DROPPATH(0.2)[CONV3-2, RELU], [CONV3-4, RELU] x 2, POOL3/2, FC-4",
    "INPUT 7, RES[FC-9, BN, RELU], DROPCONNECT(0.5) FC-4, DROPPATH(0.1)[FC-4]",
    "INPUT 10x10x2, DROPCONNECT(0.5) CONV3-4 d2, POOL3/2 p1, FC-2 b0",
]


def _outputs(module: nn.Module, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Output of each submodule in a real forward pass."""
    found: dict[str, tuple[int, ...]] = {}
    for name, layer in module.named_modules():
        layer.register_forward_hook(
            lambda _m, _i, output, name=name: found.__setitem__(name, tuple(output.shape[1:]))
        )
    module.eval()(torch.randn(2, *shape))
    return found


def _prove(text: str) -> None:
    spec = parse(text)
    assert spec.input is not None
    module = build(spec)
    planned = shapes(spec)
    outputs = _outputs(module, spec.input.shape)
    for layer in planned:
        assert outputs[layer.name] == layer.output, layer.name
        counted = sum(p.numel() for p in module.get_submodule(layer.name).parameters())
        assert counted == layer.parameters, layer.name
    assert sum(layer.parameters for layer in planned) == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("text", EXAMPLES)
def test_shapes_and_parameters_are_those_of_the_module(text: str) -> None:
    _prove(text)


@st.composite
def convnets(draw: st.DrawFn) -> str:
    number = st.integers(1, 3)
    layers = [f"INPUT {draw(st.integers(5, 16))}x{draw(st.integers(5, 16))}x{draw(number)}"]
    for _ in range(draw(st.integers(1, 4))):
        k, s, d, p = draw(number), draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(number)
        layers.append(
            draw(
                st.sampled_from(
                    [
                        f"CONV{k}-{draw(number)}/{s} d{d} p{p}",
                        f"CONV{k}-{draw(number)}",
                        f"POOL{k}/{s}",
                        f"RES[CONV3-{draw(number)}/{s}, BN]",
                        "RELU",
                        "BN",
                    ]
                )
            )
        )
    return ", ".join([*layers, draw(st.sampled_from(["GAP, FC-3", "FC-3", "MAXOUT2-3"]))])


@given(convnets())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_random_networks(text: str) -> None:
    try:
        shapes(parse(text))
    except ShapeError:
        return  # the filter does not fit: no module to compare with
    _prove(text)


def test_the_deck_example() -> None:
    found = {layer.name: layer for layer in shapes(parse(EXAMPLES[0]))}
    assert found["conv1"].output == (10, 32, 32)
    assert found["conv1"].parameters == 260
    assert found["pool1"].output == (10, 16, 16)
    assert found["pool1"].parameters == 0


def test_names_can_be_read() -> None:
    module = build(parse(EXAMPLES[3]))
    names = dict(module.named_modules())
    for name in ("res1.branch.conv2", "res1.shortcut.conv1", "res1.shortcut.bn1", "relu1", "gap1"):
        assert name in names
    assert isinstance(names["res2"], Residual)
    assert isinstance(names["res2"].shortcut, nn.Identity)


def test_dropconnect_and_drop_path_reach_the_module() -> None:
    module = build(parse(EXAMPLES[5]))
    assert isinstance(module.get_submodule("fc1"), DropConnectLinear)
    assert module.get_submodule("res2").p == 0.1
    assert isinstance(build(parse(EXAMPLES[6])).get_submodule("conv1"), DropConnectConv2d)


def test_rows_that_are_never_seen_are_told() -> None:
    layer = shapes(parse("INPUT 8x9x1, CONV3-2/2 p0"))[0]
    assert layer.output == (2, 3, 4)
    assert "last 1 row " in layer.note
    assert "column" not in layer.note
    assert all(not item.note for item in shapes(parse(EXAMPLES[0])))


@pytest.mark.parametrize("name", sorted(ZOO))
def test_the_zoo_has_its_published_number_of_parameters(name: str) -> None:
    entry = ZOO[name]
    with torch.device("meta"):
        module = network(name)
        scores = module.eval()(torch.empty(2, *module.spec.input.shape))
    assert sum(p.numel() for p in module.parameters()) == entry.parameters
    assert scores.dim() == 2
    assert sum(layer.parameters for layer in shapes(parse(entry.text))) == entry.parameters


PUBLISHED = {
    "vgg16": 138_357_544,
    "alexnet": 61_100_840,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "lenet5": 61_706,
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_numbers_stand_in_the_zoo(name: str) -> None:
    assert ZOO[name].parameters == PUBLISHED[name]


def _message(text: str) -> str:
    with pytest.raises(ShapeError) as caught:
        shapes(parse(text))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        (
            "INPUT 32x32x16, POOL2, POOL2, CONV11-96 p0",
            ["CONV11-96 p0 ('conv1')", "11x11", "POOL2 ('pool2') gives 8x8x16", "padding"],
        ),
        ("INPUT 4x4x1, POOL5", ["POOL5 ('pool1')", "5x5", "INPUT 4x4x1"]),
        ("INPUT 8x8x3, CONV3-4 g2", ["2 groups", "INPUT 8x8x3", "3 and 4 must divide"]),
        ("INPUT 8x8x1, FC-5, POOL2", ["POOL2 ('pool1') wants a volume", "FC-5 ('fc1')", "5"]),
        ("INPUT 8, GAP", ["GAP ('gap1') wants a volume", "INPUT 8"]),
        ("INPUT 9x9x1, RES[CONV4-1 p0]", ["branch of res1 gives 6x6x1", "9x9x1", "/2"]),
    ],
)
def test_misfits_name_both_layers_and_the_mend(text: str, fragments: list[str]) -> None:
    message = _message(text)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


def test_without_input() -> None:
    with pytest.raises(NetworkError, match="begin with INPUT"):
        build(parse("FC-3"))


def test_the_referee_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong count must not pass the proof above."""
    real = LayerShape.__init__

    def wrong(self: LayerShape, *args: object, **options: object) -> None:
        real(self, *args, **options)
        object.__setattr__(self, "parameters", self.parameters + (self.name == "conv1"))

    monkeypatch.setattr(LayerShape, "__init__", wrong)
    with pytest.raises(AssertionError):
        _prove(EXAMPLES[0])
