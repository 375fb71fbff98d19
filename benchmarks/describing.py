"""How long it takes to know a network: chainrule against torchinfo, fvcore, torchlens and torch.

Aims: VGG-19 and ResNet-50 in less time than torchinfo takes; extra memory under 50 MB whatever
the size; time that grows in proportion to the number of operations. chainrule computes every
column (both memories and receptive fields among them), the others what they have.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from benchmarks import rivals
from benchmarks.measure import alternate, ratio
from tests.reference.architectures import resnet50
from torch import nn

import chainrule
from chainrule.network.source import network

REPEATS = 9
SHAPE = (3, 224, 224)
GIANT = """
import json, resource, sys, time, torch
from torch import nn
from chainrule import describe
describe("resnet18")
with torch.device("meta"):
    layer = nn.TransformerEncoderLayer(8192, 64, 32768, batch_first=True, dropout=0.0)
    module = nn.TransformerEncoder(layer, 88, enable_nested_tensor=False)
before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
answer = describe(module, (2048, 8192))
seconds = time.perf_counter() - begun
more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({"parameters": answer.totals.parameters, "seconds": round(seconds, 2),
                  "more memory (MB)": round(more / 1000, 1)}))
"""


def measure() -> dict[str, Any]:
    """Ratios to chainrule's time; the giant; the growth."""
    rivals.install()
    warnings.simplefilter("ignore")
    return {
        "vgg19, times chainrule": _against(network("vgg19").eval()),
        "resnet50, times chainrule": _against(resnet50(paper=False).eval()),
        "a transformer of 70 billion parameters": _giant(),
        "time for n blocks, times that for one eighth of them": _growth(),
    }


def _against(module: nn.Module) -> dict[str, Any]:
    tools = _tools(module)
    for tool in tools.values():
        tool()  # first calls import and compile
    seconds = alternate(tools, REPEATS)
    return {name: ratio(seconds, name, "chainrule") for name in seconds if name != "chainrule"}


def _tools(module: nn.Module) -> dict[str, Callable[[], object]]:
    import torchinfo  # type: ignore[import-not-found]
    import torchlens  # type: ignore[import-not-found]
    from fvcore.nn import FlopCountAnalysis  # type: ignore[import-not-found]
    from torch.utils.flop_counter import FlopCounterMode

    x = torch.rand(1, *SHAPE)

    def counter() -> None:
        with FlopCounterMode(display=False), torch.no_grad():
            module(x)

    def fvcore() -> object:
        analysis = FlopCountAnalysis(module, x)
        return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()

    return {
        "chainrule": lambda: chainrule.describe(module, SHAPE),
        "torchinfo": lambda: torchinfo.summary(module, (1, *SHAPE), verbose=0),
        "torch.utils.flop_counter": counter,
        "fvcore": fvcore,
        "torchlens": lambda: torchlens.trace(module, x),
    }


def _giant() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", GIANT], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _growth() -> dict[str, float]:
    """8 times the blocks: 8 would be proportional."""

    def blocks(count: int) -> nn.Module:
        layers = [
            (nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()) for _ in range(count)
        ]
        return nn.Sequential(*(layer for block in layers for layer in block))

    small, large = blocks(50), blocks(400)
    seconds = alternate(
        {
            "small": lambda: chainrule.describe(small, (8, 32, 32)),
            "large": lambda: chainrule.describe(large, (8, 32, 32)),
        },
        REPEATS,
    )
    return ratio(seconds, "large", "small")
