"""A sweep is its runs: each as if alone, compared by the validation part, none made twice."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import chainrule
from chainrule.cli.app import main
from chainrule.errors import RecipeError
from chainrule.record.store import RunStore
from chainrule.report.swept_picture import sweep_picture
from chainrule.training import sweep as sweeping
from chainrule.training.grid import Grid, read_axis
from chainrule.training.sweep import SweepStopped, sweep
from chainrule.training.sweep_worker import reached, work

BASE = {"network": "FC-10", "limit": 100, "epochs": 2, "batch_size": 20, "update_rule": "sgd"}


def _here(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Let jobs run in this process, and give a list of them."""
    done: list[dict[str, Any]] = []

    def process(job: dict[str, Any], _: list[bool]) -> dict[str, Any]:
        done.append(job)
        return work(job)

    monkeypatch.setattr(sweeping, "_process", process)
    return done


@pytest.mark.slow
def test_each_run_is_the_run_made_alone_and_seeds_are_averaged(tmp_path: Path) -> None:
    grid = Grid(BASE, {"learning_rate": [1e-5, 0.1]}, seeds=2)
    found = sweep(grid, runs=tmp_path / "swept", jobs=2)
    assert len(RunStore(tmp_path / "swept").runs().runs) == 4
    assert found.chosen_by == "validation_accuracy"
    means = [row.means["validation_accuracy"] for row in found.rows]
    assert means == sorted(means, reverse=True)
    assert found.rows[-1].settings["learning_rate"] == 1e-5
    for row in found.rows[:1]:
        alone = [
            chainrule.train(runs=tmp_path / "alone", **(BASE | row.settings), seed=seed)
            for seed in (0, 1)
        ]
        accuracies = [result.test_accuracy for result in alone]
        assert row.means["test_accuracy"] == pytest.approx(statistics.fmean(accuracies))
        assert row.spreads["test_accuracy"] == pytest.approx(statistics.stdev(accuracies))
        losses = [result.curves["validation/loss"][-1][1] for result in alone]
        assert row.means["validation_loss"] == pytest.approx(statistics.fmean(losses))


def test_what_is_done_is_not_done_again_and_what_failed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _here(monkeypatch)
    grid = Grid(BASE, {"learning_rate": [0.1, 1e38]})
    first = sweep(grid, runs=tmp_path)
    assert len(done) == 2
    assert first.rows[1].settings == {"learning_rate": 1e38}
    assert "the data loss is" in first.rows[1].failures[0]
    done.clear()
    again = sweep(grid, runs=tmp_path)
    assert [job["recipe"]["learning_rate"] for job in done] == [1e38]  # only what failed
    assert again.rows[0] == first.rows[0]
    done.clear()
    sweep(Grid(BASE, {"learning_rate": [0.1, 1.0]}), runs=tmp_path)
    assert len(done) == 2  # another grid is another sweep


def test_a_stopped_sweep_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _here(monkeypatch)
    grid = Grid(BASE, {"learning_rate": [0.1, 0.2, 0.3]})

    def stopped(made: list[dict[str, Any]], _: int) -> Any:
        yield made[0]["number"], work(made[0])
        raise SweepStopped

    monkeypatch.setattr(sweeping, "_in_processes", stopped)
    with pytest.raises(SweepStopped):
        sweep(grid, runs=tmp_path)
    monkeypatch.undo()
    done = _here(monkeypatch)
    told: list[tuple[int, int]] = []
    sweep(grid, runs=tmp_path, jobs=1, told=lambda *numbers: told.append(numbers))
    assert [job["number"] for job in done] == [1, 2]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_runs_are_compared_by_the_weights_that_are_kept(tmp_path: Path) -> None:
    settings = BASE | {"epochs": 12, "learning_rate": 0.3, "early_stopping": 3}
    stopped = chainrule.train(runs=tmp_path, **settings)
    losses = [loss for _, loss in stopped.curves["validation/loss"]]
    assert reached(stopped)["validation_loss"] == min(losses)
    plain = chainrule.train(runs=tmp_path, **BASE)
    assert reached(plain)["validation_loss"] == plain.curves["validation/loss"][-1][1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate=0.1,1e-2", ("learning_rate", (0.1, 0.01))),
        ("epochs = 1, 2", ("epochs", (1, 2))),
        ("update-rule=sgd,adam", ("update_rule", ("sgd", "adam"))),
        ('network="FC-10","FC-9, RELU, FC-10"', ("network", ("FC-10", "FC-9, RELU, FC-10"))),
        ("precise=true,false", ("precise", (True, False))),
    ],
)
def test_an_axis_is_read(text: str, expected: tuple[str, tuple[Any, ...]]) -> None:
    assert read_axis(text) == expected


