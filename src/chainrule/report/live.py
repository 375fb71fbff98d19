"""Live: the run as it trains; a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from chainrule.report.terminal import PipeConsole, renderable
from chainrule.training.observer import Observer

if TYPE_CHECKING:
    from chainrule.training.observer import EpochReport, Start

_SECONDS_BETWEEN_LINES = 2.0


def live_observer(to_error: bool = False) -> Observer:
    """What fits the stream: a bar on a terminal, else plain lines.

    Args:
        to_error: look at (and write to) standard error, leaving standard output to JSON.
    """
    console = PipeConsole(stderr=to_error, highlight=False)
    return BarObserver(console) if console.is_terminal else LinesObserver(console)


def epoch_line(report: EpochReport, epochs: int) -> str:
    """One epoch in one line.

    Examples:
        >>> from chainrule.training.observer import EpochReport
        >>> epoch_line(EpochReport(2, 40, 0.5, 0.9, 0.4, 0.95, 3.2), 10)
        'epoch  2/10  loss 0.5000  accuracy 90.00 %  validation 0.4000  95.00 %  3.2 s'
    """
    parts = [f"epoch {report.epoch:>{len(str(epochs))}}/{epochs}", f"loss {report.data_loss:.4f}"]
    if report.accuracy is not None:
        parts.append(f"accuracy {report.accuracy:.2%}".replace("%", " %"))
    if report.validation_loss is not None:
        parts.append(f"validation {report.validation_loss:.4f}")
    if report.validation_accuracy is not None:
        parts.append(f"{report.validation_accuracy:.2%}".replace("%", " %"))
    return "  ".join([*parts, f"{report.seconds:.1f} s"])


def start_line(start: Start) -> str:
    """Run, data and length of the run in one line."""
    train, validation, test = start.examples
    begun = f", going on after step {start.step}" if start.step else ""
    together = f", {start.processes} processes" if start.processes > 1 else ""
    return (
        f"run {start.run}: {start.data}, {train:,} training, {validation:,} validation and "
        f"{test:,} test examples; {start.epochs} epochs of {start.steps // start.epochs} steps"
        f"{begun}{together}"
    )


def choosing_line(seconds: float) -> str:
    """What happens before the first step of a longer run."""
    return f"measuring how a step is fastest (up to {max(1.0, seconds):.0f} s)"


class LinesObserver(Observer):
    """Plain lines: the table, then the epochs, at most one line every two seconds."""

    def __init__(self, console: Console) -> None:
        self.console, self.epochs, self._last = console, 0, 0.0
        self._waiting: str | None = None

    def choosing(self, seconds: float) -> None:
        """Say what the wait is for."""
        self._print(choosing_line(seconds))

    def started(self, start: Start) -> None:
        """Show the table and what is about to happen."""
        self.epochs = start.epochs
        self.console.print(renderable(start.table))
        self._print(start_line(start))
        if start.execution:
            self._print(start.execution)

    def epoch_ended(self, report: EpochReport) -> None:
        """Show the epoch, unless another was shown a moment ago."""
        self._waiting = epoch_line(report, self.epochs)
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._flush()

    def ended(self) -> None:
        """Show the last epoch, if it has not been."""
        self._flush()

    def _flush(self) -> None:
        if self._waiting is not None:
            self._print(self._waiting)
        self._waiting, self._last = None, time.monotonic()

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)


class BarObserver(Observer):
    """A progress bar with the time left, the loss and the accuracies."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total} steps"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=console,
            refresh_per_second=5,
        )
        self.task = self.progress.add_task("epoch 0", total=None, numbers="")
        self._loss, self._accuracies = 0.0, ""

    def choosing(self, seconds: float) -> None:
        """Say what the wait is for."""
        self.console.print(choosing_line(seconds), markup=False)

    def started(self, start: Start) -> None:
        """Show the table, then put up the bar."""
        self.console.print(renderable(start.table))
        self.console.print(start_line(start), markup=False)
        if start.execution:
            self.console.print(start.execution, markup=False)
        epoch = start.step // max(1, start.steps // start.epochs)
        self.progress.update(
            self.task,
            total=start.steps,
            completed=start.step,
            description=f"epoch {epoch + 1}/{start.epochs}",
        )
        self.epochs = start.epochs
        self.progress.start()

    def stepped(self, step: int, data_loss: float) -> None:
        """Move the bar; the loss shown is smoothed over some twenty steps."""
        self._loss = data_loss if self._loss == 0 else 0.95 * self._loss + 0.05 * data_loss
        numbers = f"loss {self._loss:.4f}{self._accuracies}"
        self.progress.update(self.task, completed=step, numbers=numbers)

    def epoch_ended(self, report: EpochReport) -> None:
        """Show the accuracies of the epoch."""
        if report.accuracy is not None:
            self._accuracies = f"  train {report.accuracy:.1%}"
        if report.validation_accuracy is not None:
            self._accuracies += f"  validation {report.validation_accuracy:.1%}"
        following = min(report.epoch + 1, self.epochs)
        self.progress.update(self.task, description=f"epoch {following}/{self.epochs}")

    def ended(self) -> None:
        """Take the bar down."""
        self.progress.stop()


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, told how many are done and of how many; nothing in a pipe."""
    console = PipeConsole(stderr=True, highlight=False)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, count: bar.update(task, completed=done, total=count)
