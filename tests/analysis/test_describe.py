"""Describe: true for any module, in one line when it cannot be, and never touching anything."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.reference.architectures import UNet
from torch import Tensor, nn

from chainrule.analysis.describe import describe
from chainrule.errors import ChainruleError, NetworkError, ShapeError
from chainrule.network.source import network


def test_the_deck_s_table() -> None:
    answer = describe("INPUT 32x32x1, CONV5-10, POOL2")
    assert [(row.output, row.parameters) for row in answer.layers] == [
        ((10, 32, 32), 260),
        ((10, 16, 16), 0),
    ]
    assert answer.layers[0].formula == "10 x (5x5x1 + 1)"


FORMULAS = {
    "5 x (3x3x2)": (nn.Conv2d(2, 5, 3, bias=False), (2, 8, 8)),
    "6 x (3x3x2 + 1)": (nn.Conv2d(4, 6, 3, groups=2), (4, 8, 8)),
    "4 x (2x2x3) + 6": (nn.ConvTranspose2d(4, 6, 2, groups=2), (4, 8, 8)),
    "5 x (3 + 1)": (nn.Linear(3, 5), (3,)),
    "5 x 3": (nn.Linear(3, 5, bias=False), (3,)),
    "2 x 6": (nn.BatchNorm2d(6), (6, 4, 4)),
    "2 x 3 x (4 + 1)": (network("INPUT 4, MAXOUT3-2"), (4,)),
    "4 x 5 x (3 + 5 + 2)": (nn.LSTM(3, 5, batch_first=True), (7, 3)),
    "2 x 3 x 5 x (3 + 5 + 2)": (nn.GRU(3, 5, batch_first=True, bidirectional=True), (7, 3)),
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_come_to_what_they_are_said_to(formula: str) -> None:
    module, shape = FORMULAS[formula]
    row = describe(module, shape).layers[0]
    assert row.formula == formula
    value = eval(formula.replace("x", "*"))
    assert value == row.parameters == sum(item.numel() for item in module.parameters())


class Mixed(nn.Module):
    """Functions, a shared layer, an unused one, a frozen one, several inputs and outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.vector = nn.Linear(5, 4)
        self.unused = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(4))
        self.vector.requires_grad_(False)

    def forward(self, image: Tensor, vector: Tensor) -> dict[str, Any]:
        x = F.relu(self.again(F.relu(self.again(self.conv(image)))))
        pooled = (x.mean((2, 3)) + self.vector(vector)) * self.scale
        return {"scores": pooled, "maps": [x]}


def test_functions_shared_unused_and_frozen_layers() -> None:
    answer = describe(Mixed(), [(3, 8, 8), (5,)])
    rows = {row.name: row for row in answer.layers}
    assert list(rows) == [
        *("conv", "again", "relu", "again#2", "relu#2", "mean", "vector", "add", "mul", "unused")
    ]
    assert rows["again#2"].parameters == 0
    assert rows["again#2"].macs == rows["again"].macs > 0
    assert "weights shared with again" in rows["again#2"].note
    assert rows["mul"].parameters == 4
    assert rows["unused"].note == "never used"
    assert rows["vector"].note == "frozen"
    assert sum(row.parameters for row in answer.layers) == answer.totals.parameters
    assert sum(row.macs for row in answer.layers) == answer.totals.macs
    codes = {item.code for item in answer.findings}
    assert {"parameters-without-effect", "unused-layer"} <= codes


@pytest.mark.parametrize(
    "given",
    [
        [(3, 8, 8), (5,)],
        ["3,8,8", "5"],
        {"vector": (5,), "image": (3, 8, 8)},
        {"image": torch.rand(1, 3, 8, 8), "vector": np.zeros((1, 5), np.float32)},
        (torch.rand(1, 3, 8, 8), torch.rand(1, 5)),
    ],
)
def test_inputs_in_every_form(given: Any) -> None:
    answer = describe(Mixed(), given)
    assert answer.totals.macs == describe(Mixed(), [(3, 8, 8), (5,)]).totals.macs


def test_tensors_bring_their_batch() -> None:
    answer = describe(nn.Linear(3, 2), torch.rand(7, 3))
    assert (answer.batch, answer.layers[0].output, answer.totals.macs) == (7, (2,), 42)


def test_tokens_are_understood_without_a_type() -> None:
    module = nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 11))
    answer = describe(module, (6,))
    assert answer.layers[-1].output == (6, 11)
    assert describe(module, "6:int64").totals == answer.totals


def test_sizes_may_be_numpy_s_own() -> None:
    shape = tuple(np.array([3, 8, 8]))
    assert describe(nn.Conv2d(3, 4, 3), shape).layers[0].output == (4, 6, 6)


