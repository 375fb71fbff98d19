"""How long it takes to check gradients: chainrule against ``torch.autograd.gradcheck``.

Aims: ten times as fast as its slow mode at equal coverage of elements; no slower than its fast
mode for a directional check; exhaustive checks linear in the number of parameters; VGG-16 at
224 x 224 sampled in under a minute. Whole calls are timed: chainrule's also measures the noise of
the function, tells kinks apart and compares with forward mode.
"""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from benchmarks.measure import alternate, ratio
from torch import Tensor, nn
from torch.func import functional_call

from chainrule.gradients.check import check_gradients
from chainrule.network.source import network

REPEATS = 7
CONVNET = "INPUT 8x8x1, CONV3-8, RELU, POOL2, CONV3-16, RELU, POOL2, FC-10"
WIDTHS = (16, 32, 64, 128, 256)


def measure() -> dict[str, Any]:
    """Ratios to chainrule's time; the growth; the large network."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    module = network(CONVNET).double()
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    labels = torch.tensor([3, 7])
    return {
        "elements": sum(item.numel() for item in module.parameters()) + x.numel(),
        "exhaustive: gradcheck slow mode, times chainrule": _exhaustive(module, x, labels),
        "one direction: gradcheck fast mode, times chainrule": {
            "this network": _directional(module, x, labels),
            "lenet5, 8 images": _lenet5(),
        },
        "exhaustive check of a 20-W-10 network": _growth(),
        "vgg16 at 224 x 224, sampled, seconds": _vgg16(),
    }


def _torch_check(module: nn.Module, x: Tensor, labels: Tensor, fast: bool) -> Callable[[], object]:
    names = [name for name, _ in module.named_parameters()]
    leaves = [x.clone().requires_grad_()]
    leaves += [item.detach().clone().requires_grad_() for item in module.parameters()]

    def loss(*tensors: Tensor) -> Tensor:
        state = dict(zip(names, tensors[1:], strict=True))
        return nn.functional.cross_entropy(functional_call(module, state, tensors[0]), labels)

    return lambda: torch.autograd.gradcheck(loss, leaves, fast_mode=fast)


def _against(ours: Callable[[], object], theirs: Callable[[], object], name: str) -> dict[str, Any]:
    tools = {"chainrule": ours, name: theirs}
    for tool in tools.values():
        tool()  # first calls import and compile
    seconds = alternate(tools, REPEATS)
    medians = {
        f"{key}, seconds": round(statistics.median(item), 4) for key, item in seconds.items()
    }
    return ratio(seconds, name, "chainrule") | medians


def _exhaustive(module: nn.Module, x: Tensor, labels: Tensor) -> dict[str, Any]:
    def ours() -> object:
        found = check_gradients(module, x, loss="softmax", targets=labels, exhaustive=True)
        assert found.verdict == "correct"
        return found

    return _against(ours, _torch_check(module, x, labels, fast=False), "gradcheck")


def _directional(module: nn.Module, x: Tensor, labels: Tensor) -> dict[str, Any]:
    def ours() -> object:
        found = check_gradients(
            module, x, loss="softmax", targets=labels, exhaustive=False, samples=0, directions=1
        )
        assert found.verdict == "correct"
        return found

    return _against(ours, _torch_check(module, x, labels, fast=True), "gradcheck fast mode")


def _lenet5() -> dict[str, Any]:
    x, labels = torch.randn(8, 1, 28, 28, dtype=torch.float64), torch.arange(8)
    return _directional(network("lenet5").double(), x, labels)


def _growth() -> dict[str, Any]:
    """Seconds by number of parameters, and the power that fits them (1 is linear)."""
    points = []
    for width in WIDTHS:
        module = network(f"INPUT 20, FC-{width}, TANH, FC-10")
        best = math.inf
        for _ in range(3):
            begun = time.perf_counter()
            check_gradients(module, (20,), loss="softmax", exhaustive=True, seconds=600.0)
            best = min(best, time.perf_counter() - begun)
        points.append((sum(item.numel() for item in module.parameters()), round(best, 3)))
    large = points[-3:]  # small ones are mostly the constant cost of a call
    logs = [(math.log(count), math.log(seconds)) for count, seconds in large]
    slope = (logs[-1][1] - logs[0][1]) / (logs[-1][0] - logs[0][0])
    return {"parameters and seconds": points, "power of the three largest": round(slope, 2)}


def _vgg16() -> float:
    begun = time.perf_counter()
    found = check_gradients("vgg16", batch=1, seconds=60.0)
    assert found.verdict == "correct"
    return round(time.perf_counter() - begun, 1)
