"""Every experiment: it runs, it comes to the verdict it should, and it can fail."""

from __future__ import annotations

import json
import math
import re

import pytest
from tests.reference.surroundings import surroundings

import chainrule
from chainrule.study.experiment import StudyResult
from chainrule.study.experiments import NAMES, experiment
from chainrule.study.picture import Landscape

# what each claim comes to; "holds when" is where the textbook is glib, and its words say where
HOLD = ("zero-input", "flat-loss", "centred-differences")
KINDS = {name: "holds" if name in HOLD else "holds when" for name in NAMES}


@pytest.fixture(scope="module")
def ran() -> dict[tuple[str, bool], StudyResult]:
    return {}


def _run(name: str, sabotaged: bool, ran: dict[tuple[str, bool], StudyResult]) -> StudyResult:
    key = name, sabotaged
    if key not in ran:
        before = surroundings()
        ran[key] = chainrule.study(name, sabotaged=sabotaged)
        assert surroundings() == before  # an experiment leaves the program around it as it was
    return ran[key]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_comes_to_its_verdict(name: str, ran: dict[tuple[str, bool], StudyResult]) -> None:
    found = _run(name, False, ran)
    words = [(part.says, part.measured, part.status) for part in found.parts]
    assert found.verdict.kind == KINDS[name], words
    assert found.seconds < 60
    _is_whole(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_can_fail(name: str, ran: dict[tuple[str, bool], StudyResult]) -> None:
    found = _run(name, True, ran)
    words = [(part.says, part.measured, part.status) for part in found.parts]
    assert found.verdict.kind != KINDS[name], words
    assert found.sabotaged


def _is_whole(found: StudyResult) -> None:
    """Everything that a reader looks for is there, and can be written as JSON."""
    for text in (found.title, found.claim, found.hypothesis, found.set_up):
        assert text
        assert not re.search(r"\{\w+\}", text), text
    assert found.pictures
    assert found.references
    assert found.next
    assert found.parts
    for picture in found.pictures:
        assert picture.words
        for panel in picture.panels:
            curves = panel.paths if isinstance(panel, Landscape) else panel.curves
            assert curves
            assert any(math.isfinite(value) for one in curves for value in one.y)
    for part in found.parts:
        assert (part.at_least, part.at_most) != (-math.inf, math.inf), part.says
        assert part.measured.low <= part.measured.value <= part.measured.high
    for table in found.tables:
        assert all(len(row) == len(table.heads) for row in table.rows)
    json.dumps(found.to_dict())


@pytest.mark.parametrize(
    "name",
    ["zero-input", "minimum-and-saddle", "receptive-field", "vanishing-gradients", "max-pooling"],
)
def test_same_seed_same_numbers(name: str, ran: dict[tuple[str, bool], StudyResult]) -> None:
    first, second = _run(name, False, ran), chainrule.study(name)
    for one, two in zip(first.parts, second.parts, strict=True):
        assert one == two or one.beside, one.says  # times of this machine stand beside
    other = chainrule.study(name, seed=1)
    assert name in ("max-pooling", "receptive-field") or other.parts != first.parts


@pytest.mark.parametrize("name", NAMES)
def test_sabotage_changes_the_set_up_alone(name: str) -> None:
    found = experiment(name)
    assert type(found.setup) is type(found.sabotaged)
    assert found.setup != found.sabotaged
    assert found.name == name