def test_buffers_of_a_layer_that_is_called_twice_count_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.norm(x))  # type: ignore[no-any-return]

    assert [row.buffers for row in describe(Twice(), (4,)).layers] == [9, 0]


def test_the_input_is_inferred_only_where_that_is_safe() -> None:
    assert describe(nn.Linear(3, 2)).inputs == ((3,),)
    assert describe("lenet5").inputs == ((1, 28, 28),)
    with pytest.raises(ShapeError, match="first layer wants 3 channels"):
        describe(nn.Conv2d(3, 4, 3))
    with pytest.raises(ShapeError, match="embedding of 9 tokens"):
        describe(nn.Embedding(9, 2))


class Stubborn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) if float(x.sum()) > 0 else x


def test_a_path_that_depends_on_values_is_run_and_the_answer_says_so() -> None:
    answer = describe(Stubborn(), (4,))
    assert answer.traced == "real"
    assert "item()" in answer.traced_why
    assert answer.totals.macs == 16


WRAPPED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compiled": torch.compile,
    "compiled in place": lambda module: module.compile() or module,
    "data parallel": nn.DataParallel,
    "half": lambda module: module.half(),
    "on the meta device": lambda module: module.to("meta"),
    "weight norm": lambda module: torch.nn.utils.parametrizations.weight_norm(module[0]) and module,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", WRAPPED)
def test_modules_in_wrappers(kind: str) -> None:
    module = WRAPPED[kind](nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    answer = describe(module, (3, 8, 8))
    assert answer.traced == "meta"
    assert answer.totals.macs == 4 * 27 * 36
    assert answer.totals.parameters == sum(item.numel() for item in module.parameters())


def test_lazy_layers_get_their_sizes_in_the_copy_alone() -> None:
    module = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))
    answer = describe(module, (3, 8, 8))
    assert answer.totals.parameters == 4 * 28 + 2 * (4 * 36 + 1)
    assert torch.nn.parameter.is_lazy(module[0].weight)
    assert type(module[0]) is nn.LazyConv2d


def test_scripted_modules_are_run() -> None:
    with pytest.warns(DeprecationWarning, match="jit.script"):
        module = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deepcopy of a scripted module looks at its gradients
        answer = describe(module, (3, 8, 8))
    assert (answer.traced, answer.totals.macs) == ("real", 4 * 27 * 36)
    assert sum(row.parameters for row in answer.layers) == answer.totals.parameters


def test_parameters_in_a_plain_list_are_told() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(4, 4)]

        def forward(self, x: Tensor) -> Tensor:
            return self.layers[0](x)

    found = {item.code: item for item in describe(Hidden(), (4,)).findings}
    assert found["hidden-parameters"].evidence == {"numbers": 20, "tensors": 2}
    healthy = describe(nn.Sequential(nn.Linear(4, 4)), (4,)).findings
    assert "hidden-parameters" not in {item.code for item in healthy}


# -- findings: one planted fault each, and silence on a healthy network --------------------


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.lost = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.lost(x)
        return self.used(x)


