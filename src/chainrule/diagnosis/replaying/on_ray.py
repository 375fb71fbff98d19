"""On Ray: replays as tasks on many cores or machines; the script is run again for each."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from chainrule.diagnosis.replaying.company import Company
from chainrule.diagnosis.replaying.crew import Crew
from chainrule.diagnosis.replaying.messages import SCOUT, Outcome, ReplayJob, StageJob
from chainrule.record.cluster import connected


class RayCrew(Crew):
    """A crew whose replays are Ray tasks; stages and scouts stay on this machine.

    The script and its data must be found under the same paths on every machine.

    Args:
        address: of a Ray cluster; "local" starts one here.
        options: those of ``Crew``.

    Raises:
        RecipeError: Ray is not installed, or there is no cluster at that address.
    """

    def __init__(self, *arguments: Any, address: str, **options: Any) -> None:
        self._ray = connected(address)
        self._remote = self._ray.remote(num_cpus=1, max_retries=0)(replay_alone)
        self._tasks: dict[Any, int] = {}
        self.failures: list[str] = []
        super().__init__(*arguments, **options)
        if "jobs" in options:
            self.jobs = max(self.jobs, int(self._ray.cluster_resources().get("CPU", 1)))

    def close(self) -> None:
        """End every task and process; the cluster is left as it is."""
        for task in self._tasks:
            self._ray.cancel(task, force=True)
        super().close()

    def _fork(self, company: Company, job: ReplayJob) -> None:
        if company.scouted is None or job.role == SCOUT:
            super()._fork(company, job)
            return
        yardstick = Path(company.scouted.file).read_bytes()
        job = dataclasses.replace(job, late=())
        self._expect(job, company)
        task = self._remote.remote(company.job, job, yardstick, str(Path.cwd()))
        self._tasks[task] = job.number

    def _turn(self, until: float) -> None:
        super()._turn(until)
        if not self._tasks:
            return
        done, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=0)
        for task in done:
            number = self._tasks.pop(task)
            try:
                self._arrived(number, self._ray.get(task))
            except Exception as error:  # noqa: BLE001 - a task may be lost in any way
                self.failures.append(str(error))
                self._end_lost(number)

    def _stop(self, number: int, why: str) -> None:
        for task, owner in list(self._tasks.items()):
            if owner == number:
                self._ray.cancel(task, force=True)
                del self._tasks[task]
        super()._stop(number, why)


def replay_alone(stage: StageJob, job: ReplayJob, yardstick: bytes, folder: str) -> Outcome:
    """Run the script for one replay, on whatever machine this is.

    Args:
        stage: what to run.
        job: the replay.
        yardstick: the file that the scout has written.
        folder: where the script expects to be run.
    """
    os.chdir(folder)
    with Crew(stage.script, recipe=stage.recipe, jobs=1) as crew:
        file = crew.scratch / "yardstick.pickle"
        file.write_bytes(yardstick)
        return crew.alone(stage, dataclasses.replace(job, yardstick=str(file)))
