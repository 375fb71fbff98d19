"""What is streamed from the disk is what is in the file: each example once, mixed, memory flat."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule
from chainrule.errors import DataError
from chainrule.training.data import array_folder, load, streaming
from chainrule.training.data.ahead import ahead
from chainrule.training.data.dataset import Part
from chainrule.training.data.load import load_data
from chainrule.training.data.mapped import Mapped, available_memory
from chainrule.training.data.pack import pack
from chainrule.training.data.streaming import Blocks, stream
from chainrule.training.minibatches import Minibatches, minibatch_ends, steps_per_epoch
from chainrule.training.recipe import Recipe

IMAGES = np.random.default_rng(0).integers(0, 256, (500, 1, 8, 8), dtype=np.uint8)
LABELS = np.arange(500) * 4 // 500  # sorted by class, as files often are


def _folder(path: Path, **arrays: np.ndarray) -> Path:
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    test = {"x_test": IMAGES[:80], "y_test": LABELS[::5][:80]}
    return _folder(tmp_path / "set", x_train=IMAGES, y_train=LABELS, **test)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 8 images, buffers of 128 at least, so that a small set has many of them."""
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 8 * 64)
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 64 * 64)


def _numbered(path: Path, count: int) -> Part:
    """Example n holds the number n."""
    _folder(path, x=np.arange(count, dtype=np.float32)[:, None], y=np.arange(count))
    mapped = Mapped(path / "x.npy")
    return Part(torch.from_numpy(mapped.array), torch.arange(count), mapped=mapped)


