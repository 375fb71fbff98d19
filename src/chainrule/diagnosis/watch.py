"""Watch: look on while any PyTorch code trains, without changing a bit of it."""

from __future__ import annotations

import dataclasses
import math
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import nn

from chainrule.diagnosis.answer import ModelSeen, OptimizerSeen, Watched
from chainrule.diagnosis.beginning import start_of
from chainrule.diagnosis.budget import Budget
from chainrule.diagnosis.crash import crash_lines
from chainrule.diagnosis.facts import Sample
from chainrule.diagnosis.journal import Journal, Row
from chainrule.diagnosis.keeping import Keeping
from chainrule.diagnosis.losses import LOSS_KINDS
from chainrule.diagnosis.marker import Marker
from chainrule.diagnosis.models import Cast
from chainrule.diagnosis.scene import layers_seen, models_seen, optimizers_seen
from chainrule.diagnosis.spectator import Logged, Spectator
from chainrule.diagnosis.symptoms import Record, symptoms_of
from chainrule.diagnosis.symptoms.record import Start
from chainrule.diagnosis.taps import Taps
from chainrule.diagnosis.watcher import Watcher
from chainrule.errors import RecipeError
from chainrule.finding import Finding
from chainrule.nn.guard import check_count

_REFRESH = 1.0  # seconds between looks at who takes part


def watch(
    model: nn.Module | None = None,
    *,
    runs: Path | str | None = "runs",
    share: float = 0.02,
    steps: int | None = None,
    seconds: float | None = None,
    tensorboard: Path | str | None = None,
    name: str = "",
    spectator: Spectator | None = None,
) -> Watching:
    """Watch whatever trains inside a ``with`` block: losses, layers, gradients, symptoms.

    Weights, buffers, optimizer states, random states and what is printed are the same, bit for
    bit, as without it.

    Args:
        model: the network, to name it; found by itself where it is left out.
        runs: folder of the run store; None keeps nothing on disk.
        share: of the training time that watching may take, after the first steps.
        steps: watch so many steps; the training goes on after them.
        seconds: watch so long.
        tensorboard: folder in which the series are mirrored as TensorBoard event files.
        name: of the run; the network's class by default.
        spectator: is told of findings as they arise; by default the logger "chainrule".

    Raises:
        RecipeError: an argument that cannot be used.
        RunError: the store cannot be written.

    Examples:
        >>> import torch
        >>> net = torch.nn.Linear(3, 2)
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> x, y = torch.randn(8, 3), torch.tensor([0, 1] * 4)
        >>> with watch(net, runs=None) as watching:
        ...     for _ in range(5):
        ...         optimizer.zero_grad()
        ...         torch.nn.functional.cross_entropy(net(x), y).backward()
        ...         optimizer.step()
        >>> watching.result.steps, watching.result.loss.function
        (5, 'cross_entropy')
    """
    check_options(share, steps, seconds)
    keeping = Keeping(runs, tensorboard)
    return Watching(model, Budget(share, 3, steps, seconds), keeping, name, spectator)


def check_options(
    share: float = 0.02, steps: int | None = None, seconds: float | None = None, **_others: Any
) -> None:
    """Refuse numbers that ``watch`` cannot use.

    Raises:
        RecipeError: one of them is out of its range.

    Examples:
        >>> check_options(share=0.02, steps=100)
    """
    if not isinstance(share, int | float) or not 0 < share <= 1:
        raise RecipeError(f"share got {share!r}, wants a number in (0, 1]: 0.02 is customary")
    if steps is not None:
        check_count("watch", "steps", steps, "leave it out to watch all")
    if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
        raise RecipeError(
            f"seconds got {seconds!r}, wants a number above 0; leave it out to watch all"
        )


