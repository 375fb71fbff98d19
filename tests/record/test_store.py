"""The run store: exact, whole after any crash, and clear about what is wrong."""

from __future__ import annotations

import math
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import RunError
from chainrule.record.run import Event, compare
from chainrule.record.schema import MIGRATIONS, VERSION
from chainrule.record.store import FILE, RunStore


def _create(store: RunStore, **values: object) -> str:
    record = {
        "name": "digits",
        "recipe": {"epochs": 3},
        "network": "FC-10",
        "data": {"name": "digits"},
        "parameters": 650,
        "versions": {"torch": "x"},
        "hardware": {"cores": 2},
    }
    return store.create(**(record | values))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs", create=True)


def test_a_record_returns_as_it_was(store: RunStore) -> None:
    run = _create(store, recipe={"augment": ["crop"], "rate": 0.1})
    store.report(run, 7, {"a": 1.0})
    store.finish(run, "finished", seconds=2.5, summary={"test_accuracy": 0.9})
    record = RunStore(store.folder).run(run)
    assert record.recipe == {"augment": ["crop"], "rate": 0.1}
    assert (record.ended, record.steps, record.seconds) == ("finished", 7, 2.5)
    assert record.summary == {"test_accuracy": 0.9}
    assert [(event.step, event.kind) for event in store.events(run)] == [(7, "finished")]
    assert Path(record.folder).is_dir()


rows = st.lists(
    st.tuples(
        st.integers(0, 50),
        st.dictionaries(st.sampled_from(["a", "b/c", "ü"]), st.floats(), max_size=3),
    ),
    max_size=12,
)


@given(rows)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_metrics_return_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    store = RunStore(tmp_path_factory.mktemp("runs"), create=True)
    run = _create(store)
    store.report_many(run, rows)
    expected: dict[str, dict[int, float]] = {}
    for step, metrics in rows:
        for name, value in metrics.items():
            expected.setdefault(name, {})[step] = value
    got = store.metrics(run)
    assert set(got) == set(expected)
    for name, series in expected.items():
        assert [step for step, _ in got[name]] == sorted(series)
        for step, value in got[name]:
            assert value == series[step] or (math.isnan(value) and math.isnan(series[step]))


def test_truncate_forgets_what_came_after(store: RunStore) -> None:
    run = _create(store)
    for step in (1, 2, 3):
        store.report(run, step, {"a": step}, [Event(step, "t", "kind", "words", {"x": 1})])
    store.truncate(run, 2)
    assert store.metrics(run)["a"] == ((1, 1.0), (2, 2.0))
    assert [event.step for event in store.events(run)] == [1, 2]
    assert store.events(run)[0].details == {"x": 1}


def test_names_of_runs(store: RunStore) -> None:
    first, second = _create(store), _create(store, name="My data/..//x")
    assert first != second
    assert store.run("last").id == second
    assert store.run(first[:-1]).id == first
    assert "/" not in second
    assert ".." not in second
    assert (store.folder / second).is_dir()


@pytest.mark.parametrize(
    ("name", "fragments"),
    [("", ["is not in"]), ("zzz", ["'zzz'", "chainrule runs"]), ("2", ["beginning of 2 runs"])],
)
def test_wrong_names(store: RunStore, name: str, fragments: list[str]) -> None:
    _create(store)
    _create(store)
    with pytest.raises(RunError) as caught:
        store.run(name)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_misspelt_name_gets_a_suggestion(store: RunStore) -> None:
    run = _create(store)
    with pytest.raises(RunError, match=f"did you mean '{run}'"):
        store.run(run.replace("digits", "digit"))


def test_only_a_living_process_makes_a_run_running(store: RunStore) -> None:
    run = _create(store)
    with store.hold(run):
        assert store.run(run).ended == "running"
        with pytest.raises(RunError, match="being trained by another process"), store.hold(run):
            pass
        with pytest.raises(RunError, match="stop it before removing"):
            store.remove(run)
    assert store.run(run).ended == "lost"
    store.remove(run)
    assert store.runs().runs == ()
    assert not store.path(run).exists()


WRITER = """
import sys
from chainrule.record.store import RunStore
store = RunStore(sys.argv[1])
with store.hold(sys.argv[2]):
    step = 0
    while True:
        step += 1
        store.report(sys.argv[2], step, {"a": step, "b": step, "c": step})
"""


def test_a_killed_writer_leaves_whole_reports(store: RunStore) -> None:
    run = _create(store)
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(store.folder), run])
    deadline = time.monotonic() + 60
    while "a" not in store.metrics(run) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    metrics = store.metrics(run)
    assert metrics["a"] == metrics["b"] == metrics["c"]
    assert len(metrics["a"]) >= 1
    assert store.run(run).ended == "lost"
    with sqlite3.connect(store.folder / FILE) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_several_processes_write_at_once(store: RunStore) -> None:
    code = WRITER.replace("while True", "while step < 60")
    runs = [_create(store) for _ in range(3)]
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(store.folder), run]) for run in runs
    ]
    assert [child.wait(timeout=120) for child in children] == [0, 0, 0]
    for run in runs:
        assert len(store.metrics(run)["a"]) == 60


def test_reading_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="chainrule train makes the first"):
        RunStore(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made: File exists"):
        RunStore(tmp_path / "file", create=True)


def test_a_damaged_store(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(RunError, match="not a database; move the file away"):
        RunStore(tmp_path)


def test_a_store_from_the_future(store: RunStore) -> None:
    with sqlite3.connect(store.folder / FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RunError, match=r"schema 99, this chainrule knows .*upgrade"):
        RunStore(store.folder)


def test_an_empty_older_store_is_brought_up_to_date(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / FILE).close()
    store = RunStore(tmp_path)
    _create(store)
    assert VERSION == len(MIGRATIONS) >= 1


def test_a_full_disk(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite itself says that it is full: the file may not grow beyond its present size."""
    run = _create(store)
    real = sqlite3.connect

    def bounded(*arguments: object, **options: object) -> sqlite3.Connection:
        connection = real(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    monkeypatch.setattr(sqlite3, "connect", bounded)
    with pytest.raises(RunError, match="disk is full; free some space"):
        store.report_many(run, [(step, {"a" * 50: 1.0}) for step in range(5000)])
    monkeypatch.undo()
    assert store.metrics(run) == {}


def test_comparison_shows_what_differs(store: RunStore) -> None:
    runs = [_create(store, recipe={"rate": rate, "epochs": 3}) for rate in (0.1, 0.2)]
    for run, accuracy in zip(runs, (0.8, 0.9), strict=True):
        store.finish(run, "finished", summary={"test_accuracy": accuracy, "network": "x"})
    found = compare([store.run(run) for run in runs])
    assert found.recipe == {"rate": (0.1, 0.2)}
    assert found.numbers == {"test_accuracy": (0.8, 0.9)}


def test_a_store_that_another_process_is_just_making_is_waited_for(tmp_path: Path) -> None:
    """SQLite's change to write-ahead logging does not wait for its turn, as everything else."""
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE theirs (x)")
    other.execute("BEGIN IMMEDIATE")
    ends = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    ends.start()
    assert not RunStore(tmp_path, create=True).runs().runs
    ends.join()
    other.close()
