"""Recipes: what is accepted, and what a wrong one makes the user read."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from chainrule.cli.app import main
from chainrule.cli.train import train_command
from chainrule.errors import RecipeError
from chainrule.training.recipe import Recipe, load_recipe, make_recipe

NOT_IN_RECIPE = {"profile", "recipe", "runs", "resume", "json_output", "quiet"}


def test_flags_of_the_command_line_are_the_fields_of_the_recipe() -> None:
    flags = set(inspect.signature(train_command).parameters) - NOT_IN_RECIPE
    assert flags == set(Recipe.model_fields)


def test_every_field_is_documented() -> None:
    text = inspect.getdoc(Recipe) or ""
    assert [name for name in Recipe.model_fields if f"    {name}: " not in text] == []


def test_a_recipe_survives_json() -> None:
    recipe = make_recipe({"augment": "crop=1,flip", "target": ["a", "b"], "epochs": 4})
    assert make_recipe(json.loads(json.dumps(recipe.plain()))) == recipe


@pytest.mark.parametrize(
    ("values", "fragments"),
    [
        ({"lerning_rate": 1}, ["unknown key 'lerning_rate'", "did you mean 'learning_rate'"]),
        ({"epochs": 0}, ["epochs", "got 0", "greater than 0"]),
        ({"epochs": "many"}, ["epochs", "'many'", "integer"]),
        ({"update_rule": "momentun"}, ["'momentun'", "sgd, momentum", "did you mean 'momentum'"]),
        ({"loss": "hinge"}, ["loss", "'hinge'", "softmax, svm, squared-hinge"]),
        ({"learning_rate": -1}, ["learning_rate", "-1", "greater than 0"]),
        ({"learning_rate": float("nan")}, ["learning_rate", "nan"]),
        ({"update_rule": "adam", "momentum": 0.9}, ["momentum 0.9 contradicts", "'adam'"]),
        ({"schedule": "cosine", "step_epochs": 3}, ["step_epochs", "'cosine'", "step"]),
        ({"clip_norm": 1, "clip_value": 1}, ["clip_norm and clip_value", "one of the two"]),
        ({"l1_ratio": 0.5}, ["l1_ratio", "'l2'", "elastic"]),
        ({"penalty": "l1"}, ["penalty 'l1'", "weight_decay"]),
        ({"penalty": "l1", "weight_decay": 1, "update_rule": "adamw"}, ["adamw", "use adam"]),
        ({"label_smoothing": 0.1, "loss": "svm"}, ["label_smoothing", "'svm'", "softmax"]),
        ({"early_stopping": 3, "validation_share": 0}, ["early_stopping", "validation_share"]),
        ({"warmup_epochs": 5, "epochs": 5}, ["warmup_epochs 5", "5 epochs", "lower it"]),
        ({"initialization": "hee"}, ["initialization", "'hee'", "kaiming"]),
        ({"initialization_std": 1}, ["initialization_std", "normal"]),
        ({"augment": "crop,flop"}, ["'flop'", "did you mean 'flip'"]),
        ({"device": "gpu"}, ["device", "'gpu'"]),
        ({"precise": True, "precision": "bfloat16"}, ["precise contradicts bfloat16"]),
        ({"precise": True, "compiled": True}, ["precise contradicts compiled"]),
        ({"memory": "1GB", "micro_batch_size": 8}, ["memory decides micro_batch_size"]),
        ({"sharded": True, "average_weights": 0.9}, ["sharded contradicts average_weights"]),
        (
            {"sharded": True, "max_norm": 3, "checkpoint_activations": True, "compiled": True},
            ["sharded contradicts max_norm, checkpoint_activations, compiled"],
        ),
        ({"sharded": True, "update_kernel": "fused"}, ["contradicts update_kernel fused"]),
        ({"sharded": True, "penalty": "l1", "weight_decay": 1}, ["contradicts penalty l1"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"epochs": 0, "batch_size": 0}, ["epochs got 0", "batch_size got 0"]),
    ],
)
def test_bad_values(values: dict[str, object], fragments: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        make_recipe(values)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


def test_recipe_files(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('epochs = 3\naugment = ["crop", "flip"]\n')
    assert make_recipe(load_recipe(path)).augment == ("crop", "flip")


@pytest.mark.parametrize(
    ("content", "fragment"),
    [(None, "No such file"), ("epochs = ", "not valid TOML"), ("[a]\nb = 1", "table [a]")],
)
def test_bad_recipe_files(tmp_path: Path, content: str | None, fragment: str) -> None:
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecipeError, match=r"recipe\.toml") as caught:
        load_recipe(path)
    assert fragment in str(caught.value)


@pytest.mark.parametrize("flag", ["--epochs", "--threads", "--learning-rate"])
def test_a_flag_of_zero_is_not_taken_for_none(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", flag, "0"])
    assert ended.value.code == 2
    assert f"{flag[2:].replace('-', '_')} got 0" in capsys.readouterr().err
