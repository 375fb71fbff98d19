"""Table: CSV files; a header is optional, the target is the last column unless named."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, suggestion
from chainrule.training.data.dataset import Task
from chainrule.training.data.raw import Raw, RawPart, as_float32

_MOST_CLASSES = 20  # whole numbers with more values than this are numbers, not classes

Rows = list[list[str]]


def read_csv(path: Path, target: Sequence[str] | None, task: str | None) -> Raw:
    """A CSV file as vectors and targets.

    Text or a few whole numbers as target are classes (in sorted order, numbered from 0 whatever
    they are called), several columns of 0 and 1 are labels, other numbers are a regression.

    Raises:
        DataError: no rows, ragged rows, an empty cell, text among the features, unknown target.
    """
    header, rows = _read(path)
    columns = _target_columns(path, header, target)
    features = [column for column in range(len(header)) if column not in columns]
    if not features:
        raise DataError(f"table '{path}' has no column left besides the target: add features")
    inputs = _numbers(path, header, rows, features)
    cells = [[row[column] for column in columns] for row in rows]
    names = tuple(header[column] for column in columns)
    kind = _kind(cells, task)
    if kind == "classification":
        classes, targets = _classes([row[0] for row in cells])
        return Raw(path.stem, str(path), classes, RawPart(inputs, targets))
    values = _numbers(path, header, rows, columns)
    return Raw(path.stem, str(path), names, RawPart(inputs, values), task=kind)


def _read(path: Path) -> tuple[list[str], Rows]:
    """Column names and the rows of cells, stripped."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"table '{path}' cannot be read: {error}; save it as UTF-8 text") from None
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"table '{path}' cannot be read: {error}; is it a CSV file?") from None
    rows = [[cell.strip() for cell in row] for row in lines if any(cell.strip() for cell in row)]
    if not rows:
        raise DataError(f"table '{path}' has no rows")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise DataError(
                f"table '{path}' row {number} has {len(row)} cells, the first row has "
                f"{len(rows[0])}: mend the row"
            )
        if "" in row:
            raise DataError(
                f"table '{path}' row {number} column {row.index('') + 1} is empty: fill the cell "
                "or drop the row"
            )
    if _is_header(rows):
        return rows[0], rows[1:]
    return [f"column {number}" for number in range(1, len(rows[0]) + 1)], rows


def _is_header(rows: Rows) -> bool:
    """A first row without a number, over rows that have some."""
    if len(rows) < 2 or any(_is_number(cell) for cell in rows[0]):
        return False
    return any(_is_number(cell) for cell in rows[1])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _target_columns(path: Path, header: list[str], target: Sequence[str] | None) -> list[int]:
    """Places of the target columns; a number counts columns from 1."""
    if not target:
        return [len(header) - 1]
    places = []
    for name in target:
        if name in header:
            places.append(header.index(name))
        elif name.isdigit() and 1 <= int(name) <= len(header):
            places.append(int(name) - 1)
        else:
            raise DataError(
                f"target got '{name}', which table '{path}' does not have"
                f"{suggestion(name, header)}; wants some of {', '.join(header[:12])} or 1 to "
                f"{len(header)}"
            )
    return places


def _numbers(path: Path, header: list[str], rows: Rows, columns: list[int]) -> NDArray[np.float32]:
    try:
        values = np.array([[float(row[column]) for column in columns] for row in rows])
        return as_float32(values, f"table '{path}'")
    except ValueError:
        number, column = next(
            (number, column)
            for number, row in enumerate(rows, start=1)
            for column in columns
            if not _is_number(row[column])
        )
        raise DataError(
            f"table '{path}' holds '{rows[number - 1][column]}' in row {number} of column "
            f"'{header[column]}', wants numbers there: encode it or drop the column"
        ) from None


def _kind(cells: Rows, task: str | None) -> Task:
    if task == "regression":
        return "regression"
    if task == "classification" and len(cells[0]) == 1:
        return "classification"
    several = len(cells[0]) > 1
    distinct = {cell for row in cells for cell in row}
    numbers = all(_is_number(cell) for cell in distinct)
    if several:
        binary = numbers and {float(cell) for cell in distinct} <= {0.0, 1.0}
        return "multilabel" if binary else "regression"
    if not numbers:
        return "classification"
    whole = all(math.isfinite(float(cell)) and float(cell).is_integer() for cell in distinct)
    return "classification" if whole and len(distinct) <= _MOST_CLASSES else "regression"


def _classes(cells: list[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    if all(_is_number(cell) for cell in set(cells)):  # 1 and 1.0 are one class
        cells = [f"{Decimal(cell).normalize():f}" for cell in cells]
        names = sorted(set(cells), key=Decimal)
    else:
        names = sorted(set(cells))
    place = {name: number for number, name in enumerate(names)}
    return tuple(names), np.array([place[cell] for cell in cells], np.int64)
