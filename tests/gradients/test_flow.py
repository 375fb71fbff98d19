"""Flow: every statistic against a twin in NumPy, planted faults, healthy networks, no traces."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.reference.flows import Weights, activations, gradients, numerical_jacobian, slope
from torch import Tensor, nn

import chainrule
from chainrule.errors import ChainruleError
from chainrule.gradients.flow_answer import Flow, SingularValues
from chainrule.gradients.jacobian import singular_values
from chainrule.gradients.units import symmetric_units
from chainrule.nn.initializers import initialize
from chainrule.report.page import page
from chainrule.report.text import text

FUNCTIONS = ["tanh", "relu", "sigmoid"]


def perceptron() -> nn.Sequential:
    torch.manual_seed(3)
    net = nn.Sequential(
        *(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6), nn.ReLU()),
        *(nn.Linear(6, 6), nn.Sigmoid(), nn.Linear(6, 3)),
    ).double()
    with torch.no_grad():
        net[0].weight.mul_(6)  # some saturate
        net[2].bias[2:4] = -20  # two are dead
        net[4].weight.mul_(40)
    return net


def weights_of(net: nn.Sequential) -> Weights:
    layers = [layer for layer in net if isinstance(layer, nn.Linear)]
    return [(item.weight.detach().numpy(), item.bias.detach().numpy()) for item in layers]


@pytest.fixture(scope="module")
def seen() -> tuple[Flow, nn.Sequential, Tensor, Tensor]:
    net = perceptron()
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(50, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 3, (50,), generator=generator)
    found = chainrule.flow(net, inputs, targets, batch=16, learning_rate=0.1)
    return found, net, inputs, targets


Seen = tuple[Flow, nn.Sequential, Tensor, Tensor]

# -- statistics against their twins --------------------------------------------------------


def test_moments_and_shares(seen: Seen) -> None:
    found, net, inputs, _ = seen
    outputs = activations(weights_of(net), FUNCTIONS, inputs.numpy())
    assert [row.operation for row in found.layers] == [type(layer).__name__ for layer in net]
    for row, values in zip(found.layers, outputs, strict=True):
        expected = (values.mean(), values.std(), values.min(), values.max(), (values == 0).mean())
        got = (row.mean, row.std, row.smallest, row.largest, row.zero)
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-15)
        assert (row.shape, row.units, row.calls) == ((values.shape[1],), values.shape[1], 1)
    for place, function in enumerate(FUNCTIONS):
        values, row = outputs[2 * place + 1], found.layers[2 * place + 1]
        if function == "relu":
            assert (row.dead, row.saturated) == (int((values == 0).all(0).sum()), None)
            assert row.dead == 2
        else:
            largest = {"tanh": 1.0, "sigmoid": 0.25}[function]
            assert row.saturated == (slope(function, values) < 0.05 * largest).mean()
            assert row.saturated > 0.1
            assert row.dead is None


def test_histograms(seen: Seen) -> None:
    found, net, inputs, _ = seen
    outputs = activations(weights_of(net), FUNCTIONS, inputs.numpy())
    for row, values in zip(found.layers, outputs, strict=True):
        first = values[:16]
        low, high = first.min(), first.max()
        assert (row.histogram.low, row.histogram.high) == pytest.approx((low, high))
        counts, _ = np.histogram(values.clip(low, high), len(row.histogram.counts), (low, high))
        assert sum(row.histogram.counts) == values.size
        assert np.abs(np.array(row.histogram.counts) - counts).sum() <= 4  # ties at edges


def test_gradients_and_updates(seen: Seen) -> None:
    found, net, inputs, targets = seen
    weights = weights_of(net)
    loss, by_output, by_weights = gradients(weights, FUNCTIONS, inputs.numpy(), targets.numpy())
    assert found.loss_value == pytest.approx(loss, rel=1e-12)
    for row, values in zip(found.layers, by_output, strict=True):
        expected = np.sqrt((values**2).sum() / len(values))
        assert row.gradient_norm == pytest.approx(expected, rel=1e-10)
    for place, (slopes, own) in enumerate(zip(by_weights, weights, strict=True)):
        row = found.layers[2 * place]
        norm = np.sqrt(sum((part**2).sum() for part in slopes))
        size = np.sqrt(sum((part**2).sum() for part in own))
        assert row.parameter_gradient == pytest.approx(norm, rel=1e-10)
        assert row.parameter_norm == pytest.approx(size, rel=1e-12)
        assert row.update_ratio == pytest.approx(0.1 * norm / size, rel=1e-10)


def test_the_first_step_of_adam_is_the_sign_of_the_gradient(seen: Seen) -> None:
    _, net, inputs, targets = seen
    found = chainrule.flow(
        net, inputs, targets, learning_rate=0.01, update_rule=torch.optim.Adam, jacobians=False
    )
    _, _, by_weights = gradients(weights_of(net), FUNCTIONS, inputs.numpy(), targets.numpy())
    for place, slopes in enumerate(by_weights):
        row = found.layers[2 * place]
        steps = [0.01 * part / (np.abs(part) + 1e-8) for part in slopes]
        size = np.sqrt(sum((part**2).sum() for part in steps))
        assert row.parameter_norm is not None
        assert row.update_ratio == pytest.approx(size / row.parameter_norm, rel=1e-6)


def test_statistics_do_not_depend_on_minibatches_or_order(seen: Seen) -> None:
    found, net, inputs, targets = seen
    order = torch.randperm(50, generator=torch.Generator().manual_seed(5))
    other = chainrule.flow(net, inputs[order], targets[order], batch=50, learning_rate=0.1)
    for one, two in zip(found.layers, other.layers, strict=True):
        for name in ("mean", "std", "zero", "saturated", "dead", "gradient_norm", "update_ratio"):
            value, again = getattr(one, name), getattr(two, name)
            assert value == again or value == pytest.approx(again, rel=1e-9, abs=1e-12), name


# -- Jacobians -----------------------------------------------------------------------------


class Normalized(nn.Module):
    """Batch normalization, the other examples held."""

    def __init__(self, others: Tensor) -> None:
        super().__init__()
        self.others = others

    def forward(self, x: Tensor) -> Tensor:
        whole = torch.cat([x, self.others])
        return nn.functional.batch_norm(whole, None, None, training=True)[:1]


def jacobian_layers() -> dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]]:
    torch.manual_seed(1)
    others = torch.randn(5, 3, 4, 4, dtype=torch.float64)
    return {
        "linear": (nn.Linear(6, 4).double(), (6,)),
        "conv": (nn.Conv2d(3, 2, 3, padding=1).double(), (3, 4, 4)),
        "strided": (nn.Conv2d(3, 5, 3, stride=2).double(), (3, 5, 5)),
        "tanh": (nn.Tanh(), (3, 4)),
        "max-pool": (nn.MaxPool2d(2), (2, 4, 4)),
        "softmax": (nn.Softmax(-1), (7,)),
        "batch norm": (Normalized(others), (3, 4, 4)),
    }


def by_differences(function: Callable[[Tensor], Tensor], example: Tensor) -> Any:
    def call(values: Any) -> Any:
        with torch.no_grad():
            return function(torch.from_numpy(values)).numpy()

    return np.linalg.svd(numerical_jacobian(call, example.numpy()), compute_uv=False)


def summary(values: Any) -> tuple[float, float, float]:
    return float(values.max()), float(values.min()), float(np.sqrt((values**2).mean()))


@pytest.mark.parametrize("name", jacobian_layers())
@pytest.mark.parametrize("iterated", [False, True])
def test_singular_values(name: str, iterated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    function, shape = jacobian_layers()[name]
    example = torch.randn(2, *shape, dtype=torch.float64)
    example = example[:1] if name == "batch norm" else example
    if iterated:
        monkeypatch.setattr("chainrule.gradients.jacobian._MOST_OUTPUTS", 0)
        monkeypatch.setattr("chainrule.gradients.jacobian._PROBES", 3000)
    found = singular_values(function, example)
    expected = [summary(by_differences(function, item)) for item in example.split(1)]
    largest, smallest, rms = (sum(part) / len(part) for part in zip(*expected, strict=True))
    assert found.method == ("lanczos" if iterated else "exact")
    assert found.largest == pytest.approx(largest, rel=1e-2 if iterated else 1e-6)
    assert found.rms == pytest.approx(rms, rel=2e-2 if iterated else 1e-6)
    if found.smallest is not None:
        wide = {"rel": 5e-2, "abs": 1e-6} if iterated else {"rel": 1e-5, "abs": 1e-7}
        assert found.smallest == pytest.approx(smallest, **wide)
    assert iterated or found.smallest is not None


def test_large_convolutions_by_lanczos_meet_the_dense_matrix() -> None:
    torch.manual_seed(0)
    layer, example = nn.Conv2d(4, 8, 3, padding=1), torch.randn(1, 4, 12, 12)
    found = singular_values(layer, example)
    dense = torch.autograd.functional.jacobian(layer, example).reshape(8 * 144, 4 * 144)
    values = np.linalg.svd(dense.double().numpy(), compute_uv=False)
    assert (found.method, found.shape) == ("lanczos", dense.shape)
    assert found.largest == pytest.approx(values.max(), rel=1e-2)
    assert found.rms == pytest.approx(np.sqrt((values**2).mean()), rel=5e-2)
    assert found.smallest is None  # 24 iterations do not resolve it, and say so


def test_diagonals_and_normalization_in_a_network() -> None:
    torch.manual_seed(0)
    net = chainrule.network("INPUT 4x4x2, CONV3-3, BN, RELU, DROPOUT(0.5), GAP, FC-2").double()
    inputs = torch.randn(6, 2, 4, 4, dtype=torch.float64)
    rows = chainrule.flow(net, inputs)
    relu, dropout = (next(r for r in rows.layers if r.operation == k) for k in ("ReLU", "Dropout"))
    values: SingularValues | None = relu.jacobian
    assert values is not None
    assert (values.largest, values.smallest, values.examples) == (1.0, 0.0, 4)
    assert dropout.jacobian is not None
    assert dropout.jacobian.largest == 2.0
    conv = rows["conv1"]
    outputs = net.conv1(inputs).detach()
    expected = summary(by_differences(Normalized(outputs[1:]), outputs[:1]))
    found = next(row for row in rows.layers if row.operation == "BatchNorm2d").jacobian
    assert found is not None
    assert (found.largest, found.smallest, found.rms) == pytest.approx(expected, rel=1e-4)
    assert conv.jacobian is not None
    assert conv.jacobian.examples == 1


# -- recurrence ----------------------------------------------------------------------------


class Again(nn.Module):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps, self.w = steps, nn.Linear(6, 6, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        for _ in range(self.steps):
            h = self.w(h)
        return h


def test_the_gradient_by_call_is_the_transposed_matrix_again_and_again() -> None:
    torch.manual_seed(0)
    net, start = Again(8).double(), torch.randn(1, 6, dtype=torch.float64)
    found = chainrule.flow(net, start)
    matrix = net.w.weight.detach().numpy()
    g = torch.randn(1, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64).numpy()
    norms = []
    for _ in range(8):
        norms.append(float(np.linalg.norm(g)))
        g = g @ matrix
    assert found["w"].gradient_by_call == pytest.approx(norms[::-1], rel=1e-12)
    assert found["w"].gradient_norm == pytest.approx(np.linalg.norm(norms), rel=1e-12)
    (row,) = found.recurrent
    values = np.linalg.svd(matrix, compute_uv=False)
    radius = np.abs(np.linalg.eigvals(matrix)).max()
    assert (row.largest, row.smallest) == pytest.approx((values[0], values[-1]), rel=1e-12)
    assert (row.spectral_radius, row.steps) == (pytest.approx(radius, rel=1e-12), 8)
    assert row.measured == pytest.approx((norms[-1] / norms[0]) ** (1 / 7), rel=1e-12)


RECURRENT = {
    "RNN": (lambda: nn.RNN(4, 5, batch_first=True), [""], False),
    "two layers, both ways": (
        lambda: nn.RNN(4, 5, num_layers=2, bidirectional=True, batch_first=True), [""] * 4, False,
    ),
    "LSTM": (lambda: nn.LSTM(4, 5, batch_first=True), ["input", "forget", "cell", "output"], True),
    "GRU": (lambda: nn.GRU(4, 5, batch_first=True), ["reset", "update", "new"], True),
}  # fmt: skip


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_matrices_of_pytorch(name: str) -> None:
    make, gates, gated = RECURRENT[name]
    torch.manual_seed(0)
    layer = make()
    found = chainrule.flow(layer, torch.randn(3, 9, 4)).recurrent
    parts = [
        part.detach().double().numpy()
        for key, weight in layer.named_parameters()
        if key.startswith("weight_hh")
        for part in weight.chunk(len(gates) if gated else 1)
    ]
    assert len(found) == len(parts) == len(gates)
    for row, part, gate in zip(found, parts, gates, strict=True):
        assert gate in row.name
        assert (row.steps, row.gated) == (9, gated)
        assert row.largest == pytest.approx(np.linalg.norm(part, 2), rel=1e-6)


def test_cells_count_their_steps() -> None:
    class Unrolled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.RNNCell(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            h = x.new_zeros(len(x), 5)
            for t in range(x.shape[1]):
                h = self.cell(x[:, t], h)
            return h

    found = chainrule.flow(Unrolled(), torch.randn(3, 7, 4))
    assert [row.steps for row in found.recurrent] == [7]
    assert len(found["cell"].gradient_by_call) == 7


# -- symmetric units -----------------------------------------------------------------------


def test_symmetric_units_need_equal_weights_and_equal_gradients() -> None:
    layer = nn.Linear(3, 5)
    with torch.no_grad():
        layer.weight[3], layer.bias[3] = layer.weight[1], layer.bias[1]
        layer.weight[4] = layer.weight[0]  # another bias
    slopes = {item: torch.ones_like(item) for item in layer.parameters()}
    (found,) = symmetric_units([("fc", layer)], slopes)
    assert (found.groups, found.units) == (((1, 3),), 5)
    slopes[layer.weight][3, 0] = 2.0
    assert symmetric_units([("fc", layer)], slopes) == ()


def test_channels_of_convolutions_of_every_kind() -> None:
    for layer in (nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3, groups=2)):
        with torch.no_grad():
            layer.weight.fill_(0.1)
            layer.bias.copy_(torch.tensor([0.0, 1, 2, 2, 4, 5]))
        slopes = {item: torch.zeros_like(item) for item in layer.parameters()}
        assert symmetric_units([("c", layer)], slopes)[0].groups == ((2, 3),)


# -- planted faults, healthy networks ------------------------------------------------------

LENET = "INPUT 8x8x1, CONV5-6, {0}, AVGPOOL2, CONV3-16 p0, {0}, FC-120, {0}, FC-84, {0}, FC-10"
VGG = (
    "INPUT 8x8x1, [CONV3-16, {0}RELU] x 2, POOL2, [CONV3-32, {0}RELU] x 2, POOL2, "
    "[CONV3-64, {0}RELU] x 3, FC-128, RELU, DROPOUT(0.5), FC-128, RELU, FC-10"
)
RESNET = (
    "INPUT 8x8x1, CONV3-16, BN, RELU, [RES[CONV3-16, BN, RELU, CONV3-16, BN], RELU] x 6, GAP, FC-10"
)
HEALTHY = {
    "lenet, tanh": LENET.format("TANH"), "lenet, relu": LENET.format("RELU"),
    "vgg": VGG.format(""), "vgg, bn": VGG.format("BN, "), "resnet": RESNET,
}  # fmt: skip


def digits(count: int = 128) -> tuple[Tensor, Tensor]:
    data = chainrule.load_data("digits")
    return data.normalize(data.train.inputs[:count]), data.train.targets[:count]


def codes(net: nn.Module, **options: Any) -> set[str]:
    found = chainrule.flow(net, *digits(), jacobians=False, **options)
    return {item.code for item in found.findings}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_networks_get_no_finding(name: str) -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        net = initialize(chainrule.network(HEALTHY[name]), "kaiming")
        assert codes(net.train(), seed=seed) == set()
        assert codes(net.eval(), seed=seed) == set()


def he(text: str) -> nn.Module:
    torch.manual_seed(0)
    return initialize(chainrule.network(text), "kaiming")


def scaled(text: str, factor: float) -> nn.Module:
    net = he(text)
    for parameter in net.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(factor)
    return net


def constant(text: str, value: float) -> nn.Module:
    net = he(text)
    for parameter in net.parameters():
        if parameter.dim() > 1:
            parameter.data.fill_(value)
    return net


def dead() -> nn.Module:
    net = he(HEALTHY["lenet, relu"])
    net.get_parameter("conv2.bias").data.fill_(-10)
    return net


class Recurrent(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.rnn, self.fc = nn.RNN(8, 32, batch_first=True), nn.Linear(32, 10)
        torch.manual_seed(0)
        nn.init.orthogonal_(self.rnn.weight_hh_l0)
        self.rnn.weight_hh_l0.data.mul_(factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x.flatten(1, 2))[0][:, -1])  # type: ignore[no-any-return]


SIGMOIDS = "INPUT 8x8x1, [FC-64, SIGMOID] x 12, FC-10"
FAULTS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "tiny, tanh": (lambda: scaled(LENET.format("TANH"), 0.05), "initialization-too-small"),
    "tiny, relu": (lambda: scaled(VGG.format(""), 0.05), "initialization-too-small"),
    "huge, tanh": (lambda: scaled(LENET.format("TANH"), 20), "saturated-activations"),
    "huge, relu": (lambda: scaled(VGG.format(""), 20), "initialization-too-large"),
    "dead": (dead, "dead-relu"),
    "zero": (lambda: constant(LENET.format("TANH"), 0.0), "symmetric-initialization"),
    "constant": (lambda: constant(LENET.format("RELU"), 0.01), "symmetric-initialization"),
    "constant, bn": (lambda: constant(VGG.format("BN, "), 0.02), "symmetric-initialization"),
    "sigmoids": (lambda: chainrule.network(SIGMOIDS), "vanishing-gradients"),
    "sigmoids, he": (lambda: he(SIGMOIDS), "vanishing-gradients"),
    "recurrent x 2": (lambda: Recurrent(2), "exploding-gradients"),
    "recurrent / 2": (lambda: Recurrent(0.5), "vanishing-gradients"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_found(name: str) -> None:
    make, code = FAULTS[name]
    assert code in codes(make())


def test_findings_name_the_place_and_the_number() -> None:
    found = chainrule.flow(dead(), *digits(), jacobians=False)
    finding = next(item for item in found.findings if item.code == "dead-relu")
    assert finding.place == "relu2"
    assert finding.evidence["dead"] == 16
    assert "16 of 16 units of relu2 are off for all 128 inputs" in finding.meaning
    found = chainrule.flow(Recurrent(2), *digits(), jacobians=False)
    assert found.findings[0].place == "rnn.weight_hh_l0"
    assert found.findings[0].evidence["spectral_radius"] == pytest.approx(2, rel=1e-5)
    assert "above 1" in found.findings[0].meaning
    assert codes(Recurrent(1)) == set()


def test_saturation_by_the_inputs_is_told_from_saturation_by_the_weights() -> None:
    inputs, targets = digits()
    net = initialize(chainrule.network("INPUT 8x8x1, FC-64, TANH, FC-10"), "xavier")
    assert chainrule.flow(net, inputs, targets).findings == ()
    (found,) = chainrule.flow(net, 1000 * inputs, targets).findings
    assert found.code == "saturated-activations"
    assert "normalize the inputs" in found.remedy
    net.get_parameter("fc1.weight").data.mul_(1000)
    (found,) = chainrule.flow(net, inputs, targets).findings
    assert "smaller weights" in found.remedy


def test_gates_get_numbers_and_no_finding() -> None:
    net = nn.LSTM(4, 5, batch_first=True)
    net.weight_hh_l0.data.mul_(10)
    found = chainrule.flow(net, torch.randn(3, 30, 4))
    assert found.recurrent[0].spectral_radius > 1
    assert found.findings == ()


def test_the_first_layer_that_is_not_finite_is_named() -> None:
    net = he(HEALTHY["lenet, relu"])
    net.get_parameter("fc1.weight").data[3, 2] = float("nan")
    found = chainrule.flow(net, *digits())
    assert [(item.code, item.place) for item in found.findings] == [("numerical-overflow", "fc1")]
    assert found["fc1"].not_finite == 128
    assert found["fc1"].jacobian is None
    assert found.loss_value is None
    json.loads(json.dumps(found.to_dict()), parse_constant=lambda name: pytest.fail(name))
    assert "fc1 is the first layer" in text(found)


# -- what is seen --------------------------------------------------------------------------


class Functional(nn.Module):
    """Activations called as functions, one of them in place, and a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc, self.idle = nn.Conv2d(1, 4, 3), nn.Linear(4, 4), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.conv(x)).mean((2, 3))
        for _ in range(3):
            x = torch.tanh(self.fc(x))
        return nn.functional.relu(x)


