"""The fastest way of computing a step is taken only where it computes the same thing."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import chainrule
from chainrule.record.store import RunStore
from chainrule.training import choosing, remembered
from chainrule.training.agreement import agreement
from chainrule.training.choice import Choice
from chainrule.training.choosing import Race, choose
from chainrule.training.data.dataset import Dataset
from chainrule.training.data.load import load_data
from chainrule.training.execution import PRECISE, Execution
from chainrule.training.minibatches import Minibatch, Minibatches
from chainrule.training.recipe import Recipe

NOTATION = "CONV3-4, BN, RELU, POOL2, DROPOUT(0.5), FC-10"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits", limit=100)


@pytest.fixture
def long_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run counts as long, and measuring takes no time worth speaking of."""
    monkeypatch.setattr(choosing, "SHORT_RUN", 0.0)
    monkeypatch.setattr(choosing, "MOST_SECONDS", 0.3)
    monkeypatch.setattr(choosing, "SHARE", 1e9)
    monkeypatch.setenv(remembered.VARIABLE, str(tmp_path / "cache"))


def _network() -> nn.Module:
    torch.manual_seed(0)
    return chainrule.network(NOTATION, input=(1, 8, 8), classes=10)


def _recipe(**values: object) -> Recipe:
    return Recipe(loss="softmax", batch_size=32, **values)


class FarFromZero(nn.Module):
    """Healthy in float32; bfloat16 has three digits, and the inputs differ in the fourth."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, values: Tensor) -> Tensor:
        shifted = self.layer(values.flatten(1)) + 1000
        return nn.functional.linear(shifted, torch.eye(10)) - 1000


def _times(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]) -> None:
    """Let precisions take these times, whatever else is chosen."""

    def time(self: Race, execution: Execution, _: float) -> float:
        found = seconds[execution.precision]
        self.best[execution] = choosing.Trial(execution, found, 1)
        return found

    monkeypatch.setattr(Race, "_time", time)


@pytest.mark.usefixtures("long_run")
def test_measuring_touches_nothing(digits: Dataset) -> None:
    module = _network().train()
    module[0].register_forward_hook(lambda *_: pytest.fail("a hook of the user's was run"))
    before = copy.deepcopy(module.state_dict())
    strides = [item.stride() for item in module.parameters()]
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.random.fork_rng():
        choice = choose(module, digits, _recipe())
    assert choice.how == "measured"
    assert len(choice.trials) >= 4
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert [item.stride() for item in module.parameters()] == strides
    assert all(item.grad is None for item in module.parameters())
    assert all(layer.training for layer in module.modules())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads


@pytest.mark.usefixtures("long_run")
def test_a_choice_is_remembered_for_this_network_and_no_other(digits: Dataset) -> None:
    first = choose(_network(), digits, _recipe())
    again = choose(_network(), digits, _recipe())
    assert again == replace(first, how="remembered", seconds=0.0)
    assert "measured in an earlier run" in again.words
    wider = chainrule.network("CONV3-5, RELU, FC-10", input=(1, 8, 8), classes=10)
    assert choose(wider, digits, _recipe()).how == "measured"
    assert choose(_network(), digits, _recipe(update_rule="sgd")).how == "measured"
    for file in (remembered.cache_folder() / "executions").iterdir():
        file.write_text("{ half")  # a damaged memory is no memory
    assert choose(_network(), digits, _recipe()).how == "measured"


@pytest.mark.usefixtures("long_run")
def test_a_cache_that_cannot_be_written_is_gone_without(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv(remembered.VARIABLE, str(tmp_path / "file"))
    assert choose(_network(), digits, _recipe()).how == "measured"


@pytest.mark.usefixtures("long_run")
def test_the_faster_precision_is_taken_where_it_agrees(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(monkeypatch, {"float32": 1.0, "bfloat16": 0.5})
    choice = choose(_network(), digits, _recipe())
    assert choice.execution.precision == "bfloat16"
    assert choice.gain == pytest.approx(2)
    assert choice.agreement is not None
    assert choice.agreement.holds
    assert 0 < choice.agreement.loss_error < 0.01


@pytest.mark.usefixtures("long_run")
def test_a_faster_precision_that_computes_something_else_is_not_taken(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(monkeypatch, {"float32": 1.0, "bfloat16": 0.1})
    choice = choose(FarFromZero(), digits, _recipe())
    assert choice.execution.precision == "float32"
    found = Race(FarFromZero(), _recipe(), digits, _minibatch(digits), 1.0)
    plain, other = found._step(PRECISE), found._step(Execution("bfloat16"))
    assert not agreement(plain, other, _minibatch(digits)).holds


@pytest.mark.usefixtures("long_run")
def test_a_gain_within_the_noise_is_no_gain(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(monkeypatch, {"float32": 1.0, "bfloat16": 0.98})
    assert choose(_network(), digits, _recipe()).execution == Execution()


def test_a_step_agrees_with_itself_and_not_with_another_network(digits: Dataset) -> None:
    minibatch = _minibatch(digits)
    race = Race(_network(), _recipe(), digits, minibatch, 1.0)
    itself = agreement(race._step(PRECISE), race._step(PRECISE), minibatch)
    assert (itself.loss_error, itself.gradient_error) == (0, 0)
    assert itself.noise > 0.1
    torch.manual_seed(1)
    other = Race(
        chainrule.network(NOTATION, input=(1, 8, 8), classes=10), _recipe(), digits, minibatch, 1.0
    )
    assert not agreement(race._step(PRECISE), other._step(PRECISE), minibatch).holds


def test_the_noise_is_that_of_the_gradient_over_minibatches(digits: Dataset) -> None:
    """Against its definition: the spread of the gradients of many minibatches of that size."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    size, dataset = 100, load_data("digits")
    recipe = _recipe()
    step = Race(module, recipe, dataset, _minibatch(dataset), 1.0)._step(PRECISE)
    rng, gradients, estimates = torch.Generator().manual_seed(0), [], []
    for _ in range(60):
        chosen = torch.randint(len(dataset.train), (size,), generator=rng)
        labels = dataset.train.targets[chosen]
        minibatch = Minibatch.whole(dataset.normalize(dataset.train.inputs[chosen]), labels, labels)
        step.gradients(minibatch)
        gradients.append(torch.cat([item.grad.flatten() for item in step.trainable]))
        found = agreement(step, step, minibatch)
        estimates.append(found.noise * float(gradients[-1].norm()))
    stacked = torch.stack(gradients).double()
    spread = float((stacked - stacked.mean(0)).square().sum(1).mean().sqrt())
    assert sum(estimates) / len(estimates) == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({"precise": True}, "given"),
        ({"precision": "float32", "memory_format": "channels-last", "threads": 1}, "given"),
        ({}, "short run"),
    ],
)
def test_nothing_is_measured_where_nothing_is_open_or_to_gain(
    digits: Dataset, settings: dict[str, object], how: str
) -> None:
    choice = choose(_network(), digits, _recipe(**settings), announce=pytest.fail)
    assert choice.how == how
    assert choice.trials == ()