class Blind(nn.Module):
    """It makes its own data and reads nothing of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.ones(len(x), 4, device=x.device))  # type: ignore[no-any-return]


def hooked() -> nn.Module:
    module = nn.Linear(4, 4)
    module.register_forward_hook(lambda _module, _inputs, output: output * 2)
    return module


PLANTED: dict[str, tuple[Any, Any]] = {
    "input-without-effect": (Blind(), (3, 8, 8)),
    "hooks-left-out": (hooked(), (4,)),
    "parameters-without-effect": (Detached(), (4,)),
    "unused-result": (Detached(), (4,)),
    "unused-layer": (Mixed(), [(3, 8, 8), (5,)]),
    "size-not-whole": ("INPUT 9x9x1, CONV3-2, POOL2", None),
    "input-not-seen": (nn.Sequential(nn.Conv2d(1, 1, 2, 4)), (1, 15, 15)),
    "field-wider-than-input": ("INPUT 8x8x1, [CONV3-2] x 5", None),
    "centres-misaligned": (UNet(2, 1), (1, 16, 16)),
}
ADVICE = {"parameters-where", "memory-where", "work-where", "expected-initial-loss"}


@pytest.mark.parametrize("code", PLANTED)
def test_planted_faults_are_found(code: str) -> None:
    module, shape = PLANTED[code]
    assert code in {item.code for item in describe(module, shape).findings}


def test_padding_that_is_never_seen_is_no_loss() -> None:
    """3x3 windows with stride 2 over 8 padded to 10 miss a row of zeros; 1x1 windows a real one."""
    assert describe("INPUT 8x8x1, CONV3-2/2").layers[0].note == ""
    note = describe("INPUT 8x8x1, CONV1-2/2").layers[0].note
    assert note == "the last row and column of its input never seen"


@pytest.mark.parametrize(
    "name",
    [
        "lenet5",
        "INPUT 32x32x3, [CONV3-8, BN, RELU] x 2, POOL2, [CONV3-16, BN, RELU] x 2, GAP, FC-10",
        "INPUT 64, FC-32, RELU, DROPOUT(0.5), FC-10",
        "INPUT 16x16x4, RES[CONV3-4, BN, RELU, CONV3-4, BN], GAP, FC-3",
    ],
)
def test_healthy_networks_raise_no_fault(name: str) -> None:
    assert {item.code for item in describe(name).findings} <= ADVICE


def test_where_it_sits_and_the_loss_at_the_start() -> None:
    found = {item.code: item for item in describe("vgg16").findings}
    assert found["parameters-where"].evidence["kind"] == "Linear"
    assert found["parameters-where"].evidence["kind_share"] == pytest.approx(0.894, abs=5e-4)
    assert found["expected-initial-loss"].evidence["softmax"] == pytest.approx(6.9078, abs=1e-4)
    assert found["expected-initial-loss"].evidence["svm"] == 999


class Auxiliary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.main, self.aux = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        return (self.main(x), self.aux(x)) if self.training else self.main(x)


def test_what_runs_in_training_mode_only() -> None:
    answer = describe(Auxiliary(), (4,))
    assert "only-in-training" in {item.code for item in answer.findings}
    assert "parameters-without-effect" not in {item.code for item in answer.findings}
    assert [(row.name, row.note) for row in answer.layers][-1] == (
        "aux",
        "runs in training mode only",
    )
    assert sum(row.parameters for row in answer.layers) == answer.totals.parameters


def test_a_network_that_cannot_train_on_this_input_is_described_all_the_same() -> None:
    class Fussy(Auxiliary):
        def forward(self, x: Tensor) -> Any:
            if self.training:
                raise ValueError("size must be shape 9")
            return self.main(x)

    answer = describe(Fussy(), (4,))
    found = {item.code: item for item in answer.findings}
    assert "size must be shape 9" in found["not-in-training-mode"].meaning


# -- folding and connections ---------------------------------------------------------------


def test_folded_rows_add_up() -> None:
    answer = describe("resnet18")
    for depth in (1, 2, 3):
        folded = answer.folded(depth)
        for name in ("parameters", "macs", "activation_bytes", "saved_bytes"):
            total = sum(getattr(row, name) for row in answer.layers)
            assert sum(getattr(row, name) for row in folded.layers) == total
    assert "res1" in [row.name for row in answer.folded(1).layers]


def test_connections_follow_the_skip() -> None:
    answer = describe("INPUT 8x8x4, RES[CONV3-4, RELU]")
    names = [row.name for row in answer.layers]
    assert names == ["res1.branch.conv1", "res1.branch.relu1", "res1.add"]
    links = {(item.source, item.target) for item in answer.connections}
    assert links == {(-1, 0), (0, 1), (1, 2), (-1, 2), (2, -1)}


# -- bad input -----------------------------------------------------------------------------


class Raises(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.fc(x)
        raise LookupError("my own complaint")


BAD: dict[str, tuple[Any, Any, str]] = {
    "channels of the input": (
        nn.Conv2d(3, 4, 3),
        (1, 8, 8),
        r"network Conv2d expects 3 input channels, gets 1 .*give an input with 3 channels",
    ),
    "channels inside": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(5, 4, 3)),
        (3, 8, 8),
        r"layer '1' \(Conv2d 3x3\) expects 5 input channels, gets 4 .*set in_channels=4",
    ),
    "features": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(100, 2)),
        (3, 8, 8),
        r"layer '2' \(Linear\) expects 100 input features, gets 144 .*set in_features=144",
    ),
    "features of a norm": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(5)),
        (3, 8, 8),
        r"layer '1' \(BatchNorm2d\) expects 5 input channels, gets 4",
    ),
    "empty volume": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 5)),
        (3, 6, 6),
        r"layer '1' \(Conv2d 5x5\) gets 4x4, too small for its 5x5 window",
    ),
    "empty pool": (
        nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(9)),
        (3, 6, 6),
        r"layer '1' \(AvgPool2d 9x9, stride 9\) gets a volume that is too small",
    ),
    "branches": (
        "INPUT 8x8x1, CONV3-2",
        (1, 9, 9),
        r"INPUT 8x8x1 is not the data's 9x9x1",
    ),
    "missing argument": (Mixed(), (3, 8, 8), r"cannot be called with this input .*'vector'"),
    "own error": (Raises(), (4,), r"my own complaint \(at .*test_describe.py:\d+: raise LookupErr"),
    "no number": (nn.Linear(3, 2), "3,x", r"input got '3,x', wants the shape"),
    "no size": (nn.Linear(3, 2), (0,), r"input got 0, wants sizes from 1"),
    "no type": (nn.Linear(3, 2), "3:flaot", r"did you mean 'float'"),
    "no input": (nn.Linear(3, 2), [], r"input got \[\], wants the shape"),
    "nothing": (nn.Linear(3, 2), object(), r"wants the shape of one example"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line(name: str) -> None:
    module, given, words = BAD[name]
    with pytest.raises((ShapeError, NetworkError), match=words) as caught:
        describe(module, given)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_batch_that_is_none_is_refused() -> None:
    for batch in (0, -1, 2.5, True):
        with pytest.raises(ShapeError, match="wants a whole number from 1"):
            describe("lenet5", batch=batch)  # type: ignore[arg-type]


# -- looking does not touch ----------------------------------------------------------------


class Restless(nn.Module):
    """Keeps state of its own, draws random numbers, has hooks and statistics."""

    def __init__(self, fail: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.layers[1].eval()
        self.calls, self.log, self.fail = 0, [], fail
        self.constant = torch.ones(1)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.log.append(x)
        random.random()
        np.random.rand()
        torch.rand(3)
        self.constant += 1
        x = self.layers(x)
        if self.fail:
            raise ValueError("half-way")
        return x * float(x.shape[0])


def snapshot(module: nn.Module) -> dict[str, Any]:
    return {
        "weights": copy.deepcopy(module.state_dict()),
        "gradients": [item.grad is None for item in module.parameters()],
        "requires": [item.requires_grad for item in module.parameters()],
        "versions": [item._version for item in (*module.parameters(), *module.buffers())],
        "modes": [layer.training for layer in module.modules()],
        "hooks": [
            tuple(getattr(layer, name))
            for layer in module.modules()
            for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        ],
        "own": {
            name: copy.copy(value)
            for name, value in vars(module).items()
            if isinstance(value, int | float | list | str) and not name.startswith("_")
        },
        "constant": getattr(module, "constant", torch.zeros(0)).clone(),
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].copy(),
        "python": random.getstate(),
        "functions": (F.scaled_dot_product_attention, F.batch_norm),
        "fused": torch.backends.mha.get_fastpath_enabled(),
        "grad": torch.is_grad_enabled(),
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor | np.ndarray):
        return bool((torch.as_tensor(one) == torch.as_tensor(other)).all())
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


TOUCHED = {
    "restless": (Restless(), (3, 8, 8)),
    "fails half-way": (Restless(fail=True), (3, 8, 8)),
    "wrong input": (Restless(), (5, 8, 8)),
    "depends on values": (Stubborn(), (4,)),
    "attention": (nn.TransformerEncoderLayer(8, 2, batch_first=True), (5, 8)),
    "recurrent": (nn.LSTM(3, 4, batch_first=True), (5, 3)),
    "tied": (Mixed(), [(3, 8, 8), (5,)]),
    "spectral norm": (
        nn.Sequential(torch.nn.utils.spectral_norm(nn.Linear(4, 4)), nn.ReLU()),
        (4,),
    ),
}


@pytest.mark.parametrize("prove", [False, True])
@pytest.mark.parametrize("name", TOUCHED)
def test_looking_does_not_touch(name: str, prove: bool) -> None:
    module, shape = TOUCHED[name]
    fired: list[int] = []
    handle = module.register_forward_hook(lambda *_: fired.append(1))
    before = snapshot(module)
    try:
        describe(module, shape, prove=prove, memory=10**9)
    except ChainruleError:
        assert name in ("fails half-way", "wrong input")
    after = snapshot(module)
    handle.remove()
    assert fired == []
    assert [key for key in before if not same(before[key], after[key])] == []


def test_the_test_of_touching_can_fail() -> None:
    module = Restless()
    before = snapshot(module)
    module(torch.rand(1, 3, 8, 8))
    after = snapshot(module)
    changed = {key for key in before if not same(before[key], after[key])}
    assert {"own", "torch", "numpy", "python", "constant"} <= changed


GIANT = """
import resource, torch
from torch import nn
from chainrule import describe

describe("resnet18")  # what imports and first calls take is not the network's
with torch.device("meta"):
    layer = nn.TransformerEncoderLayer(8192, 64, 32768, batch_first=True, dropout=0.0)
    module = nn.TransformerEncoder(layer, 88, enable_nested_tensor=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
answer = describe(module, (128, 8192))
print(answer.totals.parameters, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_giant_is_described_without_memory() -> None:
    """70 billion parameters on the meta device: under 50 MB more, measured from outside."""
    done = subprocess.run(
        [sys.executable, "-c", GIANT], capture_output=True, text=True, check=True, timeout=120
    )
    parameters, kilobytes = (int(word) for word in done.stdout.split())
    assert parameters > 70_000_000_000
    assert kilobytes < 50_000
