"""Receptive fields: every unit's box against NaN put into the input; published sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.architectures import (
    UNet,
    densenet121,
    efficientnet_b0,
    mobilenet_v2,
    resnet50,
)
from tests.reference.receptive_fields import NONE, boxes_by_nan, support_by_gradient
from torch import Tensor, nn

from chainrule.analysis.describe import describe
from chainrule.analysis.inputs import read_inputs
from chainrule.analysis.receptive_field import ReceptiveField
from chainrule.analysis.traced import subject_of, traced
from chainrule.analysis.unit import unit_box
from chainrule.analysis.walk import Fields
from chainrule.errors import ShapeError


def fields_of(module: nn.Module, shape: tuple[int, ...]) -> tuple[Fields, object]:
    found = traced(subject_of(module), read_inputs(shape, module))
    return Fields(found.evaluation), found.evaluation.outputs[0]


def differences(module: nn.Module, shape: tuple[int, ...]) -> list[str]:
    """Units whose box is not what a NaN finds; all of them are compared, along every axis."""
    fields, output = fields_of(module, shape)
    field = fields.get(output)  # type: ignore[arg-type]
    assert field is not None
    assert fields.unknown == {}
    wrong = []
    for place, axis in enumerate(fields.axes):
        low, high = boxes_by_nan(module, (1, *shape), axis)
        ours_low = np.broadcast_to(field.reach.low[place], field.shape)[0]
        ours_high = np.broadcast_to(field.reach.high[place], field.shape)[0]
        nothing = ours_low > ours_high
        ours_low, ours_high = (
            np.where(nothing, NONE[0], ours_low),
            np.where(nothing, NONE[1], ours_high),
        )
        for unit in np.argwhere((low != ours_low) | (high != ours_high))[:3]:
            at = tuple(int(index) for index in unit)
            wrong.append(
                f"axis {axis} unit {at}: {ours_low[at]}..{ours_high[at]}, NaN says "
                f"{low[at]}..{high[at]}"
            )
    return wrong


class Circular(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.circular = nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular")
        self.mirror = nn.Conv2d(2, 2, 5, padding=2, padding_mode="reflect")
        self.edge = nn.Conv2d(2, 2, 3, padding=1, padding_mode="replicate")

    def forward(self, x: Tensor) -> Tensor:
        return self.edge(self.mirror(self.circular(x)))


class SliceWrites(nn.Module):
    """Writes into slices of a buffer: views must see what was written through others."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros(x.shape[0], 2, 12, 12)
        flipped = y.transpose(2, 3)
        y[:, :, 2:-2, 3:] = self.conv(x)[:, :, 2:-2, 3:]
        y[:, 0, ::2] = x[:, 0, 1::2]
        flipped[:, 1].mul_(2).add_(F.pad(x, (2, 0))[:, 0, :, :12])
        return y


class SeenBeforeAndAfter(nn.Module):
    """A view that is read, then changed through its base, then read again."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        part = y[:, :, 2:6]
        before = part + 0
        y[:, :, 1:5] = x[:, :, 5:9]
        return before.flip(3) + part


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))


class Tokens(nn.Module):
    """A vision transformer's first steps."""

    def __init__(self, attend: bool) -> None:
        super().__init__()
        self.patch, self.norm, self.fc = nn.Conv2d(1, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 8)
        self.token, self.attend = nn.Parameter(torch.ones(1, 1, 8)), attend

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = self.fc(self.norm(torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)))
        y = x[:, None]
        return x + F.scaled_dot_product_attention(y, y, y)[:, 0] if self.attend else x