@pytest.mark.parametrize(
    ("axes", "fragment"),
    [
        ({}, "sweep has no grid"),
        ({"lerning_rate": [1]}, "did you mean 'learning_rate'"),
        ({"seed": [1, 2]}, "use --seeds"),
        ({"learning_rate": [-1.0]}, "learning_rate got -1"),
        ({"epochs": range(1, 200), "batch_size": range(1, 200)}, "39,601 runs, wants 1 to 10,000"),
    ],
)
def test_nonsense_is_refused_before_anything_runs(
    tmp_path: Path, axes: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(RecipeError, match=fragment):
        sweep(Grid(BASE, axes), runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_axis_without_values_is_refused() -> None:
    for text in ("learning_rate", "learning_rate=", "epochs=1,1"):
        with pytest.raises(RecipeError, match="grid"):
            read_axis(text)


@pytest.mark.parametrize("axes", [["epochs"], ["epochs", "loss"], ["epochs", "loss", "augment"]])
def test_pictures_show_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: list[str]
) -> None:
    _here(monkeypatch)
    values = {"epochs": [1, 2], "loss": ["softmax", "svm"], "augment": ["", "crop"]}
    grid = Grid(BASE, {name: values[name] for name in axes})
    found = sweep(grid, runs=tmp_path)
    picture = sweep_picture(found)
    assert picture.startswith("<svg")
    assert "validation accuracy" in picture
    for name in axes[:2]:
        assert name in picture


def test_the_command_writes_table_page_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _here(monkeypatch)
    monkeypatch.chdir(tmp_path)
    command = ["sweep", "--grid", "learning_rate=0.1,0.01", "--set", "network=FC-10"]
    command += ["--set", "limit=100", "--set", "epochs=1", "--jobs", "1"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert not ended.value.code
    shown = capsys.readouterr().out
    assert "ordered by validation accuracy" in shown
    page = next((tmp_path / "runs").glob("sweep-*.html")).read_text()
    assert "<svg" in page
    assert "Sweep over learning_rate" in page
    with pytest.raises(SystemExit):
        main([*command, "--json"])
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 2
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "--grid", "learning_rat=1"])
    assert ended.value.code == 2


def _but_time(means: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in means.items() if name != "seconds"}


class _Ray:
    """As much of Ray as a sweep needs, in this process; tasks end in another order."""

    def __init__(self, loses: int) -> None:
        self.loses, self.jobs = loses, 0

    def remote(self, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        assert options == {"num_cpus": 1}
        return lambda function: SimpleNamespace(remote=lambda job: self._task(function, job))

    def _task(self, function: Callable[..., Any], job: dict[str, Any]) -> tuple[Any, ...]:
        self.jobs += 1
        return (self.jobs, function, json.dumps(job))  # what is sent must be plain

    def wait(self, tasks: list[Any]) -> tuple[list[Any], list[Any]]:
        return tasks[-1:], tasks[:-1]

    def get(self, task: tuple[Any, ...]) -> Any:
        number, function, job = task
        if number == self.loses:
            raise RuntimeError("the worker died\nand more")
        return function(json.loads(job))


def test_a_cluster_gives_what_processes_give_and_a_lost_task_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Grid(BASE, {"learning_rate": [0.1, 0.01, 1e-3]})
    _here(monkeypatch)
    alone = sweep(grid, runs=tmp_path / "alone")
    monkeypatch.setattr(sweeping, "connected", lambda address: _Ray(loses=2))
    found = sweep(grid, runs=tmp_path / "cluster", ray="head:6379")
    means = {row.settings["learning_rate"]: row.means for row in found.rows}
    for row in alone.rows:
        if row.settings["learning_rate"] != 0.01:
            assert _but_time(means[row.settings["learning_rate"]]) == _but_time(row.means)
    assert [row.failures for row in found.rows if row.failures] == [("the worker died",)]


@pytest.mark.slow
def test_on_ray_itself(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    grid = Grid(BASE, {"learning_rate": [0.1, 0.01]})
    try:
        found = sweep(grid, runs=tmp_path / "cluster", ray="local")
    finally:
        ray.shutdown()
    alone = sweep(grid, runs=tmp_path / "alone", jobs=1)
    assert [row.settings for row in found.rows] == [row.settings for row in alone.rows]
    for one, other in zip(found.rows, alone.rows, strict=True):
        assert _but_time(one.means) == pytest.approx(_but_time(other.means), rel=1e-4)