class Watching:
    """A watch that is going on, or is over; made by ``watch``.

    Attributes:
        result: what was seen so far.
    """

    def __init__(
        self,
        model: nn.Module | None,
        budget: Budget,
        keeping: Keeping,
        name: str = "",
        spectator: Spectator | None = None,
    ) -> None:
        self._name, self._keeping, self._budget = name, keeping, budget
        self._spectator = spectator or Logged()
        self.script = ""
        self._ended, self._error, self._code = "running", "", 0
        self._journal = Journal(Cast(), self._wrote, self._sampled, self._failed)
        self._watcher = Watcher(self._journal, budget)
        self._journal.cast = self._watcher.cast
        self._journal.ended = self._another
        self._earlier: tuple[Finding, ...] = ()
        self._taps = Taps(self._watcher)
        self._models: dict[str, ModelSeen] = {}
        self._optimizers: dict[int, OptimizerSeen] = {}
        self._met: dict[str, Finding] = {}
        self._refreshed, self._size = 0.0, 0
        self._begun: float | None = None
        self._seconds = 0.0
        self._start = Start()
        self._report = ""
        self._crash: tuple[str, ...] = ()
        if model is not None and not isinstance(model, nn.Module):
            raise RecipeError(
                f"model got a {type(model).__name__}, wants a torch.nn.Module or nothing at all"
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self.end(error)

    def start(self) -> None:
        """Begin to listen."""
        self._taps.open()
        self._watcher.start()

    def stop(self) -> None:
        """Stop listening; nothing is left behind in PyTorch."""
        self._watcher.stop()
        self._taps.close()

    def end(self, error: BaseException | None = None, code: int = 0) -> None:
        """Look at the beginning once more, and close the record.

        Args:
            error: what ended the training; None where it came to its end.
            code: exit code of the script.
        """
        self._code = code
        self._ended = "finished"
        if error is not None:
            stopped = isinstance(error, KeyboardInterrupt)
            self._ended = "stopped" if stopped else "failed"
            lines = str(error).splitlines()
            self._error = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        try:
            self._crash = crash_lines(error, self._watcher.cast)
            self._journal.write_bare()
            if self.steps:
                self._refresh(force=True)
                self._start = start_of(self._journal.examples)
                self._tell()
            self._keeping.finish(self.result)
        except Exception as failure:  # noqa: BLE001 - the training's own end must not be hidden
            self._failed(failure)

    def share_cast(self, cast: Cast) -> None:
        """Begin with networks, optimizers and loaders that somebody else has met."""
        self._watcher.cast = self._journal.cast = cast
        self._watcher.marker = Marker(cast)

    @property
    def ear(self) -> Watcher:
        """Who hears; deaf while its ``inside`` is set."""
        return self._watcher

    def glance(self) -> tuple[Record, tuple[str, ...]]:
        """What symptoms are read from, and what could not be seen; watching goes on."""
        self._journal.write_bare()
        if self.steps:
            self._refresh(force=True)
        return self.record, self._unseen()

    @property
    def steps(self) -> int:
        """Updates counted so far."""
        return self._watcher.step

    @property
    def heard(self) -> tuple[int, int]:
        """Calls of ``backward`` and networks met so far; for scripts that made no step."""
        return self._watcher.backwards, len(self._watcher.cast.models)

    @property
    def has_gradients(self) -> bool:
        """Whether a gradient was ever computed, or set by hand."""
        return bool(self._watcher.backwards or self._journal.reached or self._watcher.functional)

    @property
    def compiled(self) -> bool:
        """Whether ``torch.compile`` was used on a function."""
        return bool(self._watcher.compiled_functions)

    def loss_and_speed(self) -> tuple[float, float]:
        """The last loss, and steps per second so far."""
        losses = self._journal.losses
        return (losses[-1] if losses else math.nan), self.steps / max(self._seconds, 1e-9)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Symptoms seen so far, those of earlier trainings in the same program last."""
        now = symptoms_of(self.record)
        return (*now, *(item for item in self._earlier if item.code not in codes(now)))

    @property
    def record(self) -> Record:
        """What symptoms are read from."""
        journal = self._journal
        call = next((s.losses[0] for s in journal.first if s.losses), None)
        kind = None if call is None else LOSS_KINDS.get(call.function)
        if call is not None and call.written_out and call.task == "numbers":
            kind = (
                LOSS_KINDS["mse_loss"] if {"pow", "square"} & set(call.function.split()) else None
            )
        rules = self._watcher.cast.rules
        unused = self._watcher.backwards and not any(rule.steps for rule in rules)
        idle = rules if unused and not self.steps else ()
        return Record(
            tuple(journal.losses[journal.since :]), (*journal.first, *journal.last),
            tuple(self._models.values()), tuple(self._optimizers.values()),
            tuple(item.seen for item in self._watcher.cast.loaders if item.seen is not None),
            journal.origin, None if kind is None else journal.targets.constant(kind),
            dict(journal.targets.counts), dict(journal.fingerprints), tuple(journal.rates),
            self._start, journal.since,
            sum(rule.last > journal.since for rule in rules), journal.strangers,
            tuple((rule.name, rule.made) for rule in idle),
        )  # fmt: skip

    @property
    def result(self) -> Watched:
        """All that was seen."""
        record, journal = self.record, self._journal
        samples = record.samples
        last = next((item for item in reversed(samples) if item.losses), None)
        heard = (last,) if last is not None else samples
        first = next((p for item in samples for p in item.passes), None)
        backward = next((b.place for item in heard for b in item.backwards if b.place), None)
        accuracy = None
        if last is not None and last.losses[0].answers:
            accuracy = (last.losses[0].right or 0) / last.losses[0].answers
        return Watched(
            self.script, self._keeping.run, self._keeping.folder, self._report, self._ended,
            self._error, self._code, self.steps, journal.samples, self._seconds,
            self._watcher.spent, record.models, record.optimizers, record.loaders,
            last.losses[0] if last else None, backward, first.inputs if first else None,
            first.autocast if first else "", _finite(record.first_loss()),
            _finite(record.last_loss()), record.constant, accuracy,
            layers_seen(samples[-1] if samples else None, journal.noises), record.origin,
            self.findings, self._unseen(), self._crash, self._keeping.series(),
        )  # fmt: skip

    def _another(self) -> None:
        """The program trains once more: findings so far are those of the training before."""
        self._refresh(force=True)
        self._tell()
        self._earlier = self.findings

    def note_report(self, path: str) -> None:
        """Where the report of this watch was written."""
        self._report = path

    def _unseen(self) -> tuple[str, ...]:
        found = list(self._start.unseen)
        if self._watcher.compiled_functions:
            found.append("layers: torch.compile was used on a function; hooks would change it")
        if self._watcher.functional:
            found.append("layers: the training uses transforms of torch.func")
        if self._journal.examples.why:
            found.append(f"the untrained network: {self._journal.examples.why}")
        if self._journal.broken_by is not None:
            found.append(f"what came after an error inside chainrule: {self._journal.broken_by}")
        if self._keeping.failed:
            found.append(f"the record: {self._keeping.failed}")
        return tuple(found)

    # -- what the journal tells

    def _wrote(self, row: Row) -> None:
        now = time.perf_counter()
        self._begun = self._begun if self._begun is not None else now
        self._seconds = now - self._begun
        self._keeping.write(row)

    def _sampled(self, sample: Sample) -> None:
        self._refresh()
        if sample.step == 1:
            self._keeping.begin(self._title(), self._describe())
        self._tell()
        self._spectator.stepped(self)
        self._keeping.flush_sometimes()

    def _title(self) -> str:
        models = self._watcher.cast.models
        return self._name or (models[0].kind if models else "training")

    def _describe(self) -> dict[str, Any]:
        """What the store wants to know of a run."""
        models = tuple(self._models.values())
        optimizers = tuple(self._optimizers.values())
        return {
            "recipe": {
                "watched": self.script or True,
                "optimizer": optimizers[0].name if optimizers else "by hand",
                "learning_rate": next(iter(self._journal.rates), None),
            },
            "network": ", ".join(item.kind for item in models) or "own tensors",
            "data": {"name": self._title(), "source": self.script},
            "parameters": sum(item.size for item in models),
        }

    def _refresh(self, force: bool = False) -> None:
        now = time.perf_counter()
        cast = self._watcher.cast
        size = len(cast.models) + len(cast.rules)
        few = self._journal.samples <= 3 or size != self._size  # may be gone in a second
        self._size = size
        if force or few or now - self._refreshed > _REFRESH:
            self._refreshed = now
            journal = self._journal
            models_seen(cast, journal.reached, self._models)
            optimizers_seen(cast, [*journal.first, *journal.last], self._optimizers)
        for number, rule in enumerate(self._watcher.cast.rules):
            if number in self._optimizers:
                seen = self._optimizers[number]
                self._optimizers[number] = dataclasses.replace(seen, steps=rule.steps)

    def _tell(self) -> None:
        """Findings that are new."""
        for finding in symptoms_of(self.record):
            if finding.code not in self._met:
                self._met[finding.code] = finding
                self._keeping.note(self.steps, finding)
                self._spectator.found(finding)

    def _failed(self, error: Exception) -> None:
        text = "".join(traceback.format_exception(error))
        where = self._keeping.log(text)
        reason = (str(error).splitlines() or [""])[0]
        self._spectator.broken(
            f"watching ended by an error inside chainrule ({type(error).__name__}: {reason}); the "
            f"training goes on{f'; traceback in {where}' if where else ''}"
        )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def codes(findings: Sequence[Finding]) -> tuple[str, ...]:
    """The codes of findings.

    Examples:
        >>> codes([Finding("dead-relu", "fc1")])
        ('dead-relu',)
    """
    return tuple(item.code for item in findings)
