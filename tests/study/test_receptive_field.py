"""Receptive field: published fields, chainrule's own boxes, and windows counted one by one."""

from __future__ import annotations

import pytest
import torch

from chainrule.analysis.unit import unit_box
from chainrule.study.experiments import receptive_field as tested
from chainrule.study.experiments.receptive_field import Layer, Setup

CONV, POOL = (3, 1, 1), (2, 2, 0)
VGG16 = (*[CONV] * 2, POOL, *[CONV] * 2, POOL, *[CONV] * 3, POOL, *[CONV] * 3, POOL, *[CONV] * 3)
ALEXNET = ((11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), CONV, CONV, CONV, (3, 2, 0))


@pytest.mark.parametrize(
    ("layers", "published"),
    [(VGG16, 196), ((*VGG16, POOL), 212), (ALEXNET, 195)],
    ids=["vgg16-conv5-3", "vgg16-pool5", "alexnet-pool5"],
)
def test_published_fields(layers: tuple[Layer, ...], published: int) -> None:
    assert tested.field_by_formula(layers) == published  # Araujo, Norris and Sim 2019


@pytest.mark.parametrize("seed", [0, 8, 10])  # the middle unit of these is near the padding
def test_support_is_the_box_of_the_unit(seed: int) -> None:
    setup = Setup(spare=0)
    layers = tested.draw(setup, seed)
    module = tested.build(layers, 1, seed)
    width = tested.input_width(setup, layers, seed)
    image = torch.zeros(1, 1, width, dtype=torch.float64, requires_grad=True)
    output = module(image)
    extent, _ = tested._support(output, image)
    unit = output.shape[-1] // 2
    found = unit_box(module.float(), (1, width), layer=str(len(layers) - 1), unit=(unit,))
    low, high = found.box[0]
    assert found.unclipped == ((low, high),)  # it sees no padding, as ``input_width`` promises
    assert extent == high - low + 1


@pytest.mark.parametrize("width", [7, 8, 9, 10])
def test_width_counts_windows(width: int) -> None:
    kernel, stride, padding = 3, 3, 1
    starts = [start for start in range(-padding, width, stride)
              if start + kernel <= width + padding]  # fmt: skip
    found = tested.width_by_formula(width, (kernel, stride, padding))
    assert int(found) == len(starts)
    assert (found == len(starts)) == (starts[-1] + kernel == width + padding)
