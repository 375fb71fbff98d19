"""Archive: a training result kept in the run's folder, read back for later reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from chainrule.analysis.table import LayerRow, NetworkTable
from chainrule.errors import RunError
from chainrule.record.atomic import write_atomically
from chainrule.record.store import RunStore
from chainrule.training.phases import StepProfile
from chainrule.training.result import Mistake, TrainingResult

_NUMBERS, _ARRAYS = "result.json", "result.safetensors"
_IN_ARRAYS = ("confusion", "filters", "mistakes")


def save_result(result: TrainingResult, folder: Path) -> None:
    """Write ``result`` into ``folder`` (curves stay in the store).

    Raises:
        RunError: the folder cannot be written.
    """
    numbers = replace(result, curves={}).to_dict()
    numbers["mistakes"] = [
        {name: value for name, value in mistake.items() if name != "image"}
        for mistake in numbers["mistakes"]
    ]
    for name in ("confusion", "filters"):
        del numbers[name]
    try:
        write_atomically(folder / _ARRAYS, save_arrays(_arrays(result)))
        write_atomically(folder / _NUMBERS, json.dumps(numbers).encode())
    except OSError as error:
        raise RunError(
            f"result in '{folder}' cannot be written: {error.strerror or error}; free some space "
            "or choose another --runs folder"
        ) from None


def load_result(store: RunStore, run: str) -> TrainingResult | None:
    """The result of ``run`` as it was saved, with its curves; None when it never got that far.

    Raises:
        RunError: the files are damaged.
    """
    folder = store.path(run)
    if not (folder / _NUMBERS).exists():
        return None
    try:
        numbers = json.loads((folder / _NUMBERS).read_text(encoding="utf-8"))
        arrays = load_arrays((folder / _ARRAYS).read_bytes())
        return _assemble(numbers, arrays, store.metrics(run))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunError(f"result in '{folder}' cannot be read: {error}") from None


def _arrays(result: TrainingResult) -> dict[str, NDArray[Any]]:
    arrays = {"confusion": result.confusion, "filters": result.filters}
    if result.mistakes:
        arrays["mistakes"] = np.stack([mistake.image for mistake in result.mistakes])
    return {
        name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None
    }


def _assemble(
    numbers: dict[str, Any], arrays: dict[str, NDArray[Any]], curves: dict[str, Any]
) -> TrainingResult:
    table = numbers.pop("table")
    rows = tuple(LayerRow(**{**row, "output": _tuple(row["output"])}) for row in table["rows"])
    mistakes, profile = numbers.pop("mistakes"), numbers.pop("profile", None)
    return TrainingResult(
        **{**numbers, "classes": tuple(numbers["classes"]), "curves": curves},
        table=NetworkTable(**{**table, "input": tuple(table["input"]), "rows": rows}),
        profile=None if profile is None else StepProfile.from_dict(profile),
        confusion=arrays.get("confusion"),
        filters=arrays.get("filters"),
        mistakes=tuple(
            Mistake(image=image, **mistake)
            for mistake, image in zip(mistakes, arrays.get("mistakes", ()), strict=True)
        ),
    )


def _tuple(values: list[int] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(values)
