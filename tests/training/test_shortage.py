"""When memory runs out, the words name what fits, and what they name does fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import chainrule
from chainrule.errors import RecipeError
from chainrule.record.store import RunStore
from chainrule.training.choosing import SHORT_RUN, choose, expected_seconds
from chainrule.training.data.load import load_data
from chainrule.training.recipe import make_recipe
from chainrule.training.shortage import is_shortage

_WORDS = "CUDA out of memory. Tried to allocate 2.00 GiB.\nmore"


class _Holds(nn.Module):
    """A network on a device that holds the step of so many examples and no more."""

    def __init__(self, most: int, norm: bool = False) -> None:
        super().__init__()
        self.most, self.seen = most, 0
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        if norm:
            self.layers.append(nn.BatchNorm1d(10))

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen = max(self.seen, len(inputs)) if self.training else self.seen
        if self.training and len(inputs) > self.most:
            raise torch.OutOfMemoryError(_WORDS)
        return self.layers(inputs)


def _train(module: nn.Module, runs: Path, **settings: object) -> chainrule.TrainingResult:
    data = load_data("digits", limit=128)
    settings = {"epochs": 2, "batch_size": 64, "seed": 3} | settings
    return chainrule.train(module, data, runs=runs, **settings)


@pytest.mark.parametrize("most", [1, 17, 63])
def test_the_largest_that_fits_is_named_and_fits(most: int, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        _train(_Holds(most), tmp_path)
    said = str(caught.value)
    assert "does not hold a step of 64 examples (CUDA out of memory." in said
    assert "\n" not in said
    named = re.search(r"--micro-batch-size (\d+)", said)
    assert named is not None
    assert int(named[1]) == most
    _train(_Holds(most), tmp_path, micro_batch_size=most)
    failed, finished = RunStore(tmp_path).runs().runs
    assert (failed.ended, finished.ended) == ("failed", "finished")
    assert "micro-batch-size" in failed.reason


def test_parts_that_do_not_fit_either_are_halved_further(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"step of 20 examples .*--micro-batch-size 7,"):
        _train(_Holds(7), tmp_path, micro_batch_size=20)


@pytest.mark.parametrize(("most", "norm", "least"), [(0, False, 1), (2, True, 3)])
def test_nothing_that_fits_is_said(most: int, norm: bool, least: int, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=f"nor of {least}: use a smaller network"):
        _train(_Holds(most, norm), tmp_path)


def test_memory_that_runs_out_in_the_update_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of the update rule is made in the first update, after a backward pass that fit."""

    def fails(optimizer: torch.optim.Adam, closure: object = None) -> None:
        raise torch.OutOfMemoryError(_WORDS)

    monkeypatch.setattr(torch.optim.Adam, "step", fails)
    with pytest.raises(RecipeError, match="nor of 1"):
        _train(_Holds(64), tmp_path)


def test_the_cpu_says_it_in_other_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_shortage(caught.value)
    assert not is_shortage(RuntimeError("shapes do not fit"))


def test_what_is_measured_before_a_run_leaves_the_words_to_its_first_step(tmp_path: Path) -> None:
    module, data = _Holds(20), load_data("digits")
    recipe = make_recipe({"loss": "softmax", "epochs": 10_000})
    assert expected_seconds(module, data, recipe) > SHORT_RUN
    assert choose(module, data, recipe).how == "no memory"


def test_other_errors_pass(tmp_path: Path) -> None:
    class Fails(_Holds):
        def forward(self, inputs: Tensor) -> Tensor:
            if self.training:
                raise RuntimeError("a fault of its own")
            return super().forward(inputs)

    with pytest.raises(RuntimeError, match="a fault of its own"):
        _train(Fails(64), tmp_path)
