"""The quick walk over modules gives what PyTorch's own walk gives."""

from __future__ import annotations

import pytest
import torch
from tests.reference.architectures import UNet, densenet121
from torch import nn

from chainrule.analysis.tree import buffers_of, layers_of, parameters_of


def shared() -> nn.Module:
    layer = nn.BatchNorm1d(3)
    module = nn.ModuleDict({"a": layer, "b": nn.Sequential(layer, nn.Linear(3, 3))})
    module["b"][1].bias = layer.bias
    module.register_module("none", None)
    module.register_parameter("absent", None)
    module.register_buffer("again", layer.running_mean)
    return module


@pytest.mark.parametrize("make", [shared, UNet, densenet121, lambda: nn.LSTM(2, 3)])
def test_names_order_and_objects_are_pytorchs(make) -> None:
    module = make()
    layers = layers_of(module)
    assert list(layers.items()) == list(module.named_modules())
    for ours, theirs in (
        (parameters_of(layers), dict(module.named_parameters())),
        (buffers_of(layers), dict(module.named_buffers())),
    ):
        assert list(ours) == list(theirs)
        assert all(ours[name] is theirs[name] for name in ours)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_modules_are_walked_too() -> None:
    module = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    assert list(layers_of(module)) == ["", "0", "1"]
