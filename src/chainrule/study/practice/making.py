"""Making: a family, a level and a seed to a question whose proof agrees."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import torch

from chainrule.analysis.tracer import same_random_state
from chainrule.errors import StudyError
from chainrule.finding import Proof
from chainrule.study.practice.expected import LETTERS, Choice
from chainrule.study.practice.question import Draft, Family, Mistake, Option, Question

_FEWEST, _MOST = 3, 3  # wrong options beside the right one


def make(family: Family, level: int, seed: int) -> Question:
    """The question of a family with the numbers that this seed draws.

    The first level offers answers to choose from, where enough mistakes are known; from the
    second on the answer is typed.

    Args:
        family: its kind.
        level: one of the family's levels.
        seed: same seed, same question.

    Raises:
        StudyError: the family has no such level, or the two computations disagree: such a
            question is never asked.
    """
    if level not in family.levels:
        known = ", ".join(map(str, family.levels))
        raise StudyError(f"level got {level}, but family '{family.name}' has {known}")
    drawn = Random(f"{family.name}:{level}:{seed}")
    with same_random_state():
        torch.manual_seed(drawn.getrandbits(31))
        draft = family.draw(drawn, level)
    name = f"{family.name}:{level}:{seed}"
    mistakes: tuple[Mistake, ...] = ()
    if draft.expected is not None:
        _must_agree(name, draft.expected.agrees(draft.proved), draft)
        mistakes = distinct(draft)
        draft = _with_options(draft, mistakes) if level == 1 else draft
    else:
        told = tuple(option.right for option in draft.options)
        _must_agree(name, tuple(draft.proved) == told, draft)
    return _question(name, family, level, seed, _shuffled(draft, drawn), mistakes)


def _must_agree(name: str, agrees: bool, draft: Draft) -> None:
    if not agrees:
        wanted = draft.expected.text if draft.expected else [one.right for one in draft.options]
        raise StudyError(
            f"question '{name}' failed its own proof and is not asked: computed {wanted}, but "
            f"{draft.way} gives {draft.proved}"
        )


def distinct(draft: Draft) -> tuple[Mistake, ...]:
    """The mistakes whose answers differ from the right one and from each other."""
    assert draft.expected is not None
    found: dict[str, Mistake] = {}
    for mistake in draft.mistakes:
        read = draft.expected.grade(mistake.answer)
        if not read.right:
            found.setdefault(draft.expected.written(mistake.answer), mistake)
    found.pop(draft.expected.text, None)  # the same to the digits that are shown
    return tuple(found.values())


def _with_options(draft: Draft, mistakes: tuple[Mistake, ...]) -> Draft:
    """The same question with answers to choose from, each wrong one refuted by the proof."""
    assert draft.expected is not None
    if len(mistakes) < _FEWEST:
        return draft
    answer = draft.expected.text
    wrong = tuple(
        Option(text, False, f"{text}: {item.why}; {draft.way} gives {answer}.")
        for item in mistakes[:_MOST]
        for text in [draft.expected.written(item.answer)]
    )
    right = Option(answer, True, f"{draft.way} gives it too.")
    truths = tuple(item.right for item in (right, *wrong))
    return replace(draft, options=(right, *wrong), proved=truths, several=False)


def _shuffled(draft: Draft, drawn: Random) -> Draft:
    """The options in an order of their own."""
    if not draft.options:
        return draft
    options = list(draft.options)
    drawn.shuffle(options)
    letters = tuple(LETTERS[place] for place, item in enumerate(options) if item.right)
    texts = tuple(item.text for item in options)
    if not draft.several and len(letters) != 1:
        raise StudyError(f"question '{draft.text}' has {len(letters)} right options, wants one")
    expected = Choice(letters, len(options), draft.several, texts, draft.expected)
    return replace(draft, options=tuple(options), expected=expected)


def _question(
    name: str, family: Family, level: int, seed: int, draft: Draft, mistakes: tuple[Mistake, ...]
) -> Question:
    assert draft.expected is not None
    right = "; ".join(one.text for one in draft.options if one.right)
    claim = f"the answer is {right or draft.expected.text}"
    return Question(
        id=name,
        topic=family.topic,
        family=family.name,
        level=level,
        seed=seed,
        text=draft.text,
        conventions=draft.conventions,
        options=draft.options,
        expected=draft.expected,
        mistakes=mistakes,
        solution=draft.solution,
        proof=Proof(claim, draft.way, len(draft.options) or 1),
        experiment=draft.experiment,
        figure=draft.figure,
    )