class Windows(nn.Module):
    """Shifted windows with attention inside each (Liu et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.qkv = nn.Conv2d(1, 8, 2, 2), nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.roll(self.patch(x).permute(0, 2, 3, 1), (-2, -2), (1, 2))
        n, h, w, c = x.shape
        x = x.view(n, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        q, k, v = self.qkv(x).chunk(3, -1)
        x = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        x = x.view(n, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return torch.roll(x, (2, 2), (1, 2)).permute(0, 3, 1, 2)


class Channels(nn.Module):
    """Channels apart: shuffles, groups, pieces of channels with different pasts."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(2, 4, 5, padding=2)
        self.grouped = nn.Conv2d(4, 4, 3, groups=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.pixel_shuffle(self.one(x), 2)
        wide = self.two(y)
        both = torch.cat([wide[:, :2], F.pad(y, (1, 1, 1, 1))[:, :, 1:-1, 1:-1]], 1)
        return F.pixel_unshuffle(self.grouped(both)[:, 1:3], 2).flip(2)


class Branches(nn.Module):
    """Inception-like: asymmetric windows, pools, dilation, joined along channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(2, 3, (1, 7), padding=(0, 3)), nn.Conv2d(3, 3, (3, 1)))
        self.b = nn.Sequential(nn.MaxPool2d((3, 1), 1), nn.Conv2d(2, 2, 3, padding=3, dilation=3))
        self.c = nn.Conv2d(5, 4, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.cat([self.a(x), self.b(x)], 1))


class Glued(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        a, b = x.split(5, 2)
        stacked = torch.stack([a, b], 1).cumsum(3)
        return torch.cat([stacked[:, 0], stacked[:, 1], x.repeat(1, 1, 1, 2)[..., 3:9]], 2)


def conv1d() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv1d(2, 3, 3, stride=2, padding=2), nn.MaxPool1d(3, 2, ceil_mode=True)),
        nn.ConvTranspose1d(3, 2, 4, 3, padding=1, output_padding=1),
        nn.AdaptiveAvgPool1d(7),
    )


CASES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "u-net": (UNet(2, 2), (1, 24, 16)),
    "circular, mirrored and repeated borders": (Circular(), (1, 12, 12)),
    "writes into slices": (SliceWrites(), (1, 12, 12)),
    "a view read twice": (SeenBeforeAndAfter(), (1, 10, 5)),
    "mirrored border alone": (nn.ReflectionPad2d(3), (1, 7, 6)),
    "gate": (Gate(), (1, 9, 9)),
    "tokens": (Tokens(attend=False), (1, 12, 12)),
    "attention": (Tokens(attend=True), (1, 12, 12)),
    "shifted windows": (Windows(), (1, 16, 16)),
    "channels apart": (Channels(), (4, 8, 8)),
    "branches": (Branches(), (2, 15, 14)),
    "glued": (Glued(), (1, 10, 6)),
    "one axis": (conv1d(), (2, 23)),
    "three axes": (
        nn.Sequential(nn.Conv3d(1, 2, 3, dilation=2), nn.AvgPool3d(2), nn.GroupNorm(1, 2)),
        (1, 9, 8, 7),
    ),
    "recurrent": (nn.GRU(3, 4, batch_first=True), (7, 3)),
    "transposed with dilation": (nn.ConvTranspose2d(1, 1, 3, 2, 1, dilation=3), (1, 7, 6)),
    "frozen statistics": (
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.InstanceNorm2d(2)),
        (1, 8, 8),
    ),
    "gated linear units": (nn.Sequential(nn.Conv2d(1, 4, 3), nn.GLU(1), nn.PReLU()), (1, 8, 8)),
}


class First(nn.Module):
    """The first of several outputs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        found = self.module(x)
        return found if isinstance(found, Tensor) else found[0]


@pytest.mark.parametrize("name", CASES)
def test_every_unit_sees_what_a_nan_finds(name: str) -> None:
    module, shape = CASES[name]
    assert differences(First(module), shape) == []


@pytest.mark.parametrize("size", [{"size": (13, 7)}, {"scale_factor": 1.5}, {"size": (24, 30)}])
@pytest.mark.parametrize(
    ("mode", "aligned"),
    [
        *(("nearest", None), ("nearest-exact", None), ("bilinear", False), ("bilinear", True)),
        *(("bicubic", False), ("bicubic", True)),
    ],
)
def test_interpolation_reads_what_a_nan_finds(mode: str, aligned: bool | None, size: dict) -> None:
    module = nn.Upsample(**size, mode=mode, align_corners=aligned)
    assert differences(module, (1, 10, 11)) == []


class Drawn(nn.Module):
    """A random network: branches that meet by addition or side by side."""

    def __init__(self, steps: list[tuple]) -> None:
        super().__init__()
        self.steps = steps
        self.layers = nn.ModuleList()
        for kind, size, stride, pad, gap in steps:
            pad = min(pad, gap * (size - 1))
            if kind == "transposed":
                self.layers.append(nn.ConvTranspose2d(2, 2, size, stride, min(pad, size - 1)))
            elif kind == "pool":
                self.layers.append(nn.MaxPool2d(size, stride, min(pad, size // 2)))
            elif kind == "upsample":
                self.layers.append(nn.Upsample(scale_factor=2, mode="bilinear"))
            else:
                self.layers.append(nn.Conv2d(2, 2, size, stride, pad, gap))
        self.mix = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        past = x
        for (kind, *_), layer in zip(self.steps, self.layers, strict=True):
            new = layer(x) if min(x.shape[2:]) > 10 or kind in ("transposed", "upsample") else x
            if kind == "skip":
                new = past[:, :, : x.shape[2], : x.shape[3]]
                new = F.interpolate(new, x.shape[2:]) if new.shape != x.shape else new
                new = new + x
            elif kind == "beside":
                new = F.interpolate(new, x.shape[2:])
                new = self.mix(torch.cat([new, x], 1))
            past, x = x, new[:, :, :30, :30]
        return x


STEP = st.tuples(
    st.sampled_from(["conv", "conv", "transposed", "pool", "upsample", "skip", "beside"]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 3),
    st.integers(1, 3),
)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEP, min_size=1, max_size=6), rows=st.integers(11, 19))
def test_random_networks_see_what_a_nan_finds(steps: list[tuple], rows: int) -> None:
    assert differences(Drawn(steps), (2, rows, 14)) == []


def test_the_support_of_the_gradient_agrees_for_a_linear_network() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3, 2, 1), nn.AvgPool2d(2), nn.ConvTranspose2d(2, 1, 3, 2)
    )
    for unit in ((0, 0), (3, 2), (8, 8)):
        rows, columns = np.nonzero(support_by_gradient(module, (1, 1, 18, 18), unit))
        box = unit_box(module, (1, 18, 18), layer="2", unit=unit).box
        assert box == ((rows.min(), rows.max()), (columns.min(), columns.max()))


