"""One of the processes of a distributed test: trains as it is told and says how it went."""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor

import chainrule
from chainrule.training.observer import Observer


class Dies(Observer):
    """The first time, kills its process after a number of steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, data_loss: float) -> None:
        if step == self.step and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
            os._exit(9)


def held() -> int:
    """Bytes of all parameters that this process keeps."""
    parameters = [item for item in gc.get_objects() if isinstance(item, torch.nn.Parameter)]
    local = [item.to_local() if isinstance(item, DTensor) else item for item in parameters]
    storages = {item.untyped_storage().data_ptr(): item.untyped_storage() for item in local}
    return sum(storage.nbytes() for storage in storages.values())


def main() -> None:
    told = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    observer = Dies(told["dies"]) if "dies" in told else None
    result = chainrule.train(runs=told["runs"], observer=observer, **told["settings"])
    rank = os.environ.get("RANK", "0")
    found = {"curves": result.curves, "test_loss": result.test_loss, "run": result.run}
    found["held"] = held()
    Path(told["runs"], f"rank-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
