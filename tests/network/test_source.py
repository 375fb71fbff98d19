"""A network by any name, and what a wrong name makes the user read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import chainrule
from chainrule.errors import ChainruleError, NetworkError, NotationError, ShapeError
from chainrule.network.source import describe_name, network, spec_of

FILE = """
import helper_beside
from torch import nn

class Net(nn.Module):
    def __init__(self, hidden=8, bias=True):
        super().__init__()
        self.fc = nn.Linear(4, hidden, bias=bias)
    def forward(self, x):
        return self.fc(x)

ready = Net(3)
number = 7
def make():
    return Net(5)
def broken():
    raise ValueError("no such thing")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "helper_beside.py").write_text("")
    path = tmp_path / "net.py"
    path.write_text(FILE)
    return path


def test_a_module_is_itself() -> None:
    module = nn.Linear(2, 2)
    assert network(module) is module


def test_notation_zoo_and_spec() -> None:
    assert str(spec_of(network("INPUT 4, FC-3"))) == "INPUT 4, FC-3"
    assert network("LeNet_5").fc3.out_features == 10
    assert network(chainrule.parse("FC-3"), input=(5,)).fc1.in_features == 5


def test_zoo_networks_fit_other_data() -> None:
    module = network("lenet5", input=(3, 32, 32), classes=100)
    assert module(torch.zeros(2, 3, 32, 32)).shape == (2, 100)


def test_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "net.txt"
    path.write_text("# two layers\nINPUT 4\nFC-3\n")
    assert network(path).fc1.out_features == 3


@pytest.mark.parametrize(
    ("what", "features"),
    [("Net", 8), ("Net(2)", 2), ("Net(hidden=6, bias=False)", 6), ("ready", 3), ("make", 5)],
)
def test_files(file: Path, what: str, features: int) -> None:
    module = network(f"{file}:{what}")
    assert module.fc.out_features == features
    assert str(file.parent) not in sys.path


def test_import_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_package_of_nets.py").write_text(
        "from torch import nn\nnet = nn.Linear(2, 9)\n"
    )
    assert network("own_package_of_nets:net").out_features == 9


def test_the_verb_and_the_package_bear_one_name() -> None:
    code = (
        "import chainrule; from chainrule.network.spec import NetworkSpec;"
        "print(type(chainrule.network('INPUT 4, FC-3')).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Network"


@pytest.mark.parametrize(
    ("name", "error", "fragments"),
    [
        ("resnet81", NetworkError, ["'resnet81'", "did you mean 'resnet18'"]),
        ("RELUU", NotationError, ["unknown layer 'RELUU'"]),
        ("CONV3-4, RELUU", NotationError, ["unknown layer 'RELUU'"]),
        ("FC-3", NetworkError, ["begin with INPUT"]),
        ("no_such.place:Net", NetworkError, ["no module 'no_such.place'"]),
        ("nowhere.py:Net", NetworkError, ["'nowhere.py' does not exist"]),
        ("nowhere.txt", NetworkError, ["'nowhere.txt' cannot be read"]),
        ("{file}:Nett", NetworkError, ["has no 'Nett'", "did you mean 'Net'"]),
        ("{file}:number", NetworkError, ["is a int, wants a torch.nn.Module"]),
        ("{file}:broken", NetworkError, ["failed: ValueError", "net.py:17", "no such thing"]),
        ("{file}:Net(size=3)", NetworkError, ["failed: TypeError", "size"]),
        ("{file}:Net(print('hi'))", NetworkError, ["literals"]),
        ("{file}:ready(3)", NetworkError, ["is a module already"]),
        ("timm:vit", NetworkError, ["timm cannot be imported", "pip install 'chainrule[timm]'"]),
    ],
)
def test_wrong_names(
    file: Path, name: str, error: type[ChainruleError], fragments: list[str]
) -> None:
    if name.startswith("timm") and _installed("timm"):
        pytest.skip("timm is installed here")
    with pytest.raises(error) as caught:
        network(name.format(file=file))
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_file_that_fails_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("x = 1\ny = x / 0\n")
    with pytest.raises(NetworkError, match=r"ZeroDivisionError at .*bad\.py:2"):
        network(f"{path}:x")
    path.write_text("def f(:\n")
    with pytest.raises(NetworkError, match=r"SyntaxError at .*bad\.py:1"):
        network(f"{path}:f")


def test_an_input_that_contradicts() -> None:
    with pytest.raises(ShapeError, match="INPUT 4x4x1 is not the data's 8x8x1: leave INPUT out"):
        network("INPUT 4x4x1, FC-3", input=(1, 8, 8))


def test_names_for_records() -> None:
    assert describe_name("vgg16") == "vgg16"
    assert describe_name(nn.Linear(2, 2)) == "Linear"
    assert describe_name(network("INPUT 4, FC-3")) == "INPUT 4, FC-3"


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_libraries_when_installed(library: str) -> None:
    if not _installed(library):
        pytest.skip(f"{library} is not installed here")
    module = network(f"{library}:resnet18", classes=7)
    assert module.fc.out_features == 7


FAKE = """
from torch import nn
def list_models():
    return ["tiny", "huge"]
def create_model(name, num_classes=1000):
    return nn.Linear(4, num_classes)
get_model = create_model
"""


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_libraries_by_a_stand_in(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither library imports beside the pinned build of torch: a stand-in with their API."""
    if _installed(library):
        pytest.skip(f"{library} itself is installed here")
    folder = tmp_path / library
    folder.mkdir()
    (folder / "__init__.py").write_text(FAKE)
    (folder / "models.py").write_text(FAKE)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert network(f"{library}:tiny", classes=7).out_features == 7
        assert network("huge").out_features == 1000
        with pytest.raises(NetworkError, match=f"{library} has no 'tinny'; did you mean 'tiny'"):
            network(f"{library}:tinny")
    finally:  # not by monkeypatch, which would put the stand-in back for all tests that follow
        for name in [name for name in sys.modules if name.partition(".")[0] == library]:
            del sys.modules[name]


def _installed(library: str) -> bool:
    code = f"import {library}"
    return (
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode
        == 0
    )