def test_a_wrong_rule_is_caught_by_the_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule.analysis import rules_windows
    from chainrule.analysis.lattice import window_map

    def shifted(size: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> object:
        return window_map(size, stride, padding + 1, dilation)

    assert differences(nn.Conv2d(1, 1, 3, padding=1), (1, 8, 8)) == []
    monkeypatch.setattr(rules_windows, "window_map", shifted)
    assert differences(nn.Conv2d(1, 1, 3, padding=1), (1, 8, 8)) != []


# -- published sizes -----------------------------------------------------------------------

PUBLISHED = {
    # Araujo, Norris and Sim 2019, table of receptive fields; DenseNet from its layers
    "alexnet": ("alexnet", 195),
    "vgg16": ("vgg16", 212),
    "vgg19": ("vgg19", 268),
    "resnet18": ("resnet18", 435),
    "resnet34": ("resnet34", 899),
    "resnet50, stride in the 1x1 (He et al. 2015)": (resnet50(paper=True), 483),
    "resnet50, stride in the 3x3 (torchvision)": (resnet50(paper=False), 427),
    "densenet121": (densenet121(), 2071),
    "mobilenet_v2": (mobilenet_v2(), 491),
    "efficientnet_b0": (efficientnet_b0(), 851),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_receptive_fields(name: str) -> None:
    network, size = PUBLISHED[name]
    answer = describe(network, (3, 224, 224))
    last = [row.receptive_field for row in answer.layers if row.receptive_field]
    local = [field for field in last if field.size]
    assert local[-1].size == (size, size)
    assert last[-1].size is None
    assert last[-1].whole


def local_fields(network: nn.Module) -> list[ReceptiveField]:
    rows = describe(network, (3, 224, 224)).layers
    found = [row.receptive_field for row in rows if row.receptive_field is not None]
    return [field for field in found if field.size]


def test_a_gate_gives_both_the_local_field_and_the_whole_input() -> None:
    rows = describe(efficientnet_b0(), (3, 224, 224)).layers
    field = [
        row.receptive_field for row in rows if row.receptive_field and row.receptive_field.size
    ]
    assert (field[-1].size, field[-1].whole) == ((851, 851), True)


def test_a_densenet_does_not_look_from_its_centre() -> None:
    rows = describe(densenet121(), (3, 224, 224)).layers
    field = [
        row.receptive_field for row in rows if row.receptive_field and row.receptive_field.size
    ]
    assert field[-1].padding[0][0] == 1021  # centred it would be 1035
    assert field[-1].centre == (14.0, 14.0)


def test_a_u_net_sees_188_or_204_with_the_period_of_its_pooling() -> None:
    field = describe(UNet(), (1, 64, 64)).layers[-1].receptive_field
    assert field is not None
    assert (field.smallest, field.size, field.period) == ((188, 188), (204, 204), (16, 16))


# -- what is told about a field ------------------------------------------------------------


def test_centres_that_do_not_meet_are_told_in_pixels() -> None:
    answer = describe(UNet(2, 1), (1, 16, 16))
    found = [item for item in answer.findings if item.code == "centres-misaligned"]
    assert found[0].evidence["positions"] == 0.5
    healthy = describe("INPUT 16x16x1, RES[CONV3-1, CONV3-1]")
    assert not [item for item in healthy.findings if item.code == "centres-misaligned"]


def test_the_share_that_is_cut_at_the_borders() -> None:
    field = describe("INPUT 10x10x1, CONV3-1")["conv1"].receptive_field
    assert field is not None
    assert field.clipped == pytest.approx(1 - (8 / 10) ** 2)


def test_an_operation_without_a_rule_widens_the_field_and_is_named() -> None:
    class Sampled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.matrix_exp(x) + x

    answer = describe(Sampled(), (1, 6, 6))
    assert "aten::linalg_matrix_exp" in answer.unknown
    field = answer.layers[-1].receptive_field
    assert field is not None
    assert not field.exact
    assert field.box == ((0, 5), (0, 5))


class Read(nn.Module):
    """A network around one lookup."""

    def __init__(self, lookup: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.lookup, self.conv = lookup, nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.lookup(x))  # type: ignore[no-any-return]


CHANNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "index": lambda x: x[:, [2, 1, 0]],
    "index_select": lambda x: x.index_select(1, torch.tensor([2, 1, 0], device=x.device)),
    "gather": lambda x: x.gather(1, torch.zeros_like(x, dtype=torch.int64)),
    "complex pairs": lambda x: torch.view_as_real(torch.view_as_complex(x.unflatten(1, (3, 1))
        .squeeze(2).unsqueeze(-1).expand(-1, -1, -1, -1, 2).contiguous())).sum(-1),
}  # fmt: skip
PLACES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "index": (lambda x: x[:, :, [0, 0, 2, 1, 5, 3, 2, 7]], "aten::index"),
    "gather": (lambda x: x.gather(2, torch.zeros_like(x, dtype=torch.int64)), "aten::gather"),
    "scatter": (
        lambda x: torch.zeros_like(x).scatter_add(2, torch.zeros_like(x, dtype=torch.int64), x),
        "aten::scatter_add",
    ),
    "patches": (lambda x: F.pad(x, (0, 0, 1, 1)).unfold(2, 3, 1).mean(-1), "aten::unfold"),
}


