"""Grid: the settings of a sweep, read from text, every combination a validated recipe."""

from __future__ import annotations

import hashlib
import itertools
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.errors import RecipeError, suggestion
from chainrule.training.recipe import Recipe, make_recipe

MOST = 10_000


def read_axis(text: str) -> tuple[str, tuple[Any, ...]]:
    """A setting and its values from ``learning_rate=0.1,0.01``.

    Values are TOML (numbers, ``"quoted text, with commas"``, ``true``) or plain words.

    Raises:
        RecipeError: no ``=``, no value, or a value twice.

    Examples:
        >>> read_axis("learning_rate=0.1, 1e-3")
        ('learning_rate', (0.1, 0.001))
        >>> read_axis("update-rule=sgd,adam")
        ('update_rule', ('sgd', 'adam'))
    """
    name, given, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if not (given and values.strip()):
        raise RecipeError(f"grid got {text!r}, wants a setting and values: learning_rate=0.1,0.01")
    found = _values(values)
    if len({json.dumps(value) for value in found}) < len(found):
        raise RecipeError(f"grid {name} names a value twice in {values!r}")
    return name, found


def _values(text: str) -> tuple[Any, ...]:
    try:
        return tuple(tomllib.loads(f"values = [{text}]")["values"])
    except tomllib.TOMLDecodeError:
        return tuple(_value(word.strip()) for word in text.split(",") if word.strip())


def _value(word: str) -> Any:
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return word


@dataclass(frozen=True)
class Combination:
    """One point of a grid, with one seed.

    Attributes:
        number: its place in the sweep.
        settings: the values of the grid here.
        recipe: the whole recipe.
    """

    number: int
    settings: dict[str, Any]
    recipe: Recipe


@dataclass(frozen=True)
class Grid:
    """What a sweep goes through.

    Attributes:
        base: settings of every run.
        axes: values by setting.
        seeds: number of runs of each combination, with seeds counted up from that of ``base``.
    """

    base: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]
    seeds: int = 1

    @property
    def name(self) -> str:
        """A short name that is the same for the same grid."""
        what = {"base": dict(self.base), "axes": dict(self.axes), "seeds": self.seeds}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:8]

    def combinations(self) -> list[Combination]:
        """All of them, each validated before the first one runs.

        Raises:
            RecipeError: an unknown setting, a value it cannot have, or too many combinations.
        """
        self._refuse_nonsense()
        first = make_recipe(self.base).seed
        found: list[Combination] = []
        for values in itertools.product(*self.axes.values()):
            settings = dict(zip(self.axes, values, strict=True))
            for seed in range(first, first + self.seeds):
                recipe = make_recipe({**self.base, **settings, "seed": seed})
                found.append(Combination(len(found), settings, recipe))
        return found

    def _refuse_nonsense(self) -> None:
        if not self.axes:
            raise RecipeError("sweep has no grid: give --grid learning_rate=0.1,0.01")
        for name in self.axes:
            if name == "seed":
                raise RecipeError("grid seed: use --seeds 3, whose runs are averaged")
            if name not in Recipe.model_fields:
                near = suggestion(name, Recipe.model_fields)
                raise RecipeError(f"grid got the unknown setting {name!r}{near}")
        count = self.seeds
        for values in self.axes.values():
            count *= len(values)
        if not 1 <= count <= MOST:
            raise RecipeError(
                f"sweep has {count:,} runs, wants 1 to {MOST:,}: fewer values, or --seeds from 1"
            )
