"""load_data: a data set by name or path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from chainrule.errors import DataError, suggestion
from chainrule.training.data.array_folder import is_array_folder, read_array_folder
from chainrule.training.data.arrays import read_npz
from chainrule.training.data.cifar import read_cifar
from chainrule.training.data.dataset import Dataset
from chainrule.training.data.embedded import read_digits
from chainrule.training.data.find import folders_of
from chainrule.training.data.folder import read_folder
from chainrule.training.data.huggingface import read_huggingface
from chainrule.training.data.idx import read_idx_set
from chainrule.training.data.mapped import available_memory
from chainrule.training.data.raw import Raw
from chainrule.training.data.size import size_in_memory
from chainrule.training.data.split import make_dataset
from chainrule.training.data.table import read_csv

_IN_FILES: dict[str, Callable[[str, list[Path]], Raw]] = {
    "mnist": read_idx_set,
    "fashion-mnist": read_idx_set,
    "cifar10": read_cifar,
    "cifar100": read_cifar,
}
_HUGGING_FACE = "hf:"
TASKS = ("classification", "regression", "multilabel")


def dataset_names() -> tuple[str, ...]:
    """The names that ``load_data`` knows besides paths."""
    return ("digits", *_IN_FILES)


def load_data(
    name: str | Path,
    *,
    directory: str | Path | None = None,
    seed: int = 0,
    validation_share: float = 0.1,
    test_share: float = 0.2,
    target: Sequence[str] | None = None,
    task: str | None = None,
    image_size: int | None = None,
    limit: int | None = None,
    stream: bool | None = None,
) -> Dataset:
    """A data set by name or path, split and measured. Loading never executes anything.

    Args:
        name: "digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "hf:NAME", or the path
            of an image folder, a folder of .npy files, a .csv or an .npz file.
        directory: where the files of a named set are; else CHAINRULE_DATA, else ./data.
        seed: fixes the split.
        validation_share: share of the examples held back to choose by.
        test_share: share held back to report on, where the set has no test part of its own.
        target: target columns of a CSV file, by name or number (default: the last).
        task: "regression" reads whole-number targets as numbers, "classification" as classes
            however many there are; None tells by the targets. Tables and arrays only: images are
            always classified.
        image_size: images of a folder are resized to this many pixels a side.
        limit: keep at most this many examples of each part.
        stream: leave the inputs of a folder of .npy files there and read them as they are needed;
            None: when they take more than half of the memory at hand.

    Raises:
        DataError: missing, damaged, or nothing a network can learn from.

    Examples:
        >>> load_data("digits").task
        'classification'
    """
    _check_arguments(target, task, image_size, limit)
    if validation_share + test_share >= 1:
        raise DataError(
            f"validation_share {validation_share:g} and test_share {test_share:g} leave nothing to "
            "train on: lower one of them"
        )
    read = _reader(str(name), directory, target, task, image_size)
    path = Path(name).expanduser()
    if path.is_dir() and is_array_folder(path):
        read = partial(read_array_folder, path, task, stream)
    elif stream:
        raise DataError(
            f"stream got data '{name}', which is read into memory: only a folder with x_train.npy "
            "and y_train.npy is streamed (chainrule pack makes one)"
        )
    else:
        _refuse_larger_than_memory(path, image_size)
    return make_dataset(
        read(), seed=seed, validation_share=validation_share, test_share=test_share, limit=limit
    )


def _refuse_larger_than_memory(path: Path, image_size: int | None) -> None:
    """Better now than when the system ends the process."""
    memory, size = available_memory(), size_in_memory(path, image_size)
    if memory is not None and size > memory:
        raise DataError(
            f"data '{path}' take {size:,} bytes in memory, of which {memory:,} are at hand: "
            "chainrule pack writes them as .npy files, which are streamed"
        )


def _check_arguments(target: object, task: object, image_size: object, limit: object) -> None:
    if isinstance(target, str) or not (target is None or isinstance(target, Sequence)):
        raise DataError(
            f"target got {target!r}, wants a list of columns such as ['price'] or ['3']"
        )
    if not all(isinstance(column, str) for column in target or ()):
        raise DataError(f"target got {list(target or ())}, wants names or numbers as text: ['3']")
    if task is not None and task not in TASKS:
        raise DataError(
            f"task got '{task}'{suggestion(str(task), TASKS)}; wants {' or '.join(TASKS)}"
        )
    for name, value in (("image_size", image_size), ("limit", limit)):
        whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if value is not None and not whole:
            raise DataError(f"{name} got {value!r}, wants a whole number from 1")


def _reader(
    name: str,
    directory: str | Path | None,
    target: Sequence[str] | None,
    task: str | None,
    image_size: int | None,
) -> Callable[[], Raw]:
    known = name.lower().replace("_", "-")
    known = {"fashionmnist": "fashion-mnist", "cifar-10": "cifar10", "cifar-100": "cifar100"}.get(
        known, known
    )
    if known == "digits":
        return read_digits
    if known in _IN_FILES:
        return partial(_IN_FILES[known], known, folders_of(known, directory))
    if name.startswith(_HUGGING_FACE):
        _only_classes(name, task)
        return partial(read_huggingface, name.removeprefix(_HUGGING_FACE), target, image_size)
    path = Path(name).expanduser()
    if path.is_dir():
        _only_classes(name, task)
        return partial(read_folder, path, image_size)
    if path.is_file():
        return _file_reader(path, target, task)
    raise DataError(
        f"data '{name}' is neither a known set nor a path that exists"
        f"{suggestion(name, dataset_names())}; wants one of {', '.join(dataset_names())}, hf:NAME, "
        "an image folder, a .csv or an .npz file"
    )


def _only_classes(name: str, task: str | None) -> None:
    if task not in (None, "classification"):
        raise DataError(
            f"task got '{task}', but data '{name}' are classified: a CSV or .npz file can hold "
            "numbers to predict"
        )


def _file_reader(path: Path, target: Sequence[str] | None, task: str | None) -> Callable[[], Raw]:
    if not path.stat().st_size:
        raise DataError(f"data file '{path}' is empty")
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return partial(read_csv, path, target, task)
    if path.suffix.lower() == ".npz":
        return partial(read_npz, path, task)
    raise DataError(f"data file '{path}' is a '{path.suffix}', wants .csv or .npz")
