"""Data at the edges: what used to crash, fill the memory or be read quietly wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chainrule.errors import DataError
from chainrule.training.data.load import load_data


def npz(path: Path, **arrays: Any) -> Path:
    file = path / "data.npz"
    np.savez(file, **arrays)
    return file


X, Y = np.arange(40, dtype=np.float64).reshape(20, 2), np.arange(20) % 2


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X, "y": np.full(20, 10**12)}, "labels of .* go up to 1,000,000,000,000"),
        ({"x": X, "y": np.array(3)}, "array y of .* is a single number"),
        ({"x": np.array(1.0), "y": Y}, "array x of .* is a single number"),
        ({"x": X * 1e39, "y": Y}, "too large for single precision"),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:, :1], "y_test": Y},
            r"test examples of .* have shape \(1,\), those to train on \(2,\)",
        ),
    ],
)
def test_arrays_that_cannot_be_meant(tmp_path: Path, arrays: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_data(npz(tmp_path, **arrays))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"target": 3}, "target got 3, wants a list of columns"),
        ({"target": "price"}, "target got 'price', wants a list of columns"),
        ({"target": [3]}, r"target got \[3\], wants names or numbers as text"),
        ({"limit": 0}, "limit got 0, wants a whole number from 1"),
        ({"limit": -1}, "limit got -1, wants a whole number from 1"),
        ({"image_size": (8, 8)}, r"image_size got \(8, 8\), wants a whole number from 1"),
        ({"task": "regresion"}, "task got 'regresion'; did you mean 'regression'"),
    ],
)
def test_arguments_that_cannot_be_meant(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_data("digits", **arguments)


def test_a_table_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a,b\n" + "1," + "2" * 200_000 + "\n")
    with pytest.raises(DataError, match="cannot be read: field larger than field limit"):
        load_data(file)
    file.write_text("a,b\n" + "1e39,0\n1,1\n" * 20)
    with pytest.raises(DataError, match="holds 1e\\+39, too large for single precision"):
        load_data(file)


def test_one_and_one_point_zero_are_one_class(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a,b\n" + "0.5,1\n0.7,1.0\n0.2,2\n0.1,2.00\n" * 10)
    assert load_data(file).classes == ("1", "2")


def test_the_task_is_honoured_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a,b\n" + "".join(f"{n}.5,{n % 30}\n" for n in range(300)))
    assert load_data(file).task == "regression"
    assert load_data(file, task="classification").task == "classification"
    arrays = npz(tmp_path, x=X, y=Y.astype(np.float64))
    assert load_data(arrays).task == "regression"
    assert load_data(arrays, task="classification").classes == ("0", "1")
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "images" / name / "1.png")
    with pytest.raises(DataError, match=r"task got 'regression', but data .* are classified"):
        load_data(tmp_path / "images", task="regression")


def pictures(folder: Path, images: dict[str, list[Image.Image]]) -> Path:
    for name, several in images.items():
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(several):
            image.save(folder / name / f"{number:02}.png")
    return folder


def test_one_grey_image_does_not_turn_the_folder_grey(tmp_path: Path) -> None:
    grey, red = Image.new("L", (4, 4), 90), Image.new("RGB", (4, 4), (255, 0, 0))
    folder = pictures(tmp_path, {"a": [grey, *[red] * 9], "b": [red] * 10})
    dataset = load_data(folder)
    assert dataset.input_shape == (3, 4, 4)
    grey_folder = pictures(tmp_path / "grey", {"a": [grey] * 10, "b": [grey] * 10})
    assert load_data(grey_folder).input_shape == (1, 4, 4)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = (np.arange(16, dtype=np.uint16) * 4096).reshape(4, 4)
    images = [Image.fromarray(ramp)] * 10
    dataset = load_data(pictures(tmp_path, {"a": images, "b": images}))
    pixels = dataset.train.inputs[0, 0].numpy().ravel()
    np.testing.assert_allclose(pixels, ramp.ravel() * (255 / 65535), atol=0.51)
