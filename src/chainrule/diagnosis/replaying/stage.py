"""Stage: a process that runs a script to its first training step, pauses, and is forked from there.

Run as ``python -m chainrule.diagnosis.replaying.stage ADDRESS``; the conductor sends the job.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chainrule.diagnosis.models import Cast
from chainrule.diagnosis.places import Place, place_of, user_frame
from chainrule.diagnosis.replaying import surroundings
from chainrule.diagnosis.replaying.forked import fork
from chainrule.diagnosis.replaying.live import Live
from chainrule.diagnosis.replaying.messages import (
    BASELINE,
    SCOUT,
    ReplayJob,
    StageJob,
    receive,
    send,
)
from chainrule.diagnosis.replaying.sandbox import Sandbox
from chainrule.diagnosis.replaying.yardstick import Yardstick
from chainrule.diagnosis.script import Ending, run_script, users_traceback
from chainrule.diagnosis.taps import Taps

KEY = "CHAINRULE_STAGE_KEY"


class Wire:
    """Pickled messages to and from the conductor; when it is gone, so is this process."""

    def __init__(self, address: str, key: bytes) -> None:
        self._connection = Client(address, authkey=key)

    def send(self, message: tuple[Any, ...]) -> None:
        try:
            send(self._connection, message)
        except (OSError, EOFError):
            os._exit(1)

    def receive(self) -> Any:
        try:
            return receive(self._connection)
        except (OSError, EOFError):
            os._exit(1)

    def close(self) -> None:
        self._connection.close()


class Gate:
    """Waits for the first training step, and pauses there.

    Args:
        stage: is told.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.cast = Cast()
        self.calls = 0
        self.live: Live | None = None
        self._inside = 0
        self._taps = Taps(self)

    def open(self) -> None:
        """Begin to wait."""
        self._taps.open()
        original = nn.Module.__call__

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self.live is None:
                self._called(module)
            if self.live is not None:
                return self.live.called(original, module, args, kwargs)
            self._inside += 1
            try:
                return original(module, *args, **kwargs)
            finally:
                self._inside -= 1

        nn.Module.__call__ = call  # type: ignore[method-assign]

    def _called(self, module: nn.Module) -> None:
        if self._inside or not torch.is_grad_enabled() or not _trains(module):
            return
        self.calls += 1
        self.stage.pause(self, module)

    def before_backward(self, tensors: Any) -> None:
        """A loop that calls no network: the pause is before its first ``backward``."""
        if self.live is None and not self.calls:
            self.stage.pause(self)

    def before_grad(self, outputs: Any, inputs: Any, higher: bool) -> bool:
        """As for ``backward``."""
        self.before_backward(outputs)
        return False

    def made(self, made: Any) -> None:
        """An optimizer, a schedule or a loader is being constructed."""
        self.cast.note_made(made)

    def assembled(self, child: nn.Module) -> None:
        """A module has become part of another."""
        self.cast.note_assembled(child)

    def after_backward(self) -> None:
        """Nothing to do."""

    def after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """An update before any pause."""

    def before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """An update before any pause."""

    def compiled(self, target: Any, result: Any) -> None:
        """Nothing is compiled here."""

    def switched(self) -> None:
        """A module was switched to training or evaluation."""

    def iterated(self, loader: Any) -> None:
        """A pass over a DataLoader begins."""
        self.cast.loader(loader).begin(loader)


def _trains(module: nn.Module) -> bool:
    """Whether it has weights; those without numbers are of a tracer."""
    return any(not item.is_meta for item in module.parameters())


