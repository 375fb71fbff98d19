"""A step is the same whichever way it is computed: in parts, in other layouts and precisions."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from chainrule.training.execution import PRECISE, Execution, execution_of, threads
from chainrule.training.minibatches import Minibatch
from chainrule.training.recipe import make_recipe
from chainrule.training.step import Step


def _convnet() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(8, 6, 3, padding=1),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 16, 5),
    )


def _minibatch(count: int = 11, dtype: torch.dtype = torch.float32) -> Minibatch:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 5, (count,), generator=generator)
    images = torch.randn(count, 3, 8, 8, generator=generator, dtype=torch.float64)
    return Minibatch.whole(images.to(dtype), labels, labels)


def _step(module: nn.Module, execution: Execution = PRECISE, **values: object) -> Step:
    recipe = make_recipe({"loss": "softmax", "batch_size": 16} | values)
    return Step(execution.place(copy.deepcopy(module)).train(), recipe, "classification", execution)


def _ran(step: Step, minibatch: Minibatch, updates: int = 3) -> list[torch.Tensor]:
    for _ in range(updates):
        step.gradients(minibatch._replace(inputs=step.execution.lay_out(minibatch.inputs)))
        step.update(0.01)
    return list(step.module.parameters())


@pytest.mark.parametrize("extra", [{}, {"penalty": "l1", "weight_decay": 0.01}, {"clip_norm": 0.1}])
@pytest.mark.parametrize("size", [1, 3, 4, 10])
def test_a_minibatch_in_parts_is_the_whole_minibatch(size: int, extra: dict[str, object]) -> None:
    module, minibatch = _convnet().double(), _minibatch(dtype=torch.float64)
    whole = _step(module, **extra)
    parts = _step(module, micro_batch_size=size, **extra)
    one, other = whole.gradients(minibatch), parts.gradients(minibatch)
    torch.testing.assert_close(other.data_loss, one.data_loss, rtol=1e-12, atol=0)
    assert float(other.right) == float(one.right)
    torch.testing.assert_close(parts.update(0.1), whole.update(0.1), rtol=1e-10, atol=0)
    for mine, theirs in zip(parts.module.parameters(), whole.module.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def test_no_part_is_larger_than_asked_for_and_none_much_smaller() -> None:
    sizes = [len(part.labels) for part in _minibatch(9).parts(4)]
    assert sizes == [3, 3, 3]
    shares = [part.share for part in _minibatch(10).parts(4)]
    assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize(
    "rule", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
)
@pytest.mark.parametrize("kernel", ["fused", "foreach"])
def test_filters_in_another_order_get_the_same_updates(rule: str, kernel: str) -> None:
    """A fused kernel that walked weights and gradients in different orders would mix them up."""
    plain = _step(_convnet(), update_rule=rule)
    execution = Execution(memory_format="channels-last", update_kernel=kernel)
    other = _step(_convnet(), execution, update_rule=rule)
    assert other.module[2].weight.is_contiguous(memory_format=torch.channels_last)
    for one, another in zip(_ran(plain, _minibatch()), _ran(other, _minibatch()), strict=True):
        torch.testing.assert_close(another, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_weights_gradients_and_loss_stay_float32(precision: str) -> None:
    step = _step(_convnet(), replace(PRECISE, precision=precision))
    exact = _step(_convnet())
    near, done = step.gradients(_minibatch()), exact.gradients(_minibatch())
    assert near.data_loss.dtype == torch.float32
    assert float(near.data_loss) != float(done.data_loss)  # it did compute in fewer bits
    torch.testing.assert_close(near.data_loss, done.data_loss, rtol=0.01, atol=0)
    for parameter in step.module.parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32


def test_float16_gradients_are_scaled_up_in_backward_and_down_again() -> None:
    """Gradients of 1e-8 are nothing in float16; scaled by 65536 they are there."""
    layer = nn.Linear(1, 2, bias=False)
    module = nn.Sequential(layer)
    nn.init.zeros_(layer.weight)
    inputs = torch.full((1, 1), 2e-8)
    minibatch = Minibatch.whole(inputs, torch.tensor([0]), torch.tensor([0]))
    step = _step(module, replace(PRECISE, precision="float16"), update_rule="sgd")
    step.gradients(minibatch)
    scaled = step.trainable[0].grad.clone()
    assert step.scaler.get_scale() == 65536
    step.update(1.0)
    unscaled = -step.trainable[0].detach()
    torch.testing.assert_close(unscaled * 65536, scaled, rtol=1e-3, atol=0)


def test_a_loss_that_is_not_finite_goes_no_further_on_the_cpu() -> None:
    step = _step(_convnet())
    minibatch = _minibatch()
    done = step.gradients(minibatch._replace(inputs=minibatch.inputs * float("nan")))
    assert not torch.isfinite(done.data_loss)
    assert all(parameter.grad is None for parameter in step.trainable)


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), threads(before + 1):
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == before


def test_what_a_recipe_says_is_what_is_done() -> None:
    recipe = make_recipe({"precision": "bfloat16", "threads": 3, "memory_format": "channels-last"})
    assert execution_of(recipe) == Execution("bfloat16", "channels-last", "fused", 3)
    assert execution_of(make_recipe({"precise": True})) == PRECISE
    again = make_recipe(recipe.plain() | execution_of(recipe).settings())
    assert execution_of(again) == execution_of(recipe)


@pytest.mark.parametrize("rule", ["sgd", "nesterov", "adagrad", "adam"])
def test_sharded_updates_are_not_fused(rule: str) -> None:
    """PyTorch's fused kernels of SGD and AdaGrad do not take sharded tensors."""
    recipe = make_recipe({"update_rule": rule, "sharded": True})
    assert execution_of(recipe).update_kernel == "foreach"
    assert execution_of(make_recipe({"update_rule": rule})).update_kernel == "fused"
