"""Memory: by hand, by a walk moment by moment, by real tensors, by real optimizers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.costs import peak
from torch import nn

from chainrule.analysis.batches import parse_bytes
from chainrule.analysis.describe import describe
from chainrule.analysis.memory import STATE, _peak
from chainrule.errors import ShapeError
from chainrule.network.source import network
from chainrule.training.recipe import Recipe
from chainrule.training.update_rules import build_optimizer

SPANS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 100)).map(
        lambda span: (min(span[:2]), max(span[:2]), span[2])
    ),
    min_size=1,
    max_size=12,
)


@given(spans=SPANS)
def test_the_peak_is_that_of_a_walk_moment_by_moment(spans: list[tuple[int, int, int]]) -> None:
    assert _peak(spans) == peak(spans)


def test_a_chain_by_hand() -> None:
    """Linear 4-8, ReLU, Linear 8-2 in float32: input 16, 32, 32 and 8 bytes."""
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    answer = describe(module, (4,))
    assert answer.totals.inference_bytes == 16 + 32 + 32
    assert answer.totals.training_bytes == 16 + 32  # the input, and what ReLU gave
    assert [layer.saved_bytes for layer in answer.layers] == [0, 32, 0]
    assert [layer.activation_bytes for layer in answer.layers] == [32, 32, 8]
    inplace = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 2))
    assert describe(inplace, (4,)).totals.inference_bytes == 16 + 32 + 8


def test_frozen_layers_keep_nothing_for_backward() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    for parameter in module[0].parameters():
        parameter.requires_grad_(False)
    answer = describe(module, (4,))
    assert answer.totals.training_bytes == 32  # ReLU's output, for the gradient of the last layer
    assert (answer.layers[0].trainable, answer.layers[0].note) == (0, "frozen")
    assert answer.memory.gradients == 4 * (8 * 2 + 2)


def test_half_precision_halves_and_a_batch_multiplies() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    single = describe(module, (3, 8, 8)).totals
    assert describe(module, (3, 8, 8), batch=5).totals.training_bytes == 5 * single.training_bytes
    halved = describe(module.half(), (3, 8, 8)).totals
    assert halved.training_bytes * 2 == single.training_bytes
    assert halved.parameter_bytes * 2 == single.parameter_bytes


@pytest.mark.parametrize("rule", list(STATE))
def test_optimizer_state_is_that_of_the_real_optimizer(rule: str) -> None:
    module = nn.Linear(50, 40)
    optimizer = build_optimizer(Recipe(update_rule=rule), module.parameters(), [])
    module(torch.ones(1, 50)).sum().backward()
    optimizer.step()
    real = sum(
        value.nbytes
        for state in optimizer.state.values()
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and name != "step"
    )
    assert describe(module, (50,)).memory.optimizer[rule] == real


@pytest.mark.parametrize("name", ["lenet5", "digits", "INPUT 16x16x3, RES[CONV3-8, BN, RELU], GAP"])
def test_a_training_step_holds_at_least_what_is_said(name: str) -> None:
    """The peak of a real step, storages watched as they come and go."""
    from chainrule.analysis.proof import _Storages

    module = network(name)
    answer = describe(module, batch=4)
    x = torch.rand(4, *answer.inputs[0])
    storages = _Storages([x, *module.parameters(), *module.buffers()])
    with storages:
        module(x).sum().backward()
    memory = answer.memory
    said = memory.training["sgd"] - memory.parameters - memory.buffers
    held = storages.most + x.nbytes
    assert said * 0.75 <= held <= said * 1.25


def test_the_peak_of_a_step_by_hand() -> None:
    """Linear 1000-1000, ReLU, Linear 1000-1 in float32, 4000 bytes each volume.

    The most is held at the backward of ReLU: the input and ReLU's output (both kept), and the
    gradients of ReLU's output and of its input. The input of the network needs no gradient.
    """
    module = nn.Sequential(nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 1))
    memory = describe(module, (1000,)).memory
    assert memory.training["sgd"] - memory.parameters - memory.gradients == 4 * 4000


def test_the_largest_batch_fits_and_one_more_does_not() -> None:
    budget = 10_000_000
    answer = describe("lenet5", memory=budget)
    for what, batch in answer.largest_batch.items():
        for size, fits in ((batch, True), (batch + 1, False)):
            use = describe("lenet5", batch=size).memory
            needs = use.training.get(what, use.parameters + use.buffers + use.inference)
            assert (needs <= budget) is fits, (what, size)


def test_too_little_memory_for_a_single_example() -> None:
    assert describe("lenet5", memory="100KB").largest_batch["adam"] == 0


def test_the_course_volumes_of_vgg16_add_up_to_15_million_numbers() -> None:
    """CS231n lists conv, pool and FC volumes; its rows sum to 15.2M, not to the 24M it prints."""
    rows = describe("vgg16").layers
    listed = [row for row in rows if row.operation.split()[0] in ("Conv2d", "MaxPool2d", "Linear")]
    volumes = 3 * 224 * 224
    for row in listed:
        assert row.output is not None
        count = 1
        for size in row.output:
            count *= size
        volumes += count
    assert round(volumes / 1e6, 1) == 15.2


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GB", 24 * 10**9),
        ("24 GiB", 24 * 2**30),
        ("500mb", 5 * 10**8),
        (1024, 1024),
        ("2k", 2000),
    ],
)
def test_sizes_of_memory(text: str | int, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["lots", "", "-3GB", "0", "3 XB", "1.2.3GB"])
def test_a_memory_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ShapeError, match="wants bytes such as 24GB"):
        parse_bytes(text)
