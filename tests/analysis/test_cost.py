"""MACs and FLOPs: counted by loops, by PyTorch's counter, and as published."""

from __future__ import annotations

import pytest
import torch
from tests.reference.architectures import densenet121, efficientnet_b0, mobilenet_v2, resnet50
from tests.reference.costs import convolution_macs, matrix_macs
from torch import Tensor, nn

from chainrule.analysis.cost import CUSTOM
from chainrule.analysis.custom import register_operation
from chainrule.analysis.describe import describe
from chainrule.analysis.field_rules import RULES
from chainrule.errors import RecipeError


@pytest.mark.parametrize(
    ("filters", "kernel", "stride", "padding", "groups"),
    [(5, 3, 1, 1, 1), (4, 3, 2, 0, 2), (6, 1, 2, 0, 1), (8, 4, 3, 2, 4)],
)
def test_convolution_by_loops(
    filters: int, kernel: int, stride: int, padding: int, groups: int
) -> None:
    conv = nn.Conv2d(4, filters, kernel, stride, padding, groups=groups)
    answer = describe(conv, (4, 9, 11))
    expected = convolution_macs((4, 9, 11), filters, kernel, stride, padding, groups)
    assert answer.totals.macs == expected
    assert answer.totals.backward_macs == expected  # the input needs no gradient
    assert describe(nn.Sequential(nn.Conv2d(4, 4, 1), conv), (4, 9, 11)).layers[
        1
    ].backward_macs == (2 * expected)


def test_a_transposed_convolution_costs_what_its_mirror_image_costs() -> None:
    plain = describe(nn.Conv2d(3, 5, 4, 2, 1), (3, 12, 12)).totals.macs
    mirrored = describe(nn.ConvTranspose2d(5, 3, 4, 2, 1), (5, 6, 6)).totals.macs
    assert plain == mirrored


def test_linear_by_loops() -> None:
    answer = describe(nn.Linear(7, 5), (7,), batch=3)
    assert answer.totals.macs == matrix_macs(3, 7, 5)
    assert answer.totals.flops == 2 * answer.totals.macs


def test_attention_is_two_products_of_matrices() -> None:
    answer = describe(nn.MultiheadAttention(8, 2, batch_first=True), [(5, 8)] * 3)
    projections = 4 * matrix_macs(5, 8, 8)
    assert answer.totals.macs == projections + 2 * 2 * matrix_macs(5, 4, 5)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_are_counted_step_by_step(kind: type[nn.RNNBase]) -> None:
    gates = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}[kind]
    answer = describe(kind(3, 5, batch_first=True), (7, 3))
    assert answer.totals.macs == 7 * gates * (3 * 5 + 5 * 5)


@pytest.mark.parametrize(
    ("module", "shape", "flops"),
    [
        (nn.ReLU(), (4, 5, 5), 100),
        (nn.Softmax(-1), (10,), 50),
        (nn.MaxPool2d(2), (4, 6, 6), 4 * 9 * 4),
        (nn.AdaptiveAvgPool2d(1), (4, 6, 6), 4 * 36),
        (nn.BatchNorm2d(4).eval(), (4, 6, 6), 2 * 4 * 36),
        (nn.Flatten(), (4, 6, 6), 0),
        (nn.Upsample(scale_factor=2), (4, 6, 6), 0),
    ],
)
def test_flops_beyond_products_follow_the_table(
    module: nn.Module, shape: tuple[int, ...], flops: int
) -> None:
    totals = describe(module, shape).totals
    assert (totals.macs, totals.flops) == (0, flops)


# torchvision's published "GFLOPS" (they are MACs, without the bias) in units of 10^9,
# https://pytorch.org/vision/stable/models.html; parameters from the same table. ResNet-50 with
# the stride in the 1x1: 3.8e9 in He et al. 2015, table 1.
PUBLISHED = {
    "alexnet": ("alexnet", 61_100_840, 0.714),
    "vgg11": ("vgg11", 132_863_336, 7.609),
    "vgg13": ("vgg13", 133_047_848, 11.308),
    "vgg16": ("vgg16", 138_357_544, 15.470),
    "vgg19": ("vgg19", 143_667_240, 19.632),
    "vgg16-bn": ("vgg16-bn", 138_365_992, 15.470),
    "resnet18": ("resnet18", 11_689_512, 1.814),
    "resnet34": ("resnet34", 21_797_672, 3.664),
    "resnet50": (resnet50(paper=False), 25_557_032, 4.089),
    "resnet50 of the paper": (resnet50(paper=True), 25_557_032, 3.858),
    "densenet121": (densenet121(), 7_978_856, 2.834),
    "mobilenet_v2": (mobilenet_v2(), 3_504_872, 0.301),
    "efficientnet_b0": (efficientnet_b0(), 5_288_548, 0.386),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name: str) -> None:
    network, parameters, macs = PUBLISHED[name]
    totals = describe(network, (3, 224, 224)).totals
    assert totals.parameters == parameters
    assert round(totals.macs / 1e9, 3) == macs


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.matrix_exp(x)


def test_an_operation_without_a_rule_is_named_never_silently_zero() -> None:
    answer = describe(Unknown(), (1, 4, 4))
    assert "cost" in answer.unknown["aten::linalg_matrix_exp"]
    assert "aten::linalg_matrix_exp" in answer.layers[0].unknown
    assert describe(nn.Sequential(nn.Linear(3, 3), nn.GELU()), (3,)).unknown == {}


def test_a_third_party_can_register_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainrule.analysis.cost.CUSTOM", dict(CUSTOM))
    monkeypatch.setattr("chainrule.analysis.field_rules.RULES", dict(RULES))
    register_operation(
        "aten::linalg_matrix_exp",
        macs=lambda op: 10 * op.outputs[0].count,
        flops=lambda op: op.outputs[0].count,
        field="whole",
    )
    answer = describe(Unknown(), (1, 4, 4))
    assert answer.unknown == {}
    assert (answer.totals.macs, answer.totals.flops) == (160, 336)
    field = answer.layers[0].receptive_field
    assert field is not None
    assert (field.whole, field.exact) == (True, True)


def test_a_registered_flop_formula_of_pytorchs_is_honoured() -> None:
    from torch.utils.flop_counter import flop_registry, register_flop_formula

    operator = torch.ops.aten.linalg_matrix_exp
    try:
        register_flop_formula(operator)(lambda shape, *_, **__: 6 * shape[-1] ** 3)
        assert describe(Unknown(), (1, 4, 4)).totals.flops == 6 * 64
    finally:
        flop_registry.pop(operator, None)


def test_rules_with_a_wrong_name_or_field_are_refused() -> None:
    with pytest.raises(RecipeError, match="mylib::swish"):
        register_operation("swish")
    with pytest.raises(RecipeError, match="did you mean 'whole'"):
        register_operation("a::b", field="hole")  # type: ignore[arg-type]
