"""Company: a stage with what is known of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.messages import (
    StageJob,
)


@dataclass
class Company:
    """A stage with what is known of it.

    Attributes:
        job: what it was made for.
        state: "starting", "paused", "scouting", "ready", "untrained", "lost".
        scouted: what its scout brought home.
        start: what was found out about the untrained network.
        pid: of the paused process.
        late: steps that it has made, of a copy that the baseline has left.
    """

    job: StageJob
    process: Any
    connection: Connection | None = None
    state: str = "starting"
    scouted: Any = None
    start: Any = None
    pid: int = 0
    calls: int = 0
    error: str = ""
    place: Place | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    begun: float = field(default_factory=time.perf_counter)
    late: int = 0