def test_functions_and_repeated_layers_are_rows() -> None:
    found = chainrule.flow(Functional(), torch.randn(5, 1, 6, 6))
    names = [(row.name, row.calls) for row in found.layers]
    assert names == [
        ("conv", 1), ("relu", 1), ("fc", 3), ("tanh", 1), ("tanh 2", 1), ("tanh 3", 1),
        ("relu 2", 1),
    ]  # fmt: skip
    assert (found["relu"].units, found["relu 2"].units) == (4, 4)
    conv = found["conv"].smallest
    assert conv is not None
    assert conv < 0  # before it was overwritten
    assert all(row.gradient_norm is not None for row in found.layers)


def test_layers_that_overwrite_their_input_are_looked_at_before() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ELU(inplace=True)).double()
    inputs = torch.randn(4, 4, dtype=torch.float64)
    found = chainrule.flow(net, inputs)
    before = net[0](inputs).detach().numpy()
    slopes = np.where(before > 0, 1, np.exp(np.minimum(before, 0)))
    jacobian, row = found["1"].jacobian, found["0"]
    assert jacobian is not None
    assert jacobian.smallest == pytest.approx(slopes.min(1).mean(), rel=1e-12)
    assert (row.mean, row.smallest) == pytest.approx((before.mean(), before.min()), rel=1e-12)
    assert row.gradient_norm


