"""Augmentations on whole minibatches equal slow twins that go image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import augmentation as twins

from chainrule.errors import RecipeError
from chainrule.training import augmentation
from chainrule.training.augmentation import Augmentation, augment_images, parse_augmentations


def _images(count: int = 5, channels: int = 2, height: int = 6, width: int = 9) -> torch.Tensor:
    values = np.random.default_rng(7).random((count, channels, height, width))
    return torch.from_numpy(values)


@pytest.mark.parametrize("padding", [1, 3])
def test_crop_equals_its_twin(padding: int) -> None:
    images = _images()
    offsets = np.random.default_rng(3).integers(0, 2 * padding + 1, (2, len(images)))
    expected = twins.crop(images.numpy(), list(offsets[0]), list(offsets[1]), padding)
    got = augmentation.crop(images, np.random.default_rng(3), padding)
    np.testing.assert_array_equal(got.numpy(), expected)


def test_crop_reaches_every_offset() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1
    images = image.expand(400, 1, 5, 5)
    got = augmentation.crop(images, np.random.default_rng(0), 1)
    places = {tuple(np.argwhere(one[0])[0]) for one in got.numpy()}
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}


def test_flip_mirrors_the_drawn_ones_and_only_those() -> None:
    images = _images(40)
    mirrored = np.random.default_rng(5).random(40) < 0.5
    got = augmentation.flip(images, np.random.default_rng(5), 0.5).numpy()
    for n, image in enumerate(images.numpy()):
        np.testing.assert_array_equal(got[n], image[:, :, ::-1] if mirrored[n] else image)
    assert 8 < mirrored.sum() < 32


@pytest.mark.parametrize("shape", [(7, 7), (6, 9), (8, 5)])
def test_rotate_equals_its_twin(shape: tuple[int, int]) -> None:
    images = _images(4, 1, *shape)
    angles = np.deg2rad(np.random.default_rng(11).uniform(-30, 30, 4))
    got = augmentation.rotate(images, np.random.default_rng(11), 30)
    for n in range(4):
        expected = twins.rotate(images[n, 0].numpy(), angles[n])
        np.testing.assert_allclose(got[n, 0].numpy(), expected, atol=1e-12)


def test_cutout_equals_its_twin() -> None:
    images = _images(30) + 1  # no zero of their own
    rng = np.random.default_rng(2)
    top, left = rng.integers(0, 6, 30) - 1, rng.integers(0, 9, 30) - 1
    expected = images.numpy().copy()
    for n in range(30):
        expected[n, :, max(top[n], 0) : top[n] + 3, max(left[n], 0) : left[n] + 3] = 0
    got = augmentation.cutout(images, np.random.default_rng(2), 3)
    np.testing.assert_array_equal(got.numpy(), expected)


@given(alpha=st.floats(0.05, 5.0), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_mixup_mixes_inputs_and_targets_alike(alpha: float, seed: int) -> None:
    inputs, targets = _images(6), torch.eye(6, dtype=torch.float64)
    rng = np.random.default_rng(seed)
    weight, pairs = rng.beta(alpha, alpha), rng.permutation(6)
    x, t = augmentation.mixup(inputs, targets, np.random.default_rng(seed), alpha)
    for n in range(6):
        expected = weight * inputs[n] + (1 - weight) * inputs[pairs[n]]
        np.testing.assert_allclose(x[n], expected, atol=1e-12)
        expected = weight * targets[n] + (1 - weight) * targets[pairs[n]]
        np.testing.assert_allclose(t[n], expected, atol=1e-12)


@pytest.mark.parametrize("name", sorted(augmentation.KINDS))
@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_family_keeps_shape_dtype_and_input(name: str, count: int) -> None:
    images = torch.rand(count, 3, 8, 8)
    before = images.clone()
    kind = augmentation.KINDS[name]
    got = kind.apply(images, np.random.default_rng(0), kind.usual(8))
    assert got.shape == images.shape
    assert got.dtype == images.dtype
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", sorted(augmentation.KINDS))
def test_the_family_repeats_for_the_same_generator(name: str) -> None:
    images = torch.rand(4, 1, 8, 8)
    words = parse_augmentations([name])
    normalized = augmentation.KINDS[name].normalized
    first, second = (
        augment_images(images, words, np.random.default_rng(9), normalized=normalized)
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, images)


def test_words_are_read_with_their_strengths() -> None:
    assert parse_augmentations(["Crop=2", "mixup"]) == (
        Augmentation("crop", 2.0),
        Augmentation("mixup", None),
    )


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["crp"], ["'crp'", "crop, flip", "did you mean 'crop'"]),
        (["crop=half"], ["crop", "'half'", "padding in whole pixels"]),
        (["crop=1.5"], ["'1.5'", "whole pixels"]),
        (["flip=2"], ["flip", "'2'", "probability"]),
        (["mixup=0"], ["mixup", "alpha above 0"]),
        (["flip", "flip"], ["'flip' twice"]),
    ],
)
def test_bad_words(words: list[str], fragments: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_augmentations(words)
    for fragment in fragments:
        assert fragment in str(caught.value)
