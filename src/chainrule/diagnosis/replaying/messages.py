"""Messages: what the processes of a diagnosis tell each other; all of it survives pickling."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.script import Script


def send(connection: Connection, message: Any) -> None:
    """Send a message; tensors in it by value (those of multiprocessing share their memory)."""
    connection.send_bytes(pickle.dumps(message))


def receive(connection: Connection) -> Any:
    """Take a message."""
    return pickle.loads(connection.recv_bytes())


SCOUT, BASELINE, REPLAY = "scout", "baseline", "replay"
IMPOSSIBLE = "impossible"  # how a replay ends whose change cannot act on this script


@dataclass(frozen=True)
class ReplayJob:
    """One run forked from the pause.

    Attributes:
        number: of the replay.
        role: "scout" (looks ahead), "baseline" (nothing changed, watched), "replay".
        changes: what is done differently.
        steps: after so many steps it ends; None: with the script.
        seconds: or after so many seconds.
        marks: steps after which the yardstick is laid on.
        reseed: added to the random state before the first step; 0 leaves it.
        yardstick: file that the scout has written; "" without one.
        watched: of a baseline: after so many steps it tells what was watched.
        brief: of a scout: whether minibatches are all that is wanted of it.
        evaluation: of a scout in a hurry: whether it has to see an evaluation, too.
        late: steps after which the baseline leaves a paused copy of itself.
    """

    number: int
    role: str
    changes: tuple[Change, ...] = ()
    steps: int | None = None
    seconds: float = 1e9
    marks: tuple[int, ...] = ()
    reseed: int = 0
    yardstick: str = ""
    watched: int = 0
    brief: bool = False
    evaluation: bool = False
    late: tuple[int, ...] = ()


@dataclass(frozen=True)
class StageJob:
    """A process that runs the script to its first training step and pauses there.

    Attributes:
        number: of the stage.
        script: what to run; None where ``recipe`` is given.
        recipe: of one of our own runs.
        program: a function to run in their place; for stages that are forked from this process.
        seed: is added to every seed that the script sets.
        source: text in place of the script's own.
        changes: what is done differently while the script sets itself up.
        scratch: folder for all that is written.
        once: run this replay without forking; None: pause and fork.
    """

    number: int
    script: Script | None
    scratch: str
    recipe: dict[str, Any] | None = None
    program: Callable[[], None] | None = None
    seed: int = 0
    source: str | None = None
    changes: tuple[Change, ...] = ()
    once: ReplayJob | None = None


@dataclass(frozen=True)
class Reading:
    """The yardstick at one step.

    Attributes:
        step: updates made.
        loss: the task's own loss per example (nats), or mean squared error / variance.
        error: share of wrong answers, the mean over classes; None where the task has no classes.
        skill: 1 for perfect, 0 for the constant predictor, negative below it.
        train: mean of the training loss since the reading before.
        held: skill on what the script itself evaluates on, in the mode that it does so.
    """

    step: int
    loss: float
    error: float | None
    skill: float
    train: float = float("nan")
    held: float = float("nan")


@dataclass
class Outcome:
    """What a replay has shown.

    Attributes:
        job: what was run.
        stage: number of the stage it was forked from.
        readings: of the yardstick, in order.
        totals: the numbers that ``backward`` was called on, by step.
        steps: updates made.
        seconds: of the replay.
        ended: "steps", "script" (it came to its end), "seconds", "stopped" (by us), "failed",
            "lost" (killed, or ended without a word), "impossible" (the change cannot act here),
            "running".
        error: of the script, in one line.
        payload: what scouts and baselines bring home.
        held: skill on data that was not trained on, at the last evaluation; None without one.
    """

    job: ReplayJob
    stage: int
    readings: list[Reading] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    ended: str = "running"
    error: str = ""
    place: Place | None = None
    payload: Any = None
    held: Any = None
