"""Phases: where the time of a training step goes, and a trace of some steps on request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from chainrule.answer import Answer
from chainrule.errors import RunError

PHASES = ("data", "forward", "backward", "update", "recording")
TRACE = "trace.json"
_WARM, _TIMED, _TRACED = 5, 50, 5
_OPERATIONS = 8


@dataclass(frozen=True)
class OperationTime(Answer):
    """One PyTorch operation in the traced steps.

    Attributes:
        name: its name in PyTorch ("aten::convolution_backward").
        calls: calls per step.
        seconds: time in itself, not in what it calls, per step (s).
    """

    name: str
    calls: float
    seconds: float


@dataclass(frozen=True)
class StepProfile(Answer):
    """Where the time of a training step goes.

    Attributes:
        steps: number of steps timed (after five to warm up); validation stands apart.
        seconds: mean wall time of a step (s).
        phases: mean seconds per step by phase: "data" (minibatch made), "forward" (scores and
            loss), "backward", "update", "recording" (metrics and checkpoints). What is left of
            ``seconds`` is Python between them.
        operations: what took most time in the traced steps; tracing makes them slower.
        trace: file for chrome://tracing or ui.perfetto.dev.
    """

    steps: int
    seconds: float
    phases: dict[str, float]
    operations: tuple[OperationTime, ...]
    trace: str

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StepProfile:
        """The profile that ``to_dict`` wrote."""
        operations = tuple(OperationTime(**item) for item in values["operations"])
        return cls(**{**values, "operations": operations})


class Phases:
    """Told of every phase of every step; does nothing."""

    def phase(self, name: str) -> AbstractContextManager[Any]:
        """Context of one phase of a step."""
        return nullcontext()

    def stepped(self) -> None:
        """A step has ended."""

    def paused(self) -> AbstractContextManager[Any]:
        """Context of what is no part of a step (validation)."""
        return nullcontext()

    def found(self) -> StepProfile | None:
        """What was found, when there were enough steps."""
        return None


class Profiler(Phases):
    """Times the phases of fifty steps, then traces five more (fewer, where an epoch ends).

    A timed phase waits for an accelerator, which a step otherwise does not.

    Args:
        folder: where the trace is written.
        device: trained on.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.file, self.device = folder / TRACE, device
        self._step, self._seconds = 0, dict.fromkeys(PHASES, 0.0)
        self._begun = self._total = 0.0
        self._trace: profile | None = None
        self._operations: tuple[OperationTime, ...] = ()

    def phase(self, name: str) -> AbstractContextManager[Any]:
        """Context of one phase: timed, then labelled in the trace."""
        if self._timing:
            return self._timed(name)
        return record_function(f"chainrule::{name}") if self._trace is not None else nullcontext()

    def stepped(self) -> None:
        """Begin or end timing or tracing when it is time to."""
        self._step += 1
        if self._step == _WARM:
            self._begun = self._now()
        elif self._step == _WARM + _TIMED:
            self._total = self._now() - self._begun
            self._trace = profile(activities=self._activities())
            self._trace.start()
        elif self._trace is not None and self._step == _WARM + _TIMED + _TRACED:
            self._end_trace(_TRACED)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Context that no phase and no total counts; a trace ends before it."""
        if self._trace is not None:
            self._end_trace(self._step + 1 - _WARM - _TIMED)
        begun, before = self._now(), dict(self._seconds)
        yield
        self._begun += self._now() - begun
        self._seconds = before

    def found(self) -> StepProfile | None:
        """What was found; None when the run was too short."""
        if self._trace is not None:
            self._end_trace(max(1, self._step - _WARM - _TIMED))
        if not self._operations:
            return None
        return StepProfile(
            steps=_TIMED,
            seconds=self._total / _TIMED,
            phases={name: seconds / _TIMED for name, seconds in self._seconds.items()},
            operations=self._operations,
            trace=str(self.file),
        )

    @property
    def _timing(self) -> bool:
        return _WARM <= self._step < _WARM + _TIMED

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begun = self._now()
        yield
        self._seconds[name] += self._now() - begun

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _activities(self) -> list[ProfilerActivity]:
        cuda = [ProfilerActivity.CUDA] if self.device.type == "cuda" else []
        return [ProfilerActivity.CPU, *cuda]

    def _end_trace(self, steps: int) -> None:
        trace, self._trace = self._trace, None
        assert trace is not None
        trace.stop()
        key = "self_cpu_time_total" if self.device.type == "cpu" else "self_device_time_total"
        events = [
            event
            for event in trace.key_averages()
            if not event.key.startswith(("chainrule::", "ProfilerStep"))
        ]
        events.sort(key=lambda event: getattr(event, key), reverse=True)
        self._operations = tuple(
            OperationTime(event.key, event.count / steps, getattr(event, key) / steps / 1e6)
            for event in events[:_OPERATIONS]
        )
        self._write(trace)

    def _write(self, trace: profile) -> None:
        half = self.file.with_name(f".{self.file.name}")
        try:
            trace.export_chrome_trace(str(half))
            half.replace(self.file)
        except (OSError, RuntimeError) as error:
            half.unlink(missing_ok=True)
            raise RunError(
                f"trace '{self.file}' cannot be written: {error}; free some space"
            ) from None
