"""Fitting: a table that leaves out columns, the least important first, until it fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text


class FittingTable:
    """Rows of text with the columns that fit the console.

    Args:
        columns: their names.
        rows: the cells of each, in the same order.
        left: columns that are aligned to the left.
        first_to_go: columns that may be left out, the first first.
        broken: the column whose cells may be broken.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        left: Sequence[str],
        first_to_go: Sequence[str],
        broken: str,
    ) -> None:
        self._columns, self._rows = tuple(columns), rows
        self._left, self._first_to_go, self._broken = left, first_to_go, broken

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        shown = list(self._columns)
        wide = options.update(width=1000)
        for name in self._first_to_go:
            table = self._drawn(shown)
            if console.measure(table, options=wide).maximum <= options.max_width:
                break
            if name in shown:
                shown.remove(name)
        yield self._drawn(shown)

    def _drawn(self, shown: Sequence[str]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in shown:
            table.add_column(
                name,
                justify="left" if name in self._left else "right",
                overflow="fold",
                no_wrap=name != self._broken,
            )
        places = [self._columns.index(name) for name in shown]
        for row in self._rows:
            table.add_row(*(Text(row[place]) for place in places))
        return table
