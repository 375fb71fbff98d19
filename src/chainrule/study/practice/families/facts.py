"""True or false: statements of the course with numbers of their own, each tried at once."""

from __future__ import annotations

from random import Random

from chainrule.study.practice.expected import Truth
from chainrule.study.practice.families import (
    facts_of_images,
    facts_of_training,
    facts_of_units,
    facts_of_updates,
)
from chainrule.study.practice.families.claims import Fact
from chainrule.study.practice.question import LEVELS, Draft, Family, Mistake

FACTS: tuple[Fact, ...] = (
    *facts_of_training.FACTS, *facts_of_updates.FACTS, *facts_of_units.FACTS,
    *facts_of_images.FACTS,
)  # fmt: skip


def _fact(drawn: Random, level: int) -> Draft:
    fact = drawn.choice([fact for fact in FACTS if fact.level == level])
    claim = fact.draw(drawn)
    expected = Truth(claim.holds)
    return Draft(
        text=f"True or false? {claim.text}",
        expected=expected,
        proved=claim.measured,
        way="trying it",
        mistakes=(Mistake(Truth(not claim.holds).text, f"is refuted by trying it. {claim.told}"),),
        solution=(claim.told, f"the statement is {expected.text}"),
        experiment=fact.experiment,
    )


FAMILIES = (Family("facts", "facts", "true or false", LEVELS, _fact),)