def test_a_network_may_overwrite_its_inputs() -> None:
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2))
    given = torch.randn(3, 4)
    kept = given.clone()
    assert chainrule.flow(net, given)["0"].zero > 0
    assert torch.equal(given, kept)


class Weighted(nn.Module):
    """A layer of the user's own: a matrix and an activation function."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.w)


def test_layers_of_the_user_are_rows_beside_the_functions_they_call() -> None:
    found = chainrule.flow(nn.Sequential(Weighted(), nn.Linear(5, 2)), torch.randn(6, 4))
    assert [row.name for row in found.layers] == ["0.relu", "0", "1"]
    assert found["0"].update_ratio
    assert found["0.relu"].dead is not None


def test_features_of_sequences_are_units() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.LayerNorm(6), nn.ReLU())
    found = chainrule.flow(net, torch.randn(5, 9, 4))
    assert [row.units for row in found.layers] == [6, 6, 6, 6]

    class Functions(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x)

    assert chainrule.flow(Functions(), torch.randn(5, 9, 4))["relu"].units == 4
    net = nn.Sequential(nn.Conv1d(4, 6, 3), nn.ReLU())
    assert chainrule.flow(net, torch.randn(5, 4, 9))["1"].units == 6


def test_networks_of_many_kinds() -> None:
    tokens = nn.Sequential(nn.Embedding(9, 6), nn.Flatten(), nn.Linear(30, 3))
    whole = torch.randint(0, 9, (8, 5), generator=torch.Generator().manual_seed(0))
    assert chainrule.flow(tokens, whole, torch.arange(8) % 3)["0"].gradient_norm
    attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert len(chainrule.flow(attention, torch.randn(3, 4, 8)).layers) > 5
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.ReLU())
    assert [row.operation for row in chainrule.flow(normed, torch.randn(5, 3)).layers][1] == "ReLU"
    frozen = nn.Sequential(nn.Linear(3, 4).requires_grad_(False), nn.Linear(4, 2))
    found = chainrule.flow(frozen, torch.randn(5, 3))
    assert found["0"].gradient_norm
    assert found["0"].update_ratio is None
    assert "2 frozen parameters" in found.notes[0]
    assert chainrule.flow(nn.Linear(3, 1), torch.randn(5, 3), torch.randn(5, 1)).loss == "mse"
    assert chainrule.flow("INPUT 4, FC-3", np.ones((5, 4))).mode == "training"


# -- looking must not touch ----------------------------------------------------------------


def test_looking_does_not_touch() -> None:
    net = chainrule.network("INPUT 8x8x1, CONV3-4, BN, RELU, DROPOUT(0.5), FC-3")
    called: list[Any] = []
    net.register_forward_hook(lambda *_: called.append(1))
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = copy.deepcopy(net.state_dict())
    modes = [layer.training for layer in net.modules()]
    hooks = [(len(layer._forward_hooks), len(layer._forward_pre_hooks)) for layer in net.modules()]
    given = torch.randn(6, 1, 8, 8)
    kept, states = given.clone(), (torch.get_rng_state(), np.random.get_state()[1].copy())
    chainrule.flow(net, given, torch.tensor([0, 1, 2, 0, 1, 2]), update_rule=torch.optim.Adam)
    with pytest.raises(ChainruleError):
        chainrule.flow(net, torch.randn(3, 2, 8, 8))
    after = net.state_dict()
    assert all(torch.equal(a, after[name]) for name, a in before.items())
    assert all(bool((p.grad == 1).all()) for p in net.parameters() if p.grad is not None)
    assert modes == [layer.training for layer in net.modules()]
    assert hooks == [
        (len(layer._forward_hooks), len(layer._forward_pre_hooks)) for layer in net.modules()
    ]
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert torch.equal(given, kept)
    assert given.grad is None
    assert not given.requires_grad
    assert not called


def test_random_state_is_left_and_the_answer_is_the_same_again() -> None:
    given = torch.randn(6, 8)
    state = torch.get_rng_state()
    text_ = "INPUT 8, FC-16, RELU, DROPOUT(0.5), FC-3"
    first = chainrule.flow(text_, given)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(3)
    assert chainrule.flow(text_, given).to_dict() == first.to_dict()


def test_an_optimizer_of_the_user_sees_copies_alone() -> None:
    net = nn.Linear(3, 2)
    own = [id(item) for item in net.parameters()]

    def rule(pairs: list[tuple[str, nn.Parameter]], lr: float) -> torch.optim.Optimizer:
        assert [name for name, _ in pairs] == ["weight", "bias"]
        assert not {id(item) for _, item in pairs} & set(own)
        return torch.optim.SGD(pairs, lr=lr, weight_decay=0.1)

    found = chainrule.flow(net, torch.randn(4, 3), learning_rate=0.5, update_rule=rule)
    assert found.update == "SGD, learning rate 0.5"


# -- bad input -----------------------------------------------------------------------------


def cut(x: Tensor) -> Tensor:
    return x.detach()


class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return cut(self.fc(x))


X, Y = torch.ones(4, 3), torch.tensor([0, 1, 0, 1])
BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "no data": (lambda: chainrule.flow(nn.Linear(3, 2), None), "inputs got a NoneType"),
    "empty": (lambda: chainrule.flow(nn.Linear(3, 2), X[:0]), "at least one example"),
    "nan": (lambda: chainrule.flow(nn.Linear(3, 2), X / 0 - X / 0), "not finite .* in example 0"),
    "lengths": (lambda: chainrule.flow(nn.Linear(3, 2), X, Y[:3]), "one target for each example"),
    "shape": (lambda: chainrule.flow(nn.Linear(5, 2), X), r"cannot read inputs of shape \(4, 3\)"),
    "class": (lambda: chainrule.flow(nn.Linear(3, 2), X, Y + 1), "targets hold class 2"),
    "kind": (lambda: chainrule.flow(nn.Linear(3, 2), X, [0, 1]), "targets got a list"),
    "loss": (lambda: chainrule.flow(nn.Linear(3, 2), X, Y, loss="sofmax"), "mean 'softmax'"),
    "loss alone": (lambda: chainrule.flow(nn.Linear(3, 2), X, loss="svm"), "targets are missing"),
    "loss of rows": (
        lambda: chainrule.flow(nn.Linear(3, 2), X, Y, loss=lambda s, t: s), "wants one number",
    ),
    "name": (lambda: chainrule.flow("lenet6", torch.ones(2, 1, 28, 28)), "mean 'lenet5'"),
    "batch": (lambda: chainrule.flow(nn.Linear(3, 2), X, batch=0), "batch must be"),
    "rate": (lambda: chainrule.flow(nn.Linear(3, 2), X, learning_rate=-1), "learning_rate must"),
    "cut": (lambda: chainrule.flow(Cut(), X), "look for no_grad or detach"),
    "no floats": (lambda: chainrule.flow(Whole(), X), "gives no tensor of floats"),
    "meta": (lambda: chainrule.flow(nn.Linear(3, 2, device="meta"), X), "meta device"),
}  # fmt: skip


class Whole(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.argmax(1)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line(name: str) -> None:
    act, words = BAD[name]
    with pytest.raises(ChainruleError, match=words) as caught:
        act()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


# -- looks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_table_fits(width: int) -> None:
    found = chainrule.flow(he(HEALTHY["vgg, bn"]), *digits(32), jacobians=False)
    lines = text(found, width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.startswith(("conv", "bn", "relu", "fc")) for line in lines) == 26


def test_pages_hold_three_pictures_and_ask_nobody(seen: Seen) -> None:
    shown = page(seen[0])
    assert shown.count("<svg") == 3
    assert "<script" not in shown
    assert 'src="http' not in shown
    empty = chainrule.flow(he(HEALTHY["vgg"]), *digits(8), jacobians=False)
    assert "<svg" in page(empty)
    assert "recurrent matrix" in page(chainrule.flow(nn.RNN(3, 4), torch.randn(4, 5, 3)))