def test_a_short_run_is_told_from_a_long_one_without_a_clock(digits: Dataset) -> None:
    lengths = {choosing.expected_seconds(_network(), digits, _recipe()) for _ in range(3)}
    assert len(lengths) == 1
    longer = choosing.expected_seconds(_network(), digits, _recipe(epochs=300))
    assert longer == pytest.approx(10 * lengths.pop())


@pytest.mark.usefixtures("long_run")
def test_a_run_keeps_and_shows_its_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _times(monkeypatch, {"float32": 1.0, "bfloat16": 0.5})
    result = chainrule.train(NOTATION, "digits", limit=100, epochs=1, runs=tmp_path / "runs")
    assert result.recipe["precision"] == "bfloat16"
    assert result.recipe["compiled"] is False
    event = RunStore(tmp_path / "runs").events(result.run)[0]
    assert event.kind == "execution"
    assert "2.00 x as fast as the plain step" in event.message
    kept = Choice.from_dict(event.details)
    assert kept.execution.precision == "bfloat16"
    assert kept.trials[0].seconds == 0.5


def _minibatch(dataset: Dataset) -> Minibatch:
    return next(Minibatches(dataset, _recipe()).epoch(0))


@pytest.mark.usefixtures("long_run")
@pytest.mark.parametrize(("gain", "compiled"), [(0.5, True), (0.99, False), (None, False)])
def test_compiling_is_tried_where_it_may_pay_and_kept_where_it_does(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch, gain: float | None, compiled: bool
) -> None:
    def time(self: Race, execution: Execution, _: float) -> float:
        if execution.compiled and gain is None:
            raise RuntimeError("no C++ compiler found")
        found = gain if execution.compiled and gain is not None else 1.0
        self.best[execution] = choosing.Trial(execution, found, 1)
        return found

    monkeypatch.setattr(Race, "_time", time)
    monkeypatch.setattr(choosing, "_may_compile", lambda *_: True)
    monkeypatch.setattr(torch, "compile", lambda module: module)
    found = choose(_network(), digits, _recipe(precision="float32"))
    assert found.execution.compiled is compiled
    assert any(trial.execution.compiled for trial in found.trials) is (gain is not None)
    monkeypatch.setattr(choosing, "_may_compile", lambda *_: False)
    shorter = choose(_network(), digits, _recipe(precision="float32"))
    assert shorter.how == "measured"  # not remembered from the run that could wait
    assert not shorter.execution.compiled


@pytest.mark.parametrize(
    ("device", "seconds", "given", "expected"),
    [
        ("cuda", 1e3, None, True),
        ("cpu", 1e3, None, False),
        ("cuda", 10.0, None, False),
        ("cuda", 1e3, False, False),
    ],
)
def test_compiling_is_for_long_runs_on_a_gpu(
    device: str, seconds: float, given: bool | None, expected: bool
) -> None:
    recipe = _recipe(compiled=given)
    assert choosing._may_compile(recipe, torch.device(device), seconds) is expected
