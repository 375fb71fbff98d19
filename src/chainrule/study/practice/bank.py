"""Bank: all families of questions by topic, and questions drawn from them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from random import Random

from chainrule.analysis.tracer import same_random_state
from chainrule.answer import Answer
from chainrule.errors import StudyError, suggestion
from chainrule.study.practice.making import make
from chainrule.study.practice.question import LEVELS, Family, Question

MODULES = (
    "volumes",
    "output_sizes",
    "receptive_fields",
    "costs",
    "convolutions",
    "losses",
    "penalties",
    "update_rules",
    "clipping",
    "backpropagation",
    "recurrent",
    "normalization",
    "units",
    "gradient_checks",
    "learning_curves",
    "published",
    "facts",
)
_SEEDS = 10**6  # question seeds are drawn below this


@dataclass(frozen=True)
class TopicList(Answer):
    """What can be practised.

    Attributes:
        families: (topic, family, what it asks for, its levels), in the order of the course.
    """

    families: tuple[tuple[str, str, str, tuple[int, ...]], ...]


def topic_list() -> TopicList:
    """All topics with their families."""
    return TopicList(
        tuple((item.topic, item.name, item.title, item.levels) for item in all_families())
    )


@lru_cache(maxsize=1)
def all_families() -> tuple[Family, ...]:
    """Every family, in the order of the course."""
    with same_random_state():  # what an import draws is not the program's
        modules = [importlib.import_module(f"{__package__}.families.{name}") for name in MODULES]
    return tuple(item for module in modules for item in module.FAMILIES)


def topics() -> tuple[str, ...]:
    """The topics, in the order of the course.

    Examples:
        >>> topics()[0]
        'activation-volumes'
    """
    return tuple(dict.fromkeys(item.topic for item in all_families()))


def families(wanted: Sequence[str] = (), level: int | None = None) -> tuple[Family, ...]:
    """The families of some topics (or of that name) that have this level.

    Args:
        wanted: names of topics or families; () for all.
        level: 1 to 3; None for any.

    Raises:
        StudyError: no such topic or level.
    """
    if level is not None and level not in LEVELS:
        raise StudyError(f"level got {level}, wants 1 (easy), 2 or 3")
    named = {_known(name) for name in wanted}
    found = tuple(
        item
        for item in all_families()
        if (not named or item.topic in named or item.name in named)
        and (level is None or level in item.levels)
    )
    if not found:
        raise StudyError(f"level got {level}, but no family of {', '.join(sorted(named))} has it")
    return found


def _known(name: str) -> str:
    word = name.strip().lower().replace("_", "-").replace(" ", "-")
    known = (*topics(), *(item.name for item in all_families()))
    if word not in known:
        near = suggestion(word, known)
        listed = "" if near else f"; topics: {', '.join(topics())}"
        raise StudyError(
            f"topic '{name}' is not known{near or listed}"
            + (f" (chainrule practice topics lists all {len(topics())})" if near else "")
        )
    return word


def draw(
    count: int, seed: int, wanted: Sequence[str] = (), level: int | None = None
) -> list[Question]:
    """Questions drawn by a seed: every family once before any comes again.

    Args:
        count: how many.
        seed: same seed, same questions.
        wanted: names of topics or families; () for all.
        level: 1 to 3; None for any.

    Raises:
        StudyError: no such topic or level, or a count that is none.
    """
    if count < 1:
        raise StudyError(f"count got {count}, wants a whole number from 1")
    if not 0 <= seed < 2**31:
        raise StudyError(f"seed got {seed}, wants a whole number from 0 to 2^31 - 1")
    return [make(*place) for place in islice(_places(seed, wanted, level), count)]


def draw_one(
    place: int, seed: int, wanted: Sequence[str] = (), level: int | None = None
) -> Question:
    """The question that ``draw`` puts at this place (from 0), without making those before it."""
    return make(*next(islice(_places(seed, wanted, level), place, None)))


Place = tuple[Family, int, int]


def _places(seed: int, wanted: Sequence[str], level: int | None) -> Iterator[Place]:
    """Family, level and seed of one question after the other, without end."""
    drawn = Random(f"exam:{seed}")
    for family in _in_turn(families(wanted, level), drawn):
        yield _place(family, level, drawn)


def _in_turn(pool: Sequence[Family], drawn: Random) -> Iterator[Family]:
    """All families in random order, and again in another."""
    while True:
        yield from drawn.sample(pool, len(pool))


def _place(family: Family, level: int | None, drawn: Random) -> Place:
    return family, level or drawn.choice(family.levels), drawn.randrange(_SEEDS)


def practice(
    topic: str | Sequence[str] | None = None,
    *,
    level: int | None = None,
    count: int = 1,
    seed: int = 0,
) -> tuple[Question, ...]:
    """Questions with their answers, solutions and proofs.

    Args:
        topic: name of a topic or family, or several; None for all.
        level: 1 (easy) to 3; None for any.
        count: how many.
        seed: same seed, same questions.

    Raises:
        StudyError: no such topic or level, or a count that is none.

    Examples:
        >>> (found,) = practice("layer-parameters", level=2, seed=3)
        >>> found.topic, found.proof.holds
        ('parameters', True)
    """
    wanted = [topic] if isinstance(topic, str) else list(topic or ())
    return tuple(draw(count, seed, wanted, level))


def draw_weighted(
    weights: Mapping[str, float],
    drawn: Random,
    wanted: Sequence[str] = (),
    level: int | None = None,
) -> Question:
    """One question, whose topic is drawn by weight.

    Args:
        weights: by topic; at least one above 0.
        drawn: random numbers.
        wanted: names of topics or families; () for all.
        level: 1 to 3; None for any.
    """
    topic = drawn.choices(list(weights), list(weights.values()))[0]
    pool = [item for item in families(wanted, level) if item.topic == topic]
    return make(*_place(drawn.choice(pool), level, drawn))


def question(name: str) -> Question:
    """The question of that identifier, ``family:level:seed``.

    Raises:
        StudyError: it is none.
    """
    parts = re.fullmatch(r"([\w-]+):([0-9]):([0-9]{1,10})", name.strip())
    if parts is None:
        raise StudyError(f"question '{name[:60]}' is not known: wants family:level:seed")
    found = [item for item in all_families() if item.name == parts[1]]
    if not found:
        near = suggestion(parts[1], [item.name for item in all_families()])
        raise StudyError(f"family '{parts[1]}' is not known{near}")
    return make(found[0], int(parts[2]), int(parts[3]))
