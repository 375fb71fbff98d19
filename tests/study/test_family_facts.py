"""Facts: theory and trial agree for all of them; some again from their words."""

from __future__ import annotations

import math
import re
from random import Random

import pytest
import torch

from chainrule.study.experiments import NAMES
from chainrule.study.practice.families.claims import Fact
from chainrule.study.practice.families.facts import FACTS

BY_NAME = {fact.draw.__name__.strip("_"): fact for fact in FACTS}


@pytest.mark.parametrize("fact", FACTS, ids=BY_NAME)
def test_tried_and_true(fact: Fact) -> None:
    assert fact.experiment in NAMES
    claims = []
    for seed in range(24):
        torch.manual_seed(seed)
        claims.append(fact.draw(Random(seed)))
        assert claims[-1].measured == claims[-1].holds, claims[-1]
    assert {claim.holds for claim in claims} == {True, False}
    assert len({claim.text for claim in claims}) >= 4
    assert all(len(claim.text) < 300 and claim.told.endswith(".") for claim in claims)


def test_there_are_forty() -> None:
    assert len(BY_NAME) == len(FACTS) >= 40


SAID = {  # what a statement says, against what its other numbers come to
    "stacked": (r"behind (\d) .* of (\d)x.* sees (\d+)x", lambda n, k: 1 + n * (k - 1)),
    "strided": (r"of (\d)x\d at stride (\d) sees (\d+)x", lambda k, s: (k - 1) * s + k),
    "dilated": (r"A (\d)x.*dilation (\d) spans (\d+)", lambda k, d: len(range(0, d * k, d)[:k])
                + (k - 1) * (d - 1)),
    "keeps_size": (r"A (\d)x.*stride (1) with (\d+) pix", lambda k, _: k // 2),
    "momentum": (r"momentum (of) ([\d.]+) .* end ([\d.]+) times", lambda _, mu: sum(
        mu**t for t in range(400))),
    "adagrad": (r"()number (\d+) is (\d+|as long) ", lambda _, n: math.sqrt(n)),
    "decay": (r"lambda = ([\d.]+), .*rate ([\d.]+) multiplies each weight by ([\d.]+)\.",
              lambda strength, rate: 1 - strength * rate),
    "noise": (r"minibatch (\d+) times (larger) .* about (\d+) times", lambda n, _: math.sqrt(n)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_read_from_its_words(name: str) -> None:
    pattern, formula = SAID[name]
    for seed in range(24):
        claim = BY_NAME[name].draw(Random(seed))
        found = re.search(pattern, claim.text)
        assert found, claim.text
        *known, said = (float(x) if re.match(r"\d", x) else 1.0 for x in found.groups())
        assert claim.holds == (abs(formula(*map(_whole, known)) - said) < 1e-3), claim.text


def _whole(value: float) -> float:
    return int(value) if value.is_integer() else value
