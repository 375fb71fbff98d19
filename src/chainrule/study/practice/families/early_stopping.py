"""Early stopping, on the validation losses of real trainings that overfit."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from random import Random

import numpy as np
from torch import nn

from chainrule.study.lesson import digits, fit, loss_of, net
from chainrule.study.picture import Panel, Picture, curve
from chainrule.study.practice.expected import Number
from chainrule.study.practice.families.drawing import mistaken, row, shown
from chainrule.study.practice.question import Draft, Family

_EXAMPLES, _BATCH, _EPOCHS, _SEEDS = 40, 8, 10, 200
_LONGEST_PATIENCE = 3


def _stopping(drawn: Random, level: int) -> Draft:
    """A validation loss that falls and rises again."""
    losses = _losses(drawn)
    best = losses.index(min(losses))
    told = f"The validation loss after each epoch of a real training is `{row(losses)}`."
    if level == 1:
        return _best_epoch(told, losses, best)
    patience = drawn.choice((2, 3))
    stop = _stops(losses, patience)
    return Draft(
        text=f"{told} Early stopping has a patience of {patience}. After which epoch does it stop?",
        conventions=("epochs are counted from 1",
                     f"it stops once {patience} epochs in a row bring no new lowest loss"),
        expected=Number(stop),
        proved=_stops_by_running_minimum(losses, patience),
        way="NumPy's running minimum",
        mistakes=mistaken(
            (best + 1, "gives the best epoch, not the one at which it is known"),
            (len(losses), "trains to the end"),
            (_rises(losses), "stops at the first rise"),
            (stop + 1, "waits one epoch too long"),
            (stop - 1, "stops one epoch too early"),
        ),
        solution=(
            f"the lowest loss until then comes after epoch {stop - patience}",
            f"{patience} epochs without a lower one: it stops after epoch {stop}",
        ),
        experiment="overfitting-cures",
        figure=_picture(losses),
    )  # fmt: skip


def _losses(drawn: Random) -> tuple[float, ...]:
    """Validation losses of a real training that overfits, with one lowest among them."""
    while True:
        losses = _trained(drawn.randrange(_SEEDS))
        best = losses.index(min(losses))
        late = _stops(losses, _LONGEST_PATIENCE) < _EPOCHS
        if losses.count(min(losses)) == 1 and 1 <= best <= 6 and late:
            return losses


@lru_cache(maxsize=_SEEDS)
def _trained(seed: int) -> tuple[float, ...]:
    """The loss on held-back digits after each epoch of a training on forty digits."""
    found: list[float] = []
    material = digits(_EXAMPLES, seed)
    per_epoch = _EXAMPLES // _BATCH

    def look(step: int, module: nn.Module) -> None:
        if step and step % per_epoch == 0:
            found.append(round(loss_of(module, material.held_inputs, material.held_targets), 2))

    fit(
        net("FC-64, RELU, FC-10", seed), material, steps=per_epoch * _EPOCHS + 1, seed=seed,
        batch=_BATCH, rate=0.05, update_rule="adam", watch=look,
    )  # fmt: skip
    return tuple(found)


def _stops(losses: tuple[float, ...], patience: int) -> int:
    """By counting epochs without improvement."""
    lowest, waited = float("inf"), 0
    for epoch, loss in enumerate(losses, 1):
        waited = 0 if loss < lowest else waited + 1
        lowest = min(lowest, loss)
        if waited == patience:
            return epoch
    return len(losses)


def _stops_by_running_minimum(losses: tuple[float, ...], patience: int) -> int:
    """The first epoch whose running minimum is that of ``patience`` epochs before."""
    lowest = np.minimum.accumulate(np.array(losses))
    waited = np.flatnonzero(lowest[patience:] == lowest[:-patience])
    return int(waited[0]) + patience + 1 if len(waited) else len(losses)


def _rises(losses: tuple[float, ...]) -> int:
    pairs = pairwise(losses)
    return next(epoch for epoch, (one, two) in enumerate(pairs, 2) if two > one)


def _best_epoch(told: str, losses: tuple[float, ...], best: int) -> Draft:
    return Draft(
        text=f"{told} After which epoch are the weights those to keep?",
        conventions=("epochs are counted from 1", "the lowest validation loss decides"),
        expected=Number(best + 1),
        proved=int(np.argsort(losses)[0]) + 1,
        way="sorting the losses with NumPy",
        mistakes=mistaken(
            (best, "counts from 0"),
            (len(losses), "keeps the last weights"),
            (_rises(losses), "stops at the first rise"),
            (1, "takes the largest loss"),
        ),
        solution=(
            f"the lowest loss is {shown(losses[best])}", f"it comes after epoch {best + 1}",
        ),
        experiment="overfitting-cures",
        figure=_picture(losses),
    )  # fmt: skip


def _picture(losses: tuple[float, ...]) -> Picture:
    panel = Panel("Validation", "epoch", "loss (nats)", (curve("", losses),))
    return Picture("A training on forty digits", f"Validation losses {row(losses)}", (panel,))


FAMILIES = (Family("early-stopping", "learning-curves", "when to stop", (1, 2), _stopping),)
