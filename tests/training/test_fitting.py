"""A given memory decides the parts of a minibatch; what cannot be done is said in words."""

from __future__ import annotations

from pathlib import Path

import pytest

import chainrule
from chainrule.errors import RecipeError, ShapeError
from chainrule.training.data.load import load_data
from chainrule.training.fitting import fit
from chainrule.training.recipe import Recipe

PLAIN, WITH_NORM = "CONV3-8, RELU, POOL2, FC-10", "CONV3-8, BN, RELU, POOL2, FC-10"


def _fitted(memory: str, network: str = PLAIN, **values: object) -> Recipe:
    module = chainrule.network(network, input=(1, 8, 8), classes=10)
    recipe = Recipe(network=network, memory=memory, update_rule="adam", **values)
    return fit(recipe, module, load_data("digits", limit=80))


def test_the_parts_are_the_largest_that_fit() -> None:
    size = _fitted("200KB").micro_batch_size
    assert size is not None
    assert 1 < size < 64
    text = f"INPUT 8x8x1, {PLAIN}"
    described = [
        chainrule.describe(text, batch=batch).memory.training["adam"] for batch in (size, size + 1)
    ]
    assert described[0] <= 200_000 < described[1]


def test_a_memory_that_holds_the_minibatch_leaves_it_whole() -> None:
    assert _fitted("1GB").micro_batch_size is None
    text = f"INPUT 8x8x1, {PLAIN}"
    just = chainrule.describe(text, batch=64).memory.training["adam"]
    assert _fitted(f"{just}").micro_batch_size is None
    assert _fitted(f"{just - 1}").micro_batch_size == 63


@pytest.mark.parametrize(
    ("network", "memory", "error", "fragments"),
    [
        (PLAIN, "3KB", RecipeError, ["'3KB'", "1 example of", "describe"]),
        (WITH_NORM, "3KB", RecipeError, ["3 examples (batch normalization)"]),
        (PLAIN, "a lot", ShapeError, ["'a lot'", "24GB"]),
    ],
)
def test_too_little_is_refused(
    network: str, memory: str, error: type[Exception], fragments: list[str]
) -> None:
    with pytest.raises(error) as caught:
        _fitted(memory, network)
    for fragment in fragments:
        assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "fragment"),
    [
        ({"micro_batch_size": 2}, "micro_batch_size 2 is too small for batch normalization"),
        ({"micro_batch_size": 100}, "micro_batch_size 100 is more than batch_size 64"),
        ({"micro_batch_size": 8, "memory": "1GB"}, "memory decides micro_batch_size"),
        ({"precise": True, "precision": "bfloat16"}, "precise contradicts bfloat16"),
    ],
)
def test_settings_that_cannot_be_meant(
    tmp_path: Path, settings: dict[str, object], fragment: str
) -> None:
    with pytest.raises(RecipeError, match=fragment):
        chainrule.train(WITH_NORM, "digits", runs=tmp_path, limit=80, epochs=1, **settings)


def test_batch_statistics_of_one_example_are_refused_where_there_are_none(tmp_path: Path) -> None:
    settings = {"runs": tmp_path, "limit": 30, "epochs": 1, "batch_size": 1}
    with pytest.raises(RecipeError, match="batch_size 1 leaves batch normalization"):
        chainrule.train("FC-8, BN, FC-10", "digits", **settings)
    assert not list(tmp_path.iterdir())
    assert chainrule.train(WITH_NORM, "digits", **settings).steps > 0  # over places there are
