"""``chainrule describe``, ``compare``, ``convolutionalize``: exit codes, JSON, one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.reference.command_line import chainrule


def test_json_of_vgg16_has_what_is_promised() -> None:
    done = chainrule("describe", "vgg16", "--input", "3,224,224", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    answer = json.loads(done.stdout)
    for layer in answer["layers"]:
        assert {"name", "operation", "output", "parameters", "macs", "activation_bytes"} <= set(
            layer
        )
    field = answer["layers"][0]["receptive_field"]
    assert (field["size"], field["jump"]) == ([3, 3], [1.0, 1.0])
    totals = answer["totals"]
    assert totals["parameters"] == 138_357_544
    assert {"macs", "activation_bytes", "training_bytes"} <= set(totals)


def test_the_deck_s_table_in_a_pipe() -> None:
    done = chainrule("describe", "INPUT 32x32x1, CONV5-10, POOL2")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert "32x32x10" in lines[2]
    assert "10 x (5x5x1 + 1) = 260" in lines[2]
    assert "16x16x10" in lines[3]


def test_a_users_own_file_and_every_option(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nclass Net(torch.nn.Module):\n"
        "    def __init__(self, width=4):\n        super().__init__()\n"
        "        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, width, 3), torch.nn.ReLU())\n"
        "    def forward(self, image):\n        return self.body(image)\n"
    )
    done = chainrule(
        *("describe", f"{tmp_path}/net.py:Net(width=6)", "--input", "image=3,16,16"),
        *("--depth", "1", "--columns", "layer,parameters,field", "--memory", "1GB", "--prove"),
        *("--html", f"{tmp_path}/a.html", "--export", f"{tmp_path}/a.md", "--batch", "2"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2].split() == ["body", "168", "3x3"]
    assert "DIFFERS" not in done.stdout
    assert "largest batch" in done.stdout
    assert (tmp_path / "a.html").stat().st_size > 10_000
    assert (tmp_path / "a.md").read_text().splitlines()[0] == "| layer | parameters | field |"


def test_one_unit_and_the_effective_field(tmp_path: Path) -> None:
    network = "INPUT 8x8x1, CONV3-2, CONV3-2"
    done = chainrule("describe", network, "--unit", "conv2:0,3", "--json")
    assert json.loads(done.stdout)["unit"]["box"] == [[0, 2], [1, 5]]
    done = chainrule("describe", network, "--unit", "conv2:0,3")
    assert "unit 0,3 of conv2 sees input 0..2 x 1..5" in done.stdout
    page = tmp_path / "field.html"
    done = chainrule("describe", network, "--effective", "last", "--html", str(page))
    assert done.returncode == 0, done.stderr
    assert "effective field" in done.stdout
    assert "<svg" in page.read_text()


def test_the_effective_field_on_given_images(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a.png", "b.png"):
        Image.new("RGB", (9, 9), (200, 30, 90)).save(tmp_path / name)
    arguments = ("describe", "INPUT 8x8x3, CONV3-2", "--effective", "conv1", "--images")
    done = chainrule(*arguments, str(tmp_path), "--input", "3,8,8", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 2
    done = chainrule(*arguments, str(tmp_path / "none"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_compare_and_convolutionalize(tmp_path: Path) -> None:
    small, large = "INPUT 16x16x4, [CONV3-4 b0] x 3", "INPUT 16x16x4, CONV7-4 b0"
    done = chainrule("compare", small, large, "--json")
    assert json.loads(done.stdout)["weights_of_channels"] == ["27 C^2", "49 C^2"]
    done = chainrule("compare", small, large)
    assert "27 C^2" in done.stdout
    weights = tmp_path / "dense.safetensors"
    done = chainrule(
        "convolutionalize", "lenet5", "--larger", "40,40", "--output", str(weights), "--json"
    )
    assert json.loads(done.stdout)["larger_output"] == [10, 4, 4]
    assert weights.stat().st_size > 61_706 * 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("describe", "vgg61"), "no network 'vgg61'; did you mean"),
        (("describe", "vgg16", "--input", "1,224,224", "--batch", "0"), "batch got 0"),
        (("describe", "lenet5", "--input", "a,b"), "wants the shape of one example as C,H,W"),
        (("describe", "lenet5", "--columns", "colour"), "columns got 'colour'"),
        (("describe", "lenet5", "--depth", "0"), "depth got 0"),
        (("describe", "lenet5", "--export", "a.doc"), "export got 'a.doc'"),
        (("describe", "lenet5", "--unit", "conv1"), "wants LAYER:ROW,COLUMN"),
        (("describe", "lenet5", "--memory", "x"), "memory got 'x'"),
        (("describe", "lenet5", "--input", "a=1,2", "--input", "3"), "name all arguments"),
        (("describe", "lenet5", "--effective", "conv1", "--prove"), "--prove got a value with"),
        (("describe", "lenet5", "--images", "x.png"), "--images is measured on by --effective"),
        (("compare", "lenet5"), "wants two or more"),
        (("convolutionalize", "lenet5", "--larger", "3"), "larger got '3'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...], words: str) -> None:
    done = chainrule(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