@pytest.mark.parametrize("name", CHANNELS)
def test_looking_up_channels_keeps_the_local_field(name: str) -> None:
    answer = describe(Read(CHANNELS[name]), (3, 8, 8), prove=True)
    field = answer["conv"].receptive_field
    assert field is not None
    assert (field.size, field.exact, answer.proved) == ((3, 3), True, True)
    assert not differences(Read(CHANNELS[name]), (3, 8, 8))


@pytest.mark.parametrize("name", PLACES)
def test_looking_up_places_is_an_upper_bound_and_is_named(name: str) -> None:
    lookup, operation = PLACES[name]
    answer = describe(Read(lookup), (3, 8, 8), prove=True)
    field = answer["conv"].receptive_field
    assert field is not None
    assert (field.exact, answer.proved) == (False, True)
    assert "receptive field" in answer.unknown[operation]


def test_a_write_through_a_view_of_any_kind_is_seen_afterwards() -> None:
    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.clone()
            y.diagonal(dim1=2, dim2=3).zero_()
            return y

    answer = describe(nn.Sequential(Masked(), nn.Conv2d(1, 1, 3)), (1, 6, 6), prove=True)
    field = answer["1"].receptive_field
    assert field is not None
    assert (field.exact, answer.proved) == (False, True)
    assert "aten::diagonal" in answer.unknown


def test_fields_are_told_of_the_first_input_that_has_places() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(5, 4)

        def forward(self, vector: Tensor, image: Tensor) -> Tensor:
            return self.conv(image) + self.fc(vector)[:, :, None, None]  # type: ignore[no-any-return]

    answer = describe(Late(), [(5,), (3, 8, 8)], prove=True)
    field = answer["conv"].receptive_field
    assert field is not None
    assert (field.size, answer.proved) == ((3, 3), True)


def test_one_units_own_box() -> None:
    seen = unit_box("INPUT 8x8x1, CONV3-32, CONV3-32", layer="conv2", unit=(0, 3))
    assert (seen.box, seen.unclipped) == (((0, 2), (1, 5)), ((-2, 2), (1, 5)))
    with pytest.raises(ShapeError, match="layer 'conv2' has 32 x 8 x 8 units"):
        unit_box("INPUT 8x8x1, CONV3-32, CONV3-32", layer="conv2", unit=(8, 0))
    with pytest.raises(ShapeError, match="did you mean 'conv2'"):
        unit_box("INPUT 8x8x1, CONV3-32, CONV3-32", layer="conv22", unit=(0, 0))
