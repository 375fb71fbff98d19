"""Memory that is freed stays while a network trains, and goes back afterwards."""

from __future__ import annotations

import importlib
import json
import mmap
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import chainrule
from chainrule.training.allocator import memory_kept, tuned

# a step's worth of blocks, again and again: pages asked of the system, and memory held (pages)
LOOK = """
import ctypes, json, resource, sys
from contextlib import nullcontext
from chainrule.training.allocator import memory_kept

library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

def step():
    blocks = [library.malloc(2**23) for _ in range(16)]
    for block in blocks:
        library.memset(block, 1, 2**23)
    for block in blocks:
        library.free(block)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def held():
    return int(open("/proc/self/statm").read().split()[1])

with memory_kept() if sys.argv[1] == "kept" else nullcontext():
    step()
    before = faults()
    step()
    asked, inside = faults() - before, held()
print(json.dumps({"asked": asked, "given back": inside - held()}))
"""
PAGES = 16 * 2**23 // mmap.PAGESIZE  # in the blocks of a step


def look(how: str, **environment: str) -> dict[str, float]:
    own = {name: value for name, value in os.environ.items() if not tuned({name: value})}
    command = [sys.executable, "-c", LOOK, how]
    told = subprocess.run(command, env=own | environment, capture_output=True, check=True)
    found: dict[str, float] = json.loads(told.stdout)
    return found


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this C library is not glibc")
class TestWithGlibc:
    def test_by_itself_it_asks_the_system_again_for_pages_that_it_has_given_back(self) -> None:
        assert look("usual")["asked"] > 0.9 * PAGES

    def test_kept_memory_is_asked_for_once_and_given_back_at_the_end(self) -> None:
        found = look("kept")
        assert found["asked"] < 0.01 * PAGES
        assert found["given back"] > 0.9 * PAGES

    def test_an_allocator_that_the_user_has_tuned_is_left_alone(self) -> None:
        tuning = "glibc.malloc.tcache_count=7"  # which is its default
        assert look("kept", GLIBC_TUNABLES=tuning)["asked"] > 0.9 * PAGES


def test_where_there_is_no_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    with memory_kept() as kept:
        assert not kept


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"MALLOC": "1", "PATH": "/bin"}, False),
        ({"MALLOC_ARENA_MAX": "2"}, False),  # not a name that glibc reads
        ({"MALLOC_ARENA_MAX_": "2"}, True),
        ({"MALLOC_TRIM_THRESHOLD_": "131072"}, True),
        ({"GLIBC_TUNABLES": "glibc.rtld.nns=2"}, False),
        ({"GLIBC_TUNABLES": "glibc.rtld.nns=2:glibc.malloc.hugetlb=1"}, True),
    ],
)
def test_tuned(environment: dict[str, str], expected: bool) -> None:
    assert tuned(environment) is expected


def test_training_keeps_its_memory_until_it_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str] = []

    @contextmanager
    def recorded() -> Iterator[bool]:
        seen.append("begins")
        yield True
        seen.append("ends")

    monkeypatch.setattr(
        importlib.import_module("chainrule.training.train"), "memory_kept", recorded
    )
    chainrule.train("FC-10", "digits", epochs=1, runs=tmp_path)
    assert seen == ["begins", "ends"]
