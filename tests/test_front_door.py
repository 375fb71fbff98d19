"""The front door: what `import chainrule` shows is what is documented, and it opens quickly."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import chainrule

DOCS = Path(__file__).parents[1] / "docs" / "reference.md"


def test_public_names_are_sorted_and_exist() -> None:
    assert chainrule.__all__ == sorted(chainrule.__all__)
    for name in chainrule.__all__:
        assert getattr(chainrule, name) is not None
    assert dir(chainrule) == chainrule.__all__


def test_public_names_are_exactly_the_documented_ones() -> None:
    documented = re.findall(r"^## `(\w+)`", DOCS.read_text(), re.MULTILINE)
    assert sorted(documented) == [name for name in chainrule.__all__ if name != "__version__"]


def test_public_names_have_docstrings_with_an_example() -> None:
    lacking = [
        name
        for name in chainrule.__all__
        if name != "__version__"
        and not issubclass_of_error(name)
        and ">>>" not in (getattr(chainrule, name).__doc__ or "")
    ]
    assert lacking == []


def issubclass_of_error(name: str) -> bool:
    value = getattr(chainrule, name)
    return isinstance(value, type) and issubclass(value, BaseException)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(chainrule, "trian")


def test_importing_is_light() -> None:
    code = (
        "import sys, chainrule, chainrule.cli;"
        "heavy = {'torch', 'numpy', 'pydantic', 'lark', 'sklearn', 'matplotlib'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_does_not_wait_for_what_only_sharded_runs_need() -> None:
    code = "import sys, chainrule.training.train; print('torch.distributed.fsdp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