class Stage:
    """One run of the script up to the pause, and the forks from there."""

    def __init__(self, job: StageJob, address: str, key: bytes, wire: Wire) -> None:
        self.job, self._address, self._key, self._wire = job, address, key, wire
        self.sandbox = Sandbox(job.scratch)
        self._yardsticks: dict[str, Yardstick] = {}
        self.notes: list[str] = []
        self._gate: Gate | None = None

    def run(self) -> None:
        """Run the script; never returns."""
        die_with_parent()
        self.notes = surroundings.settle(self.job.seed)
        surroundings.hush(str(Path(self.job.scratch) / f"stage-{self.job.number}.log"))
        self.sandbox.enter()
        for change in self.job.changes:
            change.set_up()
        gate = self._gate = Gate(self)
        gate.open()
        ending = self._program()
        with suppress(Exception):
            sys.stdout.flush()
        if gate.live is not None:
            self._ended(gate.live, ending)
        self._wire.send(("untrained", gate.calls, *told(ending)))
        os._exit(0)

    def _program(self) -> Ending:
        if self.job.program is not None:
            return run_program(self.job.program)
        if self.job.recipe is not None:
            from chainrule.diagnosis.replaying.own_run import train_again

            return train_again(self.job.recipe, Path(self.job.scratch))
        assert self.job.script is not None
        return run_script(self.job.script, source=self.job.source)

    @staticmethod
    def _ended(live: Live, ending: Ending) -> None:
        error, place = told(ending)
        live.finish("failed" if ending.error and error else "script", error, place)

    # -- the pause

    def pause(self, gate: Gate, module: nn.Module | None = None) -> None:
        """Wait for orders; comes back in a fork."""
        meet_optimizers(gate.cast, module)
        if self.job.once is not None:
            self._become(self.job.once, gate, self._wire)
            return
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self._wire.send(("paused", gate.calls, os.getpid(), self.notes, can_fork()))
        job, wire = self._serve(self._wire)
        signal.signal(signal.SIGCHLD, before)
        self._become(job, gate, wire)

    def _serve(self, wire: Wire) -> tuple[ReplayJob, Wire]:
        """Take orders; comes back in a fork, with its job."""
        while True:
            order = wire.receive()
            if order[0] == "fork":
                if fork() == 0:
                    die_with_parent()
                    wire.close()
                    job: ReplayJob = order[1]
                    own = Wire(self._address, self._key)
                    own.send(("replay", self.job.number, job.number, os.getpid()))
                    return job, own
            elif order[0] == "yardstick":
                self._yardstick(order[1])
            else:
                os._exit(0)

    def leave_copy(self, live: Live, quiet: Callable[[], None]) -> None:
        """Leave a paused copy of a run that goes on; comes back in both, and in forks of the copy.

        Args:
            live: the run.
            quiet: ends what watches it, in the copy.
        """
        assert self._gate is not None
        if fork():
            return
        quiet()
        wire = Wire(self._address, self._key)
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        wire.send(("late", self.job.number, live.step, os.getpid()))
        job, wire = self._serve(wire)
        signal.signal(signal.SIGCHLD, before)
        self._enter(job)
        live.restart(job, wire.send)

    def _become(self, job: ReplayJob, gate: Gate, wire: Wire) -> None:
        """From here on this process is the replay."""
        self._enter(job)
        yardstick = self._yardstick(job.yardstick) if job.yardstick else None
        live = Live(job, gate.cast, yardstick, wire.send)
        if job.role == SCOUT:
            from chainrule.diagnosis.replaying.roles import scouting

            scouting(live, job, self.job, wire.send)
        elif job.role == BASELINE:
            from chainrule.diagnosis.replaying.roles import watching

            watching(live, job, wire.send, self.leave_copy)
        gate.live = live
        live.open()

    def _enter(self, job: ReplayJob) -> None:
        """What is printed and written from here on is the replay's own."""
        log = Path(self.job.scratch) / f"replay-{self.job.number}-{job.number}.log"
        surroundings.hush(str(log))
        self.sandbox.layer(f"{self.job.number}-{job.number}")
        surroundings.reseed(job.reseed)

    def _yardstick(self, file: str) -> Yardstick:
        if file not in self._yardsticks:
            with open(file, "rb") as stream:  # noqa: PTH123 - the sandbox knows it
                self._yardsticks[file] = pickle.load(stream)
        return self._yardsticks[file]


def told(ending: Ending) -> tuple[str, Place | None]:
    """How a script ended, in one line, and the user's line where it broke down."""
    error = ending.error
    if error is None or isinstance(error, SystemExit):
        return "", None
    lines = str(error).splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    found = users_traceback(error.__traceback__)
    while found is not None and found.tb_next is not None:
        found = found.tb_next
    frame = None if found is None else user_frame(found.tb_frame)
    return text[:300], place_of(frame)


def meet_optimizers(cast: Cast, module: nn.Module | None) -> None:
    """Optimizers of a network that were made before anybody listened.

    Others that the process may have are none of its training.
    """
    if cast.rules:
        return
    own = None if module is None else {id(item) for item in module.parameters()}
    for item in gc.get_objects():
        if issubclass(type(item), torch.optim.Optimizer):  # no property of the object is asked
            held = {id(part) for group in item.param_groups for part in group["params"]}
            if own is None or own & held:
                cast.rule(item)


def run_program(program: Callable[[], None]) -> Ending:
    """Run a function as if it were a script."""
    try:
        program()
    except SystemExit as error:
        return Ending(0, error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        return Ending(1, error)
    return Ending(0)


def can_fork() -> bool:
    """Whether this process can be forked safely: not where an accelerator is in use."""
    refused = os.environ.get("CHAINRULE_FORK") == "0"
    return hasattr(os, "fork") and not refused and not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]


def die_with_parent() -> None:
    """On Linux: be killed when the parent process ends, whatever ends it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))


def main() -> None:
    """Take a job from the conductor."""
    address, key = sys.argv[1], bytes.fromhex(os.environ.pop(KEY))
    sys.argv = sys.argv[:1]
    wire = Wire(address, key)
    wire.send(("stage", os.getpid()))
    job: StageJob = wire.receive()
    Stage(job, address, key, wire).run()


if __name__ == "__main__":
    main()
