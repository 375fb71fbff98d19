"""The catalogue: every cause has its page, its family, a place in the order of explanation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chainrule.diagnosis.case import SYMPTOM, Case, Hypothesis
from chainrule.diagnosis.causes import CAUSES, cause, hypotheses_of, load_causes
from chainrule.diagnosis.choice import _ORDER
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.replaying.messages import BASELINE, Outcome, ReplayJob
from chainrule.diagnosis.replaying.scout import Scouted
from chainrule.diagnosis.source import Edit
from chainrule.diagnosis.symptoms import Record

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "causes"
CATALOGUE = (
    "learning-rate-too-low",
    "learning-rate-too-high",
    "learning-rate-decays-too-soon",
    "momentum-too-high",
    "optimizer-unsuited",
    "too-few-steps",
    "batch-size-unsuited",
    "gradients-not-cleared",
    "gradients-clipped-too-hard",
    "parameters-not-optimized",
    "graph-detached",
    "loss-expects-logits",
    "output-activation-wrong",
    "loss-unsuited",
    "loss-sign-flipped",
    "loss-not-averaged",
    "shapes-broadcast",
    "regularization-too-strong",
    "symmetric-initialization",
    "initialization-too-small",
    "initialization-too-large",
    "dead-relu",
    "saturated-activations",
    "vanishing-gradients",
    "exploding-gradients",
    "missing-nonlinearity",
    "capacity-too-small",
    "inputs-not-normalized",
    "targets-not-scaled",
    "non-finite-data",
    "labels-misaligned",
    "labels-wrongly-encoded",
    "classes-imbalanced",
    "data-not-shuffled",
    "same-batch-repeated",
    "train-test-mismatch",
    "dropout-too-strong",
    "batchnorm-misused",
    "wrong-mode",
    "overfitting",
    "augmentation-too-strong",
    "numerical-overflow",
)


def test_all_codes_of_the_catalogue_are_registered() -> None:
    assert sorted(load_causes()) == sorted(CATALOGUE)
    assert len(CATALOGUE) == 42


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_cause_has_its_page(code: str) -> None:
    text = (PAGES / f"{code}.md").read_text()
    assert text.startswith(f"# {code}\n")
    for part in ("Symptom", "Proof", "Bad", "Good", "Repair", "Reference"):
        assert f"\n## {part}\n" in text, part
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(block, code, "exec")
    assert f"causes/{code}.md" in (ROOT / "mkdocs.yml").read_text()
    assert f"({code}.md)" in (PAGES / "index.md").read_text()


def test_pages_are_of_causes() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {*CATALOGUE, "index"}


def test_the_order_of_explanation_names_only_causes() -> None:
    assert set(_ORDER) <= set(CATALOGUE)


def case() -> Case:
    return Case(Record(), (), Scouted(0, 0.0, False), Outcome(ReplayJob(0, BASELINE), 0))


def test_nothing_known_raises_no_symptom() -> None:
    found, unseen = hypotheses_of(case())
    assert unseen == []
    assert all(item.weight < SYMPTOM for item in found)


def test_a_third_party_adds_a_cause_in_one_function() -> None:
    @cause("test-cause", "for this test")
    def raised(_case: Case) -> Iterator[Hypothesis]:
        yield Hypothesis("test-cause", Change(), SYMPTOM, "so it is", "mend it")

    try:
        assert "test-cause" in {item.code for item in hypotheses_of(case())[0]}
    finally:
        CAUSES.pop("test-cause")


def test_a_cause_that_fails_does_not_stop_the_others() -> None:
    @cause("test-cause", "for this test")
    def raised(_case: Case) -> Iterator[Hypothesis]:
        raise ValueError("no")

    try:
        assert hypotheses_of(case())[1] == ["test-cause: ValueError: no"]
    finally:
        CAUSES.pop("test-cause")


def test_the_line_to_change_unless_the_place_is_at_fault() -> None:
    edit, place = Edit("train.py", 9, 0, 9, 4, ""), Place("train.py", 3)
    found = Hypothesis("wide", Change(), SYMPTOM, "", "", place=place, edits=(edit,))
    assert found.at == Place("train.py", 9)
    assert replace(found, blamed=True).at == place
    assert replace(found, edits=()).at == place
