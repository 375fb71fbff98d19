"""Printed derivations: kept snapshots, each proved again from its own printed lines."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch

from chainrule.derivation.answer import Derivation
from chainrule.derivation.derive import derive
from chainrule.derivation.operations import evaluate
from chainrule.derivation.reading import read, read_formula
from chainrule.report.derived import latex_document
from chainrule.report.page import page
from chainrule.report.text import text as plain

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"
DECK = (Path(__file__).parents[2] / "examples" / "convnet_1d.txt").read_text()
SOFTMAX = """
X: (N, D)
W: (D, C)
b: (C)
S = X @ W + b
L = softmax_loss(S, y) + lambda*sum(W^2)
"""
RNN = """
h0: (H)
x[t]: (D), t=1..6
W: (H, H)
U: (H, D)
h[t] = tanh(W @ h[t-1] + U @ x[t]), t=1..6
L = sum(h6^2)
"""
CASES: dict[str, tuple[str, dict[str, object]]] = {
    "derivation-convnet": (DECK, {}),
    "derivation-given": (DECK, {"wrt": "z2,k1,b", "given": {"v1": "delta1", "v2": "delta2"}}),
    "derivation-softmax": (SOFTMAX, {}),
    "derivation-rnn": (RNN, {"wrt": "h0,W,U"}),
    "derivation-numbers": (
        "z = w*x + b; v = max(z, 0); L = (v - y)^2/2",
        {"values": {"w": 2, "x": 1.5, "b": -1, "y": 4}, "wrt": "w,b", "update": "adam"},
    ),
}


def _without_last_digits(text: str) -> str:
    """Differences of 1e-16 depend on the machine's arithmetic."""
    return re.sub(r"largest difference.*", "largest difference ...", text, flags=re.DOTALL)


@pytest.mark.parametrize("name", CASES)
def test_text_is_the_kept_snapshot(name: str) -> None:
    text, options = CASES[name]
    shown = _without_last_digits(plain(derive(text, **options))) + "\n"  # type: ignore[arg-type]
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(shown)
    assert shown == path.read_text()


@pytest.mark.parametrize("name", ["derivation-convnet", "derivation-softmax"])
def test_every_printed_result_is_right_as_it_is_printed(name: str) -> None:
    """The lines themselves, read and evaluated one after the other with the names they give."""
    text, _ = CASES[name]
    program, answer = read(text), derive(text)
    axes = {"N": 3, "D": 4, "C": 2}
    shapes = {key: program.shape(key) for key in program.names}
    generator = torch.Generator().manual_seed(0)
    known = {
        key: torch.randn(
            [axes[str(dim)] for dim in leaf.shape], generator=generator, dtype=torch.float64
        )
        for key, leaf in program.leaves.items()
    }
    if shapes.get("y"):
        known["y"] = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
    live = {key: item.clone().requires_grad_() for key, item in known.items()}
    for key, value in program.values.items():
        live[key] = evaluate(value.expr, live, axes)
        live[key].retain_grad()
    live[answer.output].backward()  # type: ignore[no-untyped-call]
    known = {key: item.detach() for key, item in live.items()}
    for key, definition in answer.definitions.items():
        formula = read_formula(definition.text, shapes)
        known[key], shapes[key] = evaluate(formula, known, axes), formula.shape
    for step in answer.steps:
        for stage in filter(None, (step.put_in, step.result)):
            formula = read_formula(stage.text, shapes)
            torch.testing.assert_close(evaluate(formula, known, axes), live[step.name].grad)
        if step.named:
            known[step.named], shapes[step.named] = evaluate(formula, known, axes), formula.shape


@pytest.mark.parametrize("name", CASES)
def test_latex_and_page_hold_every_step(name: str) -> None:
    text, options = CASES[name]
    answer: Derivation = derive(text, **options)  # type: ignore[arg-type]
    document = latex_document(answer)
    assert document.count(r"\begin{align*}") == len(answer.steps) + bool(answer.definitions)
    whole = page(answer)
    assert whole.count("<math") >= len(answer.steps) + len(answer.gradients)
    for step in answer.steps:
        assert step.name in whole


def test_long_families_are_folded() -> None:
    text = str(derive(RNN, "h0"))
    assert "(likewise for 8 more)" in text
    assert "W^T multiplies the gradient 6 times" in text


def test_graphs_with_more_paths_than_can_be_walked() -> None:
    """Each value reads two before it: some 10^12 paths, counted and not walked."""
    lines = ["h0 = w*x", "h1 = tanh(w*h0)"]
    lines += [f"h{n} = tanh(h{n - 1} + w*h{n - 2})" for n in range(2, 60)]
    answer = derive("\n".join(lines), "x")
    assert answer["x"].paths[-1].endswith(" more")
    assert int(answer["x"].paths[-1].split()[0].replace(",", "")) > 10**11
    assert len(answer["x"].formula) < 200
