"""Own run: one of our own recorded runs, trained again from its recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from chainrule.diagnosis.script import Ending


def train_again(recipe: dict[str, Any], scratch: Path) -> Ending:
    """Train with a recipe; its record goes to the scratch folder."""
    from chainrule.training.recipe import make_recipe
    from chainrule.training.train import train

    try:
        train(recipe=make_recipe(recipe), runs=scratch / "runs")
    except SystemExit as error:
        return Ending(0, error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        sys.excepthook(type(error), error, error.__traceback__)
        return Ending(1, error)
    return Ending(0)
