"""Minibatches: every example once per epoch, and the same ones again after a resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.training.data.load import load_data
from chainrule.training.minibatches import Minibatches, minibatch_indices, steps_per_epoch
from chainrule.training.recipe import Recipe


@given(examples=st.integers(1, 200), batch_size=st.integers(1, 60), seed=st.integers(0, 5))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_an_epoch_is_a_permutation(examples: int, batch_size: int, seed: int) -> None:
    batches = minibatch_indices(examples, batch_size, seed, epoch=3)
    assert sorted(torch.cat(batches).tolist()) == list(range(examples))
    assert len(batches) == steps_per_epoch(examples, batch_size)
    if batch_size > 1 and examples > 1:
        assert min(len(batch) for batch in batches) > 1


def test_epochs_and_seeds_differ() -> None:
    orders = {
        tuple(torch.cat(minibatch_indices(50, 10, seed, epoch)).tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


@pytest.mark.parametrize("augment", ["", "crop,rotate,cutout,mixup"])
def test_going_on_in_the_middle_gives_the_same_minibatches(augment: str) -> None:
    dataset = load_data("digits", limit=60)
    minibatches = Minibatches(dataset, Recipe(augment=augment, batch_size=16))

    def look(first: int) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        # torch.rand stands for the dropout that a network would draw
        return [
            (batch.inputs, batch.targets, torch.rand(3)) for batch in minibatches.epoch(2, first)
        ]

    whole, rest = look(0), look(2)
    assert len(rest) == len(whole) - 2 > 0
    for one, other in zip(whole[2:], rest, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_each_step_draws_anew() -> None:
    """The same image again and again, so that only the draws can differ."""
    dataset = load_data("digits", limit=60)
    same = type(dataset.train)(dataset.train.inputs[:1].repeat(60, 1, 1, 1), dataset.train.targets)
    dataset = type(dataset)(**{**vars(dataset), "train": same})
    minibatches = Minibatches(dataset, Recipe(augment="rotate", batch_size=20))
    batches = [batch.inputs for epoch in range(2) for batch in minibatches.epoch(epoch)]
    for number, one in enumerate(batches):
        for other in batches[number + 1 :]:
            assert not torch.equal(one, other)


def test_without_augmentation_the_inputs_are_the_normalized_examples() -> None:
    dataset = load_data("digits", limit=60)
    recipe = Recipe(batch_size=16)
    first = next(Minibatches(dataset, recipe).epoch(0))
    chosen = minibatch_indices(len(dataset.train), 16, recipe.seed, 0)[0]
    raw = dataset.train.inputs[chosen].double().numpy()
    mean, std = dataset.mean.double().numpy(), dataset.std.double().numpy()
    np.testing.assert_allclose(first.inputs, (raw - mean) / std, rtol=1e-5, atol=1e-6)
    assert torch.equal(first.targets, dataset.train.targets[chosen])


def test_mixup_keeps_labels_for_the_accuracy() -> None:
    dataset = load_data("digits", limit=60)
    batch = next(Minibatches(dataset, Recipe(augment="mixup", batch_size=16)).epoch(0))
    assert batch.targets.shape == (16, 10)
    assert batch.labels.shape == (16,)
