"""Data: what is read is what was written, and damage is told in one line."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chainrule.errors import DataError
from chainrule.training.data.dataset import Dataset
from chainrule.training.data.load import dataset_names, load_data

SHARED = Path(__file__).parents[4] / "shared" / "data"
RNG = np.random.default_rng(0)


def shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the original files of {name} are not here")
    return folder


def all_targets(dataset: Dataset) -> np.ndarray:
    parts = (dataset.train, dataset.validation, dataset.test)
    return np.concatenate([part.targets.numpy() for part in parts])


# --- the embedded digits -------------------------------------------------------------------


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    dataset = load_data("digits")
    assert sorted(all_targets(dataset)) == sorted(digits.target)
    total = sum(
        float(p.inputs.double().sum()) for p in (dataset.train, dataset.validation, dataset.test)
    )
    assert total == pytest.approx(digits.images.sum() / 16)


def test_parts_are_stratified_disjoint_and_fixed_by_the_seed() -> None:
    dataset, same, other = (load_data("digits", seed=seed) for seed in (1, 1, 2))
    assert [len(p) for p in (dataset.train, dataset.validation, dataset.test)] == [1257, 180, 360]
    whole = np.bincount(all_targets(dataset)) / 1797
    for part in (dataset.train, dataset.validation, dataset.test):
        shares = np.bincount(part.targets.numpy(), minlength=10) / len(part)
        assert np.abs(shares - whole).max() < 1.5 / len(part) + 0.005
    assert dataset.fingerprint == same.fingerprint
    assert dataset.fingerprint != other.fingerprint
    assert torch.equal(dataset.train.inputs, same.train.inputs)


def test_statistics_come_from_the_training_part_alone() -> None:
    dataset = load_data("digits")
    train = dataset.train.inputs.numpy().astype(np.float64)
    assert float(dataset.mean) == pytest.approx(train.mean(), rel=1e-6)
    assert float(dataset.std) == pytest.approx(train.std(), rel=1e-6)
    normalized = dataset.normalize(dataset.train.inputs).double()
    assert float(normalized.mean()) == pytest.approx(0, abs=1e-5)
    assert float(normalized.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_no_validation_part() -> None:
    assert len(load_data("digits", validation_share=0).validation) == 0


def test_limit_keeps_so_many() -> None:
    dataset = load_data("digits", limit=50)
    assert [len(p) for p in (dataset.train, dataset.validation, dataset.test)] == [50, 50, 50]


# --- IDX -------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx_set(folder: Path, packed: bool) -> tuple[np.ndarray, np.ndarray]:
    images = RNG.integers(0, 256, (60, 4, 5), dtype=np.uint8)
    labels = np.arange(60, dtype=np.uint8) % 10
    for name, part in (("train", slice(None)), ("t10k", slice(0, 20))):
        for kind, array in (("images-idx3", images[part]), ("labels-idx1", labels[part])):
            path = folder / f"{name}-{kind}-ubyte"
            if packed:
                with gzip.open(f"{path}.gz", "wb") as stream:
                    stream.write(idx(array))
            else:
                path.write_bytes(idx(array))
    return images, labels


@pytest.mark.parametrize("packed", [True, False])
def test_idx(tmp_path: Path, packed: bool) -> None:
    images, labels = write_idx_set(tmp_path, packed)
    dataset = load_data("mnist", directory=tmp_path, validation_share=0.5)
    assert dataset.input_shape == (1, 4, 5)
    assert torch.equal(dataset.test.inputs[:, 0], torch.from_numpy(images[:20]))
    assert dataset.test.targets.tolist() == labels[:20].tolist()
    assert dataset.train.inputs.dtype == torch.uint8


def test_the_environment_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fashion-mnist").mkdir()
    write_idx_set(tmp_path / "fashion-mnist", packed=True)
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    assert load_data("fashion_mnist", validation_share=0.5).classes[9] == "Ankle boot"


@pytest.mark.parametrize(
    ("name", "mean", "std"), [("mnist", 0.130660, 0.308108), ("fashion-mnist", 0.286041, 0.353024)]
)
def test_the_real_sets(name: str, mean: float, std: float) -> None:
    dataset = load_data(name, directory=shared(name), validation_share=0.1)
    parts = (dataset.train, dataset.validation, dataset.test)
    assert [len(part) for part in parts] == [54_000, 6_000, 10_000]
    pixels = torch.cat([dataset.train.inputs, dataset.validation.inputs]).numpy() / 255
    assert pixels.mean() == pytest.approx(mean, abs=1e-6)
    assert pixels.std() == pytest.approx(std, abs=1e-6)
    counts = np.bincount(np.concatenate([p.targets.numpy() for p in parts[:2]]))
    expected = (
        [6000] * 10
        if name == "fashion-mnist"
        else [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    )
    assert counts.tolist() == expected


@pytest.mark.parametrize(
    ("damage", "fragment"),
    [
        (lambda data: data[: len(data) // 2], "cannot be read"),
        (lambda data: b"not gzip at all", "cannot be read"),
        (lambda data: b"", "is empty"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-7]), "bytes after its header"),
        (
            lambda data: gzip.compress(b"\x01\x02" + gzip.decompress(data)[2:]),
            "wants an IDX header",
        ),
    ],
)
def test_damaged_idx(tmp_path: Path, damage, fragment: str) -> None:
    write_idx_set(tmp_path, packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz") as caught:
        load_data("mnist", directory=tmp_path)
    assert fragment in str(caught.value)
    assert "fetch it again" in str(caught.value)


def test_labels_out_of_range(tmp_path: Path) -> None:
    write_idx_set(tmp_path, packed=False)
    labels = np.arange(60, dtype=np.uint8) % 10
    labels[7] = 12
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(DataError, match=r"hold 12 \(example 7\), want 0 to 9"):
        load_data("mnist", directory=tmp_path)


# --- CIFAR -----------------------------------------------------------------------------------


def _cifar_arrays(count: int, classes: int) -> tuple[np.ndarray, list[int]]:
    return (
        RNG.integers(0, 256, (count, 3072), dtype=np.uint8),
        [number % classes for number in range(count)],
    )


def test_cifar10_binary(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        pixels, labels = _cifar_arrays(20, 10)
        rows = np.concatenate([np.array(labels, np.uint8)[:, None], pixels], axis=1)
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
    dataset = load_data("cifar10", directory=tmp_path)
    assert (len(dataset.train) + len(dataset.validation), len(dataset.test)) == (100, 20)
    assert torch.equal(dataset.test.inputs.reshape(20, 3072), torch.from_numpy(pixels))
    assert dataset.test.targets.tolist() == labels
    assert dataset.classes[3] == "cat"


@pytest.mark.parametrize("protocol", [2, 4])
def test_cifar100_python(tmp_path: Path, protocol: int) -> None:
    for name, count in (("train", 300), ("test", 100)):
        pixels, labels = _cifar_arrays(count, 100)
        batch = {b"data": pixels, b"fine_labels": labels, b"filenames": [b"x.png"]}
        (tmp_path / name).write_bytes(pickle.dumps(batch, protocol=protocol))
    dataset = load_data("cifar100", directory=tmp_path, validation_share=0.34)
    assert torch.equal(dataset.test.inputs.reshape(100, 3072), torch.from_numpy(pixels))
    assert dataset.test.targets.tolist() == labels


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_a_batch_that_would_execute_is_refused(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    for name in ("train", "test"):
        (tmp_path / name).write_bytes(pickle.dumps({b"data": _Evil(touched)}))
    with pytest.raises(DataError, match=r"asks for \w+\.system, which loading would execute"):
        load_data("cifar100", directory=tmp_path)
    assert not touched.exists()
    pickle.loads((tmp_path / "train").read_bytes())  # the file was dangerous indeed
    assert touched.exists()


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps([1, 2]), pickle.dumps({})])
def test_damaged_batches(tmp_path: Path, content: bytes) -> None:
    for name in ("train", "test"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="is no CIFAR batch"):
        load_data("cifar100", directory=tmp_path)


def test_a_binary_batch_cut_short(tmp_path: Path) -> None:
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(b"\0" * 4000)
    with pytest.raises(DataError, match="4000 bytes, wants a multiple of 3074"):
        load_data("cifar100", directory=tmp_path)


# --- image folders ---------------------------------------------------------------------------


def write_images(folder: Path, mode: str = "RGB", size: tuple[int, int] = (6, 5)) -> None:
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
            pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_image_folder(tmp_path: Path, mode: str, channels: int) -> None:
    write_images(tmp_path / "pets", mode)
    dataset = load_data(tmp_path / "pets")
    assert dataset.classes == ("cat", "dog")
    assert dataset.input_shape == (channels, 5, 6)
    written = np.asarray(Image.open(tmp_path / "pets" / "cat" / "00.png")).reshape(5, 6, channels)
    everything = torch.cat([p.inputs for p in (dataset.train, dataset.validation, dataset.test)])
    matches = (everything == torch.from_numpy(written.copy()).permute(2, 0, 1)).flatten(1).all(1)
    assert int(matches.sum()) == 1


def test_image_folder_with_parts(tmp_path: Path) -> None:
    for part in ("train", "test", "val"):
        write_images(tmp_path / part)
    dataset = load_data(tmp_path)
    assert [len(p) for p in (dataset.train, dataset.validation, dataset.test)] == [24, 24, 24]


def test_images_are_resized_on_request(tmp_path: Path) -> None:
    write_images(tmp_path / "a")
    Image.new("RGB", (9, 9)).save(tmp_path / "a" / "cat" / "odd.png")
    assert load_data(tmp_path / "a", image_size=4).input_shape == (3, 4, 4)
    with pytest.raises(
        DataError, match=r"odd\.png' is 9x9, the first one is 5x6: give --image-size"
    ):
        load_data(tmp_path / "a")


def test_folder_with_one_class(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "only" / "a.png")
    with pytest.raises(DataError, match=r"one class \('only'\), wants two or more"):
        load_data(tmp_path)


def test_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no subfolder with images"):
        load_data(tmp_path)


def test_an_image_that_is_none(tmp_path: Path) -> None:
    write_images(tmp_path / "a")
    (tmp_path / "a" / "dog" / "00.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"00\.png' cannot be read"):
        load_data(tmp_path / "a")


# --- tables ----------------------------------------------------------------------------------


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


ROWS = "\n".join(f"{number},{number % 7},{'ab'[number % 2]}" for number in range(40))


def test_csv_with_text_labels(tmp_path: Path) -> None:
    dataset = load_data(write(tmp_path / "t.csv", ROWS))
    assert (dataset.task, dataset.classes, dataset.input_shape) == (
        "classification",
        ("a", "b"),
        (2,),
    )
    assert float(dataset.train.inputs[:, 0].max()) <= 39


def test_csv_with_a_header_and_named_target(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "n;rest;kind\n" + ROWS.replace(",", ";"))
    assert load_data(path, target=["kind"]).classes == ("a", "b")
    assert load_data(path, target=["3"]).classes == ("a", "b")


def test_csv_regression_and_labels(tmp_path: Path) -> None:
    lines = [f"{n},{n / 8},{n % 2},{(n // 2) % 2}" for n in range(40)]
    path = write(tmp_path / "t.csv", "\r\n".join(["x,y,p,q", *lines]))
    dataset = load_data(path, target=["y"])
    assert (dataset.task, dataset.classes, dataset.outputs) == ("regression", ("y",), 1)
    labels = load_data(path, target=["p", "q"])
    assert (labels.task, labels.classes) == ("multilabel", ("p", "q"))
    assert labels.train.targets.dtype == torch.float32


TABLES = {
    "pima-indians-diabetes": (768, 8, {"0": 500, "1": 268}),
    "sonar": (208, 60, {"M": 111, "R": 97}),
    "ionosphere": (351, 34, {"b": 126, "g": 225}),
    "banknote_authentication": (1372, 4, {"0": 762, "1": 610}),
    "wheat-seeds": (210, 7, {"1": 70, "2": 70, "3": 70}),
}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_real_tables(name: str) -> None:
    rows, features, classes = TABLES[name]
    dataset = load_data(shared("tabular-small") / f"{name}.csv")
    counts = np.bincount(all_targets(dataset))
    assert dataset.input_shape == (features,)
    assert dict(zip(dataset.classes, counts.tolist(), strict=True)) == classes
    assert counts.sum() == rows
    assert float(dataset.std.min()) > 0


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("1,2\n3\n", ["row 2 has 1 cells", "first row has 2"]),
        ("1,2,a\n3,,b\n", ["row 2 column 2 is empty"]),
        ("x,y,z\n1,2,a\n3,oops,b\n", ["'oops'", "row 2", "column 'y'", "wants numbers"]),
        ("\n\n", ["no rows"]),
        ("1,nan,a\n" * 9 + "1,2,b\n" * 9, ["9 values that are not finite"]),
        ("1,2,a\n" * 9, ["1 class ('a')", "two or more"]),
        ("1\n2\n", ["no column left"]),
        ("1,2,a\n1,2,b\n", ["test_share", "leaves no part with every class"]),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, fragments: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        load_data(write(tmp_path / "t.csv", text))
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_target(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "height,width,kind\n" + ROWS)
    with pytest.raises(DataError, match=r"target got 'hight'.*did you mean 'height'"):
        load_data(path, target=["hight"])


# --- arrays ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((40, 6), (6,)),
        ((40, 5, 6), (1, 5, 6)),
        ((40, 3, 5, 6), (3, 5, 6)),
        ((40, 5, 6, 3), (3, 5, 6)),
    ],
)
def test_npz(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    x = RNG.random(shape)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(40) % 4)
    dataset = load_data(tmp_path / "a.npz")
    assert (dataset.input_shape, dataset.classes) == (expected, ("0", "1", "2", "3"))
    total = sum(
        float(p.inputs.double().sum()) for p in (dataset.train, dataset.validation, dataset.test)
    )
    assert total == pytest.approx(x.sum(), rel=1e-6)


def test_npz_with_a_test_part(tmp_path: Path) -> None:
    x, y = RNG.random((40, 6)), np.arange(40) % 4
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    assert len(load_data(tmp_path / "a.npz").test) == 8


def test_npz_tasks(tmp_path: Path) -> None:
    x = RNG.random((40, 6))
    np.savez(tmp_path / "r.npz", x=x, y=RNG.random(40))
    np.savez(tmp_path / "m.npz", x=x, y=RNG.integers(0, 2, (40, 3)))
    assert load_data(tmp_path / "r.npz").task == "regression"
    assert load_data(tmp_path / "m.npz").task == "multilabel"


def _npz(**arrays: object) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


X, Y = np.ones((20, 3)), np.arange(20) % 2
HOLED = np.where(np.arange(60).reshape(20, 3) == 7, np.nan, 1.0)


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (_npz(a=X, b=Y), ["holds a, b", "wants x and y"]),
        (_npz(x=X, y=np.array([object()] * 20)), ["Python objects", "execute"]),
        (_npz(x=X, y=Y - 1), ["hold -1", "number them from 0"]),
        (_npz(x=X, y=Y[:5]), ["20 inputs and 5 targets"]),
        (_npz(x=HOLED, y=Y), ["1 values that are not finite", "example 2"]),
        (_npz(x=np.ones((20, 2, 2, 2, 2)), y=Y), ["shape (20, 2, 2, 2, 2)"]),
        (_npz(x=np.array(["a"] * 20), y=Y), ["array x", "wants numbers"]),
        (_npz(x=X[:0], y=Y[:0]), ["0"]),
        (b"PK garbage", ["cannot be read"]),
        (_npz(x=X, y=Y)[:-60], ["cannot be read"]),
    ],
)
def test_bad_npz(tmp_path: Path, content: bytes, fragments: list[str]) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_data(tmp_path / "a.npz")
    for fragment in fragments:
        assert fragment in str(caught.value)


# --- names and places ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in dataset_names() if name != "digits"])
def test_a_missing_set_says_what_it_wants_and_where_it_is_published(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        load_data(name, directory=tmp_path)
    for fragment in (f"data '{name}'", str(tmp_path), "http", "--data-dir", "CHAINRULE_DATA"):
        assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("mnits", "did you mean 'mnist'"),
        ("no/such/path", "neither a known set nor a path"),
        ("hf:nothing", "chainrule[huggingface]"),
    ],
)
def test_wrong_names(name: str, fragment: str) -> None:
    if name.startswith("hf:"):
        try:
            import datasets  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("the datasets library is installed here")
    with pytest.raises(DataError) as caught:
        load_data(name)
    assert fragment in str(caught.value)


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        load_data(write(tmp_path / "a.csv", ""))
    with pytest.raises(DataError, match=r"is a '\.doc', wants \.csv or \.npz"):
        load_data(write(tmp_path / "a.doc", "x"))


def test_shares_that_leave_nothing() -> None:
    with pytest.raises(DataError, match="leave nothing to train on"):
        load_data("digits", validation_share=0.5, test_share=0.5)


def test_hugging_face(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    images = [Image.fromarray(RNG.integers(0, 256, (4, 5), dtype=np.uint8)) for _ in range(40)]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    rows = {"image": images, "label": [number % 2 for number in range(40)]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "set"))
    dataset = load_data(f"hf:{tmp_path / 'set'}")
    assert (dataset.classes, dataset.input_shape) == (("a", "b"), (1, 4, 5))
