"""Crew: starts stages, forks replays from them, hears what they have to say, and ends them all."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Listener, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chainrule.diagnosis.replaying import surroundings
from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.replaying.company import Company
from chainrule.diagnosis.replaying.forked import Forked
from chainrule.diagnosis.replaying.messages import (
    SCOUT,
    Outcome,
    ReplayJob,
    StageJob,
    receive,
    send,
)
from chainrule.diagnosis.replaying.stage import KEY, Stage, Wire
from chainrule.diagnosis.script import Script
from chainrule.errors import ScriptError

_LONGEST = 90  # bytes of a folder's path that a socket can lie in
Judge = Callable[[Outcome], bool]


@dataclass
class _Running:
    outcome: Outcome
    connection: Connection | None = None
    pid: int = 0
    begun: float = field(default_factory=time.perf_counter)


class Crew:
    """All processes of a diagnosis.

    Args:
        script: what is diagnosed; None with ``recipe``.
        recipe: of one of our own runs.
        jobs: processes at work at the same time.
        deadline: after this time (``time.perf_counter``) everything is stopped.
        program: a function that trains, in place of a script; it is run in forks of this process.
    """

    def __init__(
        self,
        script: Script | None,
        *,
        recipe: dict[str, Any] | None = None,
        jobs: int = 2,
        deadline: float = float("inf"),
        program: Callable[[], None] | None = None,
    ) -> None:
        self.script, self.recipe, self.jobs = script, recipe, jobs
        self.deadline, self.program, self.forks = deadline, program, True
        self.companies: dict[tuple[Any, ...], Company] = {}
        self.scratch = Path(tempfile.mkdtemp(prefix="chainrule-"))
        self._key = secrets.token_bytes(16)
        self._wires = _short_folder(self.scratch)
        self._address = str(self._wires / "wire")
        self._listener = Listener(self._address, "AF_UNIX", authkey=self._key)
        self._running: dict[int, _Running] = {}
        self._waiting: list[tuple[tuple[Any, ...], ReplayJob]] = []
        self._judge: Judge = lambda _outcome: True
        self._number = 0
        self._done: list[Outcome] = []
        self.notes: list[str] = []
        self.heard: Callable[[Outcome, Any], None] = lambda _outcome, _message: None

    # -- begin and end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove what they wrote."""
        for company in self.companies.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(company.process.pid, signal.SIGKILL)
            company.process.wait()
        self._listener.close()
        shutil.rmtree(self._wires, ignore_errors=True)
        shutil.rmtree(self.scratch, ignore_errors=True)

    # -- stages

    def stage(
        self, seed: int = 0, changes: tuple[Change, ...] = (), source: str | None = None
    ) -> tuple[Any, ...]:
        """The key of a stage; the process is started if there is none yet."""
        key = (seed, changes, source)
        if key not in self.companies:
            number = len(self.companies)
            job = StageJob(
                number, self.script, str(self.scratch), self.recipe, seed=seed, source=source,
                changes=changes,
            )  # fmt: skip
            self.companies[key] = Company(job, self._start(job))
        return key

    def _start(self, job: StageJob) -> Any:
        if self.program is not None:
            return Forked(lambda: self._in_fork(job))
        environment = os.environ | surroundings.ENVIRONMENT | {KEY: self._key.hex()}
        with (self.scratch / "errors.log").open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "chainrule.diagnosis.replaying.stage", self._address],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                env=environment, start_new_session=True,
            )  # fmt: skip

    def _in_fork(self, job: StageJob) -> None:
        """In a fork of this process: take part as a process of its own would."""
        os.setsid()
        wire = Wire(self._address, self._key)
        wire.send(("stage", os.getpid()))
        sent: StageJob = wire.receive()
        job = dataclasses.replace(sent, program=self.program)
        Stage(job, self._address, self._key, wire).run()

    def ready(self, keys: Iterable[tuple[Any, ...]], seconds: float) -> None:
        """Wait until stages are ready (or cannot be), at most so long."""
        keys = list(keys)
        until = min(time.perf_counter() + seconds, self.deadline)
        while time.perf_counter() < until:
            if all(self.companies[key].state in ("ready", "untrained", "lost") for key in keys):
                return
            self._turn(until)

    # -- replays

    def plan(self, key: tuple[Any, ...], job: ReplayJob) -> ReplayJob:
        """Put a replay on the list; it is run by ``run``."""
        self._number += 1
        job = dataclasses.replace(job, number=self._number)
        self._waiting.append((key, job))
        return job

    def run(self, judge: Judge | None = None, until: Callable[[], bool] = lambda: False) -> (
        list[Outcome]
    ):  # fmt: skip
        """Run all that is planned; gives what has ended since the last call.

        Args:
            judge: outcome so far -> whether a replay should go on; asked at each reading.
            until: asked now and then; True leaves what still runs to the next call.
        """
        self._judge = judge or (lambda _outcome: True)
        while (self._waiting or self._running) and time.perf_counter() < self.deadline:
            self._turn(self.deadline)
            if until():
                break
        if time.perf_counter() >= self.deadline:
            self._waiting.clear()
            for number in list(self._running):
                self._stop(number, "seconds")
        done, self._done = self._done, []
        return done

    def drop(self, keep: Callable[[ReplayJob], bool] = lambda _job: False) -> None:
        """Take replays off the list, and stop those that run."""
        self._waiting = [item for item in self._waiting if keep(item[1])]
        for number, running in list(self._running.items()):
            if not keep(running.outcome.job):
                self._stop(number, "stopped")

    @property
    def busy(self) -> int:
        """Replays that run."""
        return len(self._running)

    def so_far(self, number: int) -> Outcome | None:
        """What a replay that runs has shown; None where it does not run."""
        running = self._running.get(number)
        return None if running is None else running.outcome

    def has_ended(self, number: int) -> bool:
        """Whether a replay has ended since the last call of ``run``."""
        return any(outcome.job.number == number for outcome in self._done)

    def hear(self, until: float) -> None:
        """Hear once what there is to be heard, or wait a moment."""
        self._turn(until)

    # -- the loop

    def _turn(self, until: float) -> None:
        """Start what can be started, and hear once."""
        self._begin_some()
        self._check_stages()
        connections: list[Any] = [self._listener._listener._socket]  # type: ignore[attr-defined]
        owners: dict[int, Any] = {}
        for company in self.companies.values():
            if company.connection is not None:
                connections.append(company.connection)
                owners[id(company.connection)] = company
        for running in self._running.values():
            if running.connection is not None:
                connections.append(running.connection)
                owners[id(running.connection)] = running
        timeout = max(0.0, min(0.2, until - time.perf_counter()))
        for ready in wait(connections, timeout):
            if ready is connections[0]:
                self._accept()
            else:
                self._hear(owners[id(ready)], ready)  # type: ignore[arg-type]

    def _begin_some(self) -> None:
        for item in list(self._waiting):
            if len(self._running) >= self.jobs:
                return
            key, job = item
            company = self.companies[key]
            if company.state in ("untrained", "lost"):
                self._waiting.remove(item)
                self._done.append(
                    Outcome(job, company.job.number, ended="lost", error=company.error)
                )
            elif company.state == "ready":
                self._waiting.remove(item)
                self._fork(company, job)

    def _fork(self, company: Company, job: ReplayJob) -> None:
        if company.scouted is not None and job.role != SCOUT and not job.yardstick:
            job = dataclasses.replace(job, yardstick=company.scouted.file)
        if not self.forks:
            job = dataclasses.replace(job, late=())
        self._expect(job, company)
        if self.forks:
            self._order(company, ("fork", job))
        else:
            self._again(company, job)

    def _expect(self, job: ReplayJob, company: Company) -> None:
        """A replay has been ordered."""
        self._running[job.number] = _Running(Outcome(job, company.job.number))

    def _arrived(self, number: int, outcome: Outcome) -> None:
        """A replay has come to its end elsewhere."""
        running = self._running.pop(number, None)
        if running is not None:
            running.outcome = outcome
            self._finished(running)
            self.heard(outcome, ("done", {}))

    def alone(self, stage: StageJob, job: ReplayJob) -> Outcome:
        """Run the script for one replay in this crew, and wait for it."""
        own = dataclasses.replace(stage, scratch=str(self.scratch), once=job)
        company = Company(own, self._start(own))
        self.companies["once", job.number] = company
        self._expect(job, company)
        while job.number in self._running:
            self._turn(float("inf"))
            if company.state == "lost":
                self._end_lost(job.number)
        return self._done[0]

    def _again(self, company: Company, job: ReplayJob) -> None:
        """Run the script again for one replay."""
        name = f"once-{job.number}"
        stage = dataclasses.replace(company.job, once=job)
        process = self._start(stage)
        self.companies[name, job.number] = Company(stage, process)

    def _order(self, company: Company, order: tuple[Any, ...]) -> None:
        try:
            assert company.connection is not None
            send(company.connection, order)
        except (OSError, AssertionError):
            company.state, company.error = "lost", "the paused process has gone"

    def _check_stages(self) -> None:
        for company in self.companies.values():
            if company.state == "starting" and company.process.poll() is not None:
                company.state = "lost"
                company.error = f"the script's process ended with code {company.process.returncode}"

    def _accept(self) -> None:
        connection = self._listener.accept()
        try:
            hello = receive(connection)
        except (EOFError, OSError):
            return
        if hello[0] == "stage":
            company = next(
                (item for item in self.companies.values() if item.process.pid == hello[1]), None
            )
            if company is None:
                connection.close()
                return
            company.connection = connection
            send(connection, company.job)
        elif hello[0] == "late":
            self._meet_copy(connection, *hello[1:])
        else:
            _, _stage, number, pid = hello
            running = self._running.get(number)
            if running is None:  # stopped in the meantime
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                connection.close()
                return
            running.connection, running.pid = connection, pid

    def _meet_copy(self, connection: Connection, stage: int, step: int, pid: int) -> None:
        """The baseline has left a paused copy of itself."""
        main = self._company(stage)
        copy = dataclasses.replace(main, connection=connection, state="ready", pid=pid, late=step)
        self.companies["late", stage, step] = copy

    def copy_before(self, step: int) -> tuple[Any, ...] | None:
        """The key of the last copy that the baseline has left before a step."""
        found = [
            (company.late, key) for key, company in self.companies.items()
            if 0 < company.late <= step and company.state == "ready"
        ]  # fmt: skip
        return max(found)[1] if found else None

    def _hear(self, owner: Any, connection: Connection) -> None:
        try:
            message = receive(connection)
        except (EOFError, OSError):
            self._lost(owner)
            return
        if isinstance(owner, Company) and owner.job.once is None:
            self._of_stage(owner, message)
        elif isinstance(owner, Company):
            assert owner.job.once is not None
            number = owner.job.once.number
            if number in self._running:
                self._of_replay(self._running[number], message)
        else:
            self._of_replay(owner, message)

    def _lost(self, owner: Any) -> None:
        if isinstance(owner, Company):
            owner.connection = None
            if owner.job.once is not None:
                self._end_lost(owner.job.once.number)
            elif owner.state != "untrained" and self.forks:
                owner.state = "lost"
                owner.error = owner.error or "the script's process ended without a word"
                self._end_unborn(owner)
            return
        self._end_lost(owner.outcome.job.number)

    def _end_unborn(self, company: Company) -> None:
        """Forks that were ordered of a process that is gone will not come."""
        for number, running in list(self._running.items()):
            if running.connection is None and running.outcome.stage == company.job.number:
                self._end_lost(number)

    def _end_lost(self, number: int) -> None:
        running = self._running.pop(number, None)
        if running is not None:
            running.outcome.ended = "lost"
            self._finished(running)

    def _of_stage(self, company: Company, message: tuple[Any, ...]) -> None:
        kind = message[0]
        if kind == "paused":
            company.calls, company.pid, company.notes = message[1], message[2], tuple(message[3])
            company.seconds = time.perf_counter() - company.begun
            company.state = "paused"
            self._may_fork(company, message[4])
            self._scout(company)
        elif kind == "untrained":
            company.state, company.calls = "untrained", message[1]
            company.error, company.place = message[2], message[3]

    def _may_fork(self, company: Company, allowed: bool) -> None:
        if allowed or self.program is not None:
            return
        self.forks = False
        note = "the script is run again for each replay: forks are refused, or a GPU is in use"
        if note not in self.notes:
            self.notes.append(note)
        self._order(company, ("quit",))

    def _scout(self, company: Company) -> None:
        company.state = "scouting"
        self._number += 1
        seconds = max(1.0, min(4.0, 0.04 * (self.deadline - time.perf_counter())))
        brief = company.job.seed > 0 and company.job.source is None
        known = next((item.scouted for item in self.companies.values() if item.scouted), None)
        evaluation = known is not None and known.held > 0
        job = ReplayJob(self._number, SCOUT, seconds=seconds, brief=brief, evaluation=evaluation)
        self._running[job.number] = _Running(Outcome(job, company.job.number))
        if self.forks:
            self._order(company, ("fork", job))
        else:
            self._again(company, job)

    def _of_replay(self, running: _Running, message: tuple[Any, ...]) -> None:
        outcome, kind = running.outcome, message[0]
        if kind == "reading":
            outcome.readings.append(message[1])
            outcome.steps = max(outcome.steps, message[1].step)
            if not self._judge(outcome):
                self._stop(outcome.job.number, "stopped")
        elif kind == "scouted":
            self._scouted(outcome, message[1])
        elif kind == "start":
            self._company(outcome.stage).start = message[1]
        elif kind == "note":
            self.notes.append(message[1])
        elif kind == "untrained":
            outcome.ended, outcome.error = "lost", message[2]
            self._running.pop(outcome.job.number, None)
            self._finished(running)
        elif kind == "done":
            done = message[1]
            outcome.ended, outcome.steps = done["ended"], done["steps"]
            outcome.error, outcome.place = done["error"], done["place"]
            outcome.totals, outcome.payload = done["totals"], done["payload"]
            outcome.seconds = done["seconds"]
            self._running.pop(outcome.job.number, None)
            self._finished(running)
        self.heard(outcome, message)

    def _scouted(self, outcome: Outcome, found: Any) -> None:
        company = self._company(outcome.stage)
        company.scouted = found
        if self.forks:
            self._order(company, ("yardstick", found.file))
        company.state = "ready"

    def _company(self, number: int) -> Company:
        return next(
            item for item in self.companies.values()
            if item.job.number == number and item.job.once is None and not item.late
        )  # fmt: skip

    def _finished(self, running: _Running) -> None:
        outcome = running.outcome
        if running.connection is not None:
            running.connection.close()
        if outcome.job.role == SCOUT:
            company = self._company(outcome.stage)
            if company.scouted is None:
                company.state, company.error = "lost", outcome.error or "the scout was lost"
            return
        outcome.seconds = outcome.seconds or time.perf_counter() - running.begun
        self._done.append(outcome)

    def _stop(self, number: int, why: str) -> None:
        running = self._running.pop(number, None)
        if running is None:
            return
        if running.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGKILL)
        for company in self.companies.values():
            if company.job.once is not None and company.job.once.number == number:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(company.process.pid, signal.SIGKILL)
        running.outcome.ended = why
        self._finished(running)


def _short_folder(scratch: Path) -> Path:
    """A folder whose path is short enough for a Unix socket in it (about 100 bytes)."""
    if len(os.fsencode(scratch)) < _LONGEST:
        return scratch
    return Path(tempfile.mkdtemp(prefix="chainrule-", dir="/tmp"))


def check_jobs(jobs: int | None) -> int:
    """How many processes to run at the same time: as many as there are cores to run on."""
    if jobs is None:
        return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    if jobs < 1:
        raise ScriptError(f"jobs got {jobs}, wants a number of processes, at least 1")
    return jobs
