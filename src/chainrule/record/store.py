"""RunStore: every run in one SQLite file, safe against crashes and several processes."""

from __future__ import annotations

import json
import math
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chainrule.errors import RunError, suggestion
from chainrule.record.database import Database
from chainrule.record.hold import hold, is_held
from chainrule.record.run import Event, RunList, RunRecord

FILE = "runs.sqlite3"
_COLUMNS = (
    "id, name, created, ended, reason, recipe, network, data, parameters, versions, hardware, "
    "seconds, summary"
)
_JSON = ("recipe", "data", "versions", "hardware", "summary")

Metrics = Mapping[str, float]


class RunStore:
    """The runs kept in a folder: their records in ``runs.sqlite3``, a folder for each.

    Write-ahead logging keeps readers and writers apart; with ``synchronous=NORMAL`` a power
    cut can lose the last transactions but never tear one, and a resumed run repeats them.

    Args:
        folder: where runs are kept.
        create: make the folder and the store when they are not there.

    Raises:
        RunError: no store there, not writable, damaged, or made by a newer chainrule.

    Examples:
        >>> store = RunStore(getfixture("tmp_path"), create=True)
        >>> run = store.create(name="digits", recipe={}, network="FC-10", data={}, parameters=650,
        ...                    versions={}, hardware={})
        >>> store.report(run, 1, {"train/data_loss": 2.3})
        >>> store.metrics(run)
        {'train/data_loss': ((1, 2.3),)}
    """

    def __init__(self, folder: Path | str = "runs", *, create: bool = False) -> None:
        self.folder = Path(folder)
        file = self.folder / FILE
        if not create and not file.exists():
            raise RunError(
                f"no runs are kept in '{self.folder}': chainrule train makes the first, --runs "
                "names another folder"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"runs folder '{self.folder}' cannot be made: {error.strerror}; choose another "
                "with --runs"
            ) from None
        self.database = Database(file)

    def create(
        self,
        *,
        name: str,
        recipe: Mapping[str, Any],
        network: str,
        data: Mapping[str, Any],
        parameters: int,
        versions: Mapping[str, Any],
        hardware: Mapping[str, Any],
    ) -> str:
        """Begin a run and make its folder; gives its identifier, which sorts by time."""
        now = datetime.now(UTC)
        word = "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")
        run = f"{now:%Y%m%d-%H%M%S}-{word[-24:].strip('-') or 'run'}-{secrets.token_hex(2)}"
        created = now.isoformat(timespec="microseconds")
        made_of = (json.dumps(recipe), network, json.dumps(data), parameters)
        made_with = (json.dumps(versions), json.dumps(hardware))
        values = (run, name, created, "running", "", *made_of, *made_with, 0.0, "{}")
        try:
            (self.folder / run).mkdir()
        except OSError as error:
            raise RunError(
                f"runs folder '{self.folder}' cannot be written: {error.strerror}; choose "
                "another with --runs"
            ) from None
        marks = ", ".join("?" * len(values))
        with self.database.write() as connection:
            connection.execute(f"INSERT INTO runs ({_COLUMNS}) VALUES ({marks})", values)
        return run

    def report(self, run: str, step: int, metrics: Metrics, events: Sequence[Event] = ()) -> None:
        """Write the metrics of one step, and events, in one transaction."""
        self.report_many(run, [(step, metrics)], events)

    def report_many(
        self, run: str, rows: Iterable[tuple[int, Metrics]], events: Sequence[Event] = ()
    ) -> None:
        """Write the metrics of several steps, and events, in one transaction."""
        values = [
            (run, name, step, None if math.isnan(value) else value)
            for step, metrics in rows
            for name, value in metrics.items()
        ]
        happened = [
            (run, event.step, event.time, event.kind, event.message, json.dumps(event.details))
            for event in events
        ]
        with self.database.write() as connection:
            connection.executemany("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?)", values)
            connection.executemany(
                "INSERT INTO events (run, step, time, kind, message, details) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                happened,
            )

    def truncate(self, run: str, step: int) -> None:
        """Forget metrics and events after ``step``: a resumed run repeats them."""
        with self.database.write() as connection:
            for table in ("metrics", "events"):
                connection.execute(f"DELETE FROM {table} WHERE run = ? AND step > ?", (run, step))

    def resume(self, run: str, step: int) -> None:
        """The run goes on from ``step``: what came after it is forgotten, and an event tells."""
        self.truncate(run, step)
        with self.database.write() as connection:
            connection.execute(
                "UPDATE runs SET ended = 'running', reason = '' WHERE id = ?", (run,)
            )
        self.note(run, step, "resumed", f"resumed after step {step}")

    def note(
        self, run: str, step: int, kind: str, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        """Write down that something happened just now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.report(run, step, {}, [Event(step, now, kind, message, dict(details or {}))])

    def finish(
        self,
        run: str,
        ended: str,
        reason: str = "",
        *,
        seconds: float = 0.0,
        summary: Mapping[str, Any] | None = None,
    ) -> None:
        """Say how the run ended: "finished", "stopped" or "failed"."""
        with self.database.write() as connection:
            connection.execute(
                "UPDATE runs SET ended = ?, reason = ?, seconds = ?, summary = ? WHERE id = ?",
                (ended, reason, seconds, json.dumps(summary or {}), run),
            )
        self.note(run, self.run(run).steps, ended, reason or ended)

    def runs(self) -> RunList:
        """All runs, the oldest first."""
        with self.database.open() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS}, (SELECT coalesce(max(step), 0) FROM metrics "
                "WHERE run = runs.id) FROM runs ORDER BY created, id"
            ).fetchall()
        return RunList(tuple(self._record(row) for row in rows), str(self.folder))

    def run(self, name: str) -> RunRecord:
        """The run with this identifier or this beginning of one; ``"last"`` is the newest.

        Raises:
            RunError: there is none, or more than one.
        """
        records = self.runs().runs
        if not records:
            raise RunError(f"no runs are kept in '{self.folder}': chainrule train makes the first")
        if name == "last":
            return records[-1]
        found = [record for record in records if record.id.startswith(name) and name]
        exact = [record for record in found if record.id == name]
        if len(found) == 1 or exact:
            return (exact or found)[0]
        if found:
            names = ", ".join(record.id for record in found[:4])
            raise RunError(
                f"run '{name}' is the beginning of {len(found)} runs ({names}): say more"
            )
        near = suggestion(name, [record.id for record in records])
        raise RunError(
            f"run '{name}' is not in '{self.folder}'{near or '; chainrule runs lists what is'}"
        )

    def metrics(self, run: str, prefix: str = "") -> dict[str, tuple[tuple[int, float], ...]]:
        """Series by name, ``((step, value), ...)`` in the order of the steps.

        Args:
            run: identifier, its beginning, or "last".
            prefix: only series whose names begin so ("validation/").
        """
        identifier = self.run(run).id
        series: dict[str, list[tuple[int, float]]] = {}
        with self.database.open() as connection:
            for name, step, value in connection.execute(
                "SELECT name, step, value FROM metrics WHERE run = ? ORDER BY name, step",
                (identifier,),
            ):
                if name.startswith(prefix):
                    series.setdefault(name, []).append((step, math.nan if value is None else value))
        return {name: tuple(points) for name, points in series.items()}

    def events(self, run: str) -> tuple[Event, ...]:
        """What happened in a run, in order."""
        identifier = self.run(run).id
        with self.database.open() as connection:
            rows = connection.execute(
                "SELECT step, time, kind, message, details FROM events WHERE run = ? "
                "ORDER BY number",
                (identifier,),
            ).fetchall()
        return tuple(
            Event(step, time, kind, message, json.loads(details))
            for step, time, kind, message, details in rows
        )

    def last_message(self, run: str, kind: str) -> str:
        """The message of the run's last event of this kind, "" when there was none."""
        found = [event.message for event in self.events(run) if event.kind == kind]
        return found[-1] if found else ""

    def remove(self, run: str) -> None:
        """Remove a run and its folder.

        Raises:
            RunError: it is being trained.
        """
        record = self.run(run)
        if record.ended == "running":
            raise RunError(f"run '{record.id}' is being trained: stop it before removing it")
        with self.database.write() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (record.id,))
        shutil.rmtree(self.path(record.id), ignore_errors=True)

    def path(self, run: str) -> Path:
        """The folder of the run with this identifier."""
        return self.folder / run

    def hold(self, run: str) -> AbstractContextManager[None]:
        """Context that says "this run is being trained"; the system ends it with the process."""
        return hold(self.path(run) / "lock", run)

    def _record(self, row: tuple[Any, ...]) -> RunRecord:
        names = [*_COLUMNS.split(", "), "steps"]
        values = dict(zip(names, row, strict=True))
        for name in _JSON:
            values[name] = json.loads(values[name])
        path = self.path(values["id"])
        if values["ended"] == "running" and not is_held(path / "lock"):
            values["ended"], values["reason"] = "lost", "its process is gone"
        return RunRecord(**values, folder=str(path))