@given(
    count=st.integers(2, 120),
    size=st.integers(1, 30),
    block=st.integers(1, 9),
    buffer=st.integers(1, 6),
    epoch=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_an_epoch_is_every_example_once_and_goes_on_anywhere(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    size: int,
    block: int,
    buffer: int,
    epoch: int,
) -> None:
    part = _numbered(tmp_path_factory.mktemp("numbers") / "set", count)
    blocks, ends = Blocks(count, block, buffer, seed=1), minibatch_ends(count, size)
    whole = list(stream(part, blocks, ends, epoch))
    assert [len(targets) for _, targets in whole] == list(np.diff([0, *ends]))
    assert sorted(torch.cat([targets for _, targets in whole]).tolist()) == list(range(count))
    for inputs, targets in whole:
        assert torch.equal(inputs[:, 0].long(), targets)
    for first in {0, len(ends) // 2, len(ends) - 1}:
        rest = list(stream(part, blocks, ends, epoch, first))
        assert len(rest) == len(whole) - first
        for one, other in zip(rest, whole[first:], strict=True):
            assert torch.equal(one[1], other[1])
            assert torch.equal(one[0], other[0])


def test_blocks_are_mixed_and_epochs_differ(tmp_path: Path) -> None:
    part = _numbered(tmp_path / "set", 1000)
    blocks, ends = Blocks(1000, 10, 30, seed=0), minibatch_ends(1000, 50)
    first, second = (
        [targets for _, targets in stream(part, blocks, ends, epoch)] for epoch in (0, 1)
    )
    assert not torch.equal(first[0], second[0])
    for targets in first:
        assert len({int(value) // 10 for value in targets}) > 15  # from many blocks
        assert int(targets.max()) - int(targets.min()) > 500


@pytest.mark.usefixtures("small_blocks")
def test_a_streamed_set_equals_the_same_in_memory(folder: Path) -> None:
    there, here = load_data(folder, stream=True), load_data(folder, stream=False)
    assert there.streamed
    assert not here.streamed
    torch.testing.assert_close(there.mean, here.mean)
    torch.testing.assert_close(there.std, here.std)
    assert torch.equal(there.validation.inputs, here.validation.inputs)
    assert torch.equal(there.train.targets, here.train.targets)
    assert torch.equal(there.test.targets, here.test.targets)
    assert torch.equal(torch.cat(list(there.train.chunks(7))), here.train.inputs)
    assert torch.equal(torch.cat(list(there.test.chunks(7))), here.test.inputs)
    chosen = torch.tensor([5, 0, 77])
    assert torch.equal(there.train.select(chosen).inputs, here.train.inputs[chosen])
    recipe = Recipe(batch_size=32, augment="crop=1", loss="softmax")
    seen = list(Minibatches(there, recipe).epoch(0))
    assert len(seen) == steps_per_epoch(len(here.train), 32)
    classes = torch.stack([batch.labels.bincount(minlength=4) for batch in seen])
    assert torch.equal(classes.sum(0), here.train.targets.bincount())
    assert (classes[:-1] > 0).all()  # sorted in the file, mixed in the minibatches


@pytest.mark.usefixtures("small_blocks")
def test_training_streamed_resumes_and_evaluates(folder: Path) -> None:
    result = chainrule.train(
        "CONV3-4, RELU, FC-4", folder, stream=True, epochs=2, runs=folder.parent / "runs"
    )
    assert result.ended == "finished"
    assert result.test_accuracy is not None
    names = [thread.name for thread in threading.enumerate()]
    assert "chainrule-ahead" not in names


def test_memory_stays_flat_however_long_the_file(tmp_path: Path) -> None:
    """Resident memory while streaming 200 MB stays below a fraction of it."""
    (tmp_path / "set").mkdir()
    count = 200_000
    images = np.lib.format.open_memmap(
        tmp_path / "set/x.npy", mode="w+", dtype=np.uint8, shape=(count, 1, 32, 32)
    )
    images.flush()
    del images
    mapped = Mapped(tmp_path / "set/x.npy")
    part = Part(torch.from_numpy(mapped.array), torch.zeros(count).long(), mapped=mapped)
    blocks = Blocks(count, 512, 16, seed=0)  # buffers of 8 MB
    gc.collect()
    before, most = _resident(), 0
    for inputs, _ in stream(part, blocks, minibatch_ends(count, 512), epoch=0):
        assert inputs.shape == (min(512, len(inputs)), 1, 32, 32)
        most = max(most, _resident() - before)
    assert most < 80e6


def _resident() -> int:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_is_larger_than_half_the_memory_is_streamed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not load_data(folder).streamed
    monkeypatch.setattr(array_folder, "available_memory", lambda: IMAGES.nbytes)
    assert load_data(folder).streamed
    assert not load_data(folder, stream=False).streamed


def test_what_cannot_be_streamed_and_does_not_fit_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(
        tmp_path / "set.npz", x=np.zeros((100, 1, 32, 32), np.uint8), y=LABELS[:100]
    )
    monkeypatch.setattr(load, "available_memory", lambda: 50_000)
    with pytest.raises(DataError, match=r"take 10\d,\d+ bytes in memory, of which 50,000 .* pack"):
        load_data(tmp_path / "set.npz")


def test_the_memory_at_hand_is_known_and_less_than_all() -> None:
    memory = available_memory()
    assert memory is not None
    assert 10**8 < memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("arrays", "fragment"),
    [
        ({"x": IMAGES}, r"has x\.npy, but no y\.npy"),
        ({"x": IMAGES, "y": LABELS[:-1]}, "500 inputs and 499 targets"),
        ({"x": IMAGES.astype(np.float64), "y": LABELS}, "float64, which cannot be streamed"),
        ({"x": np.full((500, 3), np.nan, np.float32), "y": LABELS}, "not finite, the first in"),
        ({"x": IMAGES, "y": LABELS - 1}, "hold -1"),
        ({"x": np.asfortranarray(IMAGES), "y": LABELS}, "Fortran order"),
        ({"x": np.array([[None]] * 500), "y": LABELS}, "Python objects"),
        ({"x": IMAGES.astype("S3"), "y": LABELS}, "wants numbers"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, arrays: dict[str, np.ndarray], fragment: str) -> None:
    with pytest.raises(DataError, match=fragment):
        load_data(_folder(tmp_path / "set", **arrays), stream=True)


def test_a_file_cut_short_is_named(folder: Path) -> None:
    file = folder / "x_train.npy"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="was cut short"):
        load_data(folder)
    file.write_bytes(b"not an array")
    with pytest.raises(DataError, match=r"cannot be read as \.npy"):
        load_data(folder)


def test_other_data_cannot_be_streamed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="stream got data 'digits'"):
        load_data("digits", stream=True)


@pytest.mark.parametrize("shape", [(60, 6, 7), (60, 6, 7, 3), (60, 3, 6, 7)])
def test_layouts_are_told_apart_as_in_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    folder = _folder(tmp_path / "set", x=images, y=np.arange(60) % 3)
    there, here = load_data(folder, stream=True), load_data(folder, stream=False)
    assert there.input_shape == here.input_shape
    assert torch.equal(torch.cat(list(there.train.chunks(9))), here.train.inputs)


def test_the_fingerprint_sees_another_file(folder: Path) -> None:
    first = load_data(folder, stream=True).fingerprint
    assert load_data(folder, stream=True).fingerprint == first
    changed = IMAGES.copy()
    changed[0, 0, 0, 0] ^= 1
    np.save(folder / "x_train.npy", changed)
    assert load_data(folder, stream=True).fingerprint != first


def test_what_goes_wrong_in_the_thread_is_raised_and_the_thread_ends() -> None:
    def broken() -> object:
        yield 1
        raise DataError("the disk is gone")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(DataError, match="the disk is gone"):
        next(items)
    endless = ahead(iter(int, 1))
    next(endless)
    endless.close()
    assert "chainrule-ahead" not in [thread.name for thread in threading.enumerate()]


def test_an_image_folder_packed_is_the_image_folder(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for name in ("cat", "dog"):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / part / name / f"{number}.png")
    packed = pack(tmp_path / "images", tmp_path / "packed", image_size=6)
    assert packed.classes == ("cat", "dog")
    assert packed.shape == (3, 6, 6)
    there = load_data(tmp_path / "packed", stream=True)
    here = load_data(tmp_path / "images", image_size=6)
    assert there.classes == here.classes
    assert torch.equal(there.train.targets, here.train.targets)
    assert torch.equal(torch.cat(list(there.train.chunks(5))), here.train.inputs)
    assert torch.equal(torch.cat(list(there.test.chunks(5))), here.test.inputs)
    with pytest.raises(DataError, match="is there already"):
        pack(tmp_path / "images", tmp_path / "packed")
    Image.new("RGB", (5, 9)).save(tmp_path / "images/train/dog/zz.png")
    with pytest.raises(DataError, match="the first one is"):
        pack(tmp_path / "images", tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "packed"]


def test_an_npz_file_is_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "set.npz", x=IMAGES, y=LABELS)
    packed = pack(tmp_path / "set.npz", tmp_path / "packed")
    assert set(packed.files) == {"x.npy", "y.npy"}
    assert len(load_data(tmp_path / "packed", stream=True).classes) == 4
    with pytest.raises(DataError, match="wants an image folder or an"):
        pack(tmp_path / "nothing", tmp_path / "other")
