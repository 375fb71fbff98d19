"""Learning curves of real small trainings: what is wrong, what is flat, and when to stop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from torch import nn

from chainrule.study.lesson import accuracy_of, digits, fit, loss_of, net
from chainrule.study.picture import Panel, Picture, curve
from chainrule.study.practice.families import early_stopping, flat_losses
from chainrule.study.practice.families.drawing import row, shown
from chainrule.study.practice.question import Draft, Family, Option

_STEPS, _EVERY, _BATCH = 60, 10, 64
_LEARNED = 0.86  # of the held-back digits; what is healthy gets there in so few steps


@dataclass(frozen=True)
class _Setup:
    """A small training on digits."""

    rate: float = 0.2
    penalty: float = 0.0
    examples: int | None = None
    hidden: int = 64
    seed: int = 0


@dataclass(frozen=True)
class _Curves:
    """What is seen of a training, every tenth step; losses in nats."""

    data: tuple[float, ...]
    full: tuple[float, ...]
    held: tuple[float, ...]
    accuracy: float
    held_accuracy: float


@lru_cache(maxsize=512)
def _curves(setup: _Setup) -> _Curves:
    module = net(f"FC-{setup.hidden}, RELU, FC-10", setup.seed)
    material, held = digits(setup.examples, setup.seed), []

    def look(step: int, module: nn.Module) -> None:
        if step % _EVERY == 0:
            held.append(loss_of(module, material.held_inputs, material.held_targets))

    found = fit(
        module, material, steps=_STEPS, seed=setup.seed, batch=_BATCH, rate=setup.rate,
        weight_decay=setup.penalty, watch=look,
    )  # fmt: skip
    return _Curves(
        _means(found.data_losses), _means(found.losses), tuple(round(item, 3) for item in held),
        round(accuracy_of(module, material.inputs, material.targets), 3),
        round(accuracy_of(module, material.held_inputs, material.held_targets), 3),
    )  # fmt: skip


def _means(losses: list[float]) -> tuple[float, ...]:
    """Means over ten steps each."""
    starts = range(0, len(losses), _EVERY)
    return tuple(round(sum(losses[start : start + _EVERY]) / _EVERY, 3) for start in starts)


@dataclass(frozen=True)
class _Fault:
    """What may be wrong, and the one change that would put it right."""

    text: str
    planted: tuple[_Setup, ...]

    def cured(self, setup: _Setup) -> _Setup:
        """The same training with the cure of this fault alone."""
        return {
            "low": replace(setup, rate=100 * setup.rate),
            "high": replace(setup, rate=setup.rate / 40),
            "few": replace(setup, examples=None),
            "penalty": replace(setup, penalty=0.0),
            "none": setup,
        }[_key(self)]


_FAULTS = {
    "low": _Fault("the learning rate is too low", (
        _Setup(0.001), _Setup(0.002, seed=1), _Setup(0.0015, hidden=32, seed=2))),
    "high": _Fault("the learning rate is too high", (
        _Setup(8.0), _Setup(10.0, seed=1), _Setup(12.0, hidden=32, seed=2))),
    "few": _Fault("it overfits: there are too few examples", (
        _Setup(examples=25), _Setup(examples=20, seed=1), _Setup(examples=30, hidden=32, seed=2))),
    "penalty": _Fault("the penalty on the weights is too strong", (
        _Setup(penalty=1.0), _Setup(penalty=0.8, seed=1), _Setup(penalty=1.2, hidden=32, seed=2))),
    "none": _Fault("nothing: the training is healthy", (
        _Setup(), _Setup(0.25, seed=1), _Setup(0.3, hidden=32, seed=2))),
}  # fmt: skip


def _key(fault: _Fault) -> str:
    return next(key for key, item in _FAULTS.items() if item.text == fault.text)


def _named(drawn: Random, level: int) -> Draft:
    """Level 1 gives four options and all curves; level 2 all five, and fewer numbers."""
    key = drawn.choice(tuple(_FAULTS))
    setup = drawn.choice(_FAULTS[key].planted)
    others = drawn.sample([name for name in _FAULTS if name != key], 3 if level == 1 else 4)
    names = [key, *others]
    seen = _curves(setup)
    places = sorted(drawn.sample(range(len(seen.full)), 5)) if level == 2 else list(
        range(len(seen.full)))  # fmt: skip
    return Draft(
        text=_told(seen, [10 * place + 10 for place in places], places),
        conventions=("the full loss is data loss plus penalty; softmax loss, ten balanced classes",
                     "losses of training are means over the ten steps up to the named one"),
        options=tuple(
            Option(_FAULTS[name].text, name == key, _judged(setup, seen, name)) for name in names
        ),
        proved=tuple(_cures(setup, name) for name in names),
        way="training again with each remedy alone",
        solution=(
            f"training ends with {100 * seen.accuracy:.3g} % right on its own examples and "
            f"{100 * seen.held_accuracy:.3g} % on validation examples",
            f"full loss from {shown(seen.full[0])} to {shown(seen.full[-1])}, of it data loss from "
            f"{shown(seen.data[0])} to {shown(seen.data[-1])} (ln 10 = 2.303 is chance)",
            _FAULTS[key].text,
        ),
        experiment="overfitting-cures" if key == "few" else "learning-rate-curves",
        figure=_picture(seen),
    )  # fmt: skip


def _told(seen: _Curves, steps: list[int], places: list[int]) -> str:
    data = row([seen.data[place] for place in places])
    full = row([seen.full[place] for place in places])
    same = full == data
    return (
        f"A network learns to tell ten digits by SGD. At steps {row(steps)} its training data loss "
        f"is `{data}`" + (" (no penalty)" if same else f", its full loss `{full}`")
        + f". At the end it is right on {100 * seen.accuracy:.3g} % of its training examples and "
        f"on {100 * seen.held_accuracy:.3g} % of the validation examples. What is wrong?"
    )  # fmt: skip


def _cures(setup: _Setup, name: str) -> bool:
    """Whether this remedy alone makes it learn, where it did not; "none": whether it did."""
    before = _curves(setup).held_accuracy >= _LEARNED
    if name == "none":
        return before
    return not before and _curves(_FAULTS[name].cured(setup)).held_accuracy >= _LEARNED


_REMEDIES = {
    "low": "a rate 100 times as large",
    "high": "a rate 40 times smaller",
    "few": "all 1,257 training examples",
    "penalty": "no penalty",
}


def _judged(setup: _Setup, seen: _Curves, name: str) -> str:
    if name == "none":
        return f"It is right on {100 * seen.held_accuracy:.3g} % of the validation examples."
    cured = _FAULTS[name].cured(setup)
    if cured == setup:
        return f"It was trained with {_REMEDIES[name]} already."
    after = 100 * _curves(cured).held_accuracy
    return f"With {_REMEDIES[name]} it is right on {after:.3g} % of the validation examples."


def _picture(seen: _Curves) -> Picture:
    steps = [_EVERY * (place + 1) for place in range(len(seen.full))]
    lines = (
        curve("training, full loss", seen.full, steps),
        curve("training, data loss", seen.data, steps, dashed=True),
        curve("validation", seen.held, [step - _EVERY for step in steps]),
    )
    words = f"Training loss {row(seen.full)}, validation loss {row(seen.held)}"
    panel = Panel("Loss", "step", "loss (nats)", lines, y_log=True,
                  marks=((2.303, "chance"),))  # fmt: skip
    return Picture("A training of digits", words, (panel,))


FAMILIES = (
    Family("name-the-curve", "learning-curves", "what is wrong with a training", (1, 2), _named),
    *early_stopping.FAMILIES,
    *flat_losses.FAMILIES,
)
