"""Choice: the smallest set of changes that restores learning, out of what the replays showed."""

from __future__ import annotations

import math
from collections.abc import Callable

from chainrule.diagnosis.case import CERTAIN, SYMPTOM, TRIED, Hypothesis
from chainrule.diagnosis.replaying.change import Change
from chainrule.diagnosis.replaying.changes.updating import ScaleRate
from chainrule.diagnosis.search import Search
from chainrule.diagnosis.weighing import (
    GOOD,
    NEAR,
    NOTHING,
    Changes,
    alone,
    compatible,
    counts,
    known,
)

# of cures that are alike the one that comes first is named: what stands nearer to the beginning of
# the chain (data, then weights, then signals) explains what follows, and the particular explains
# more than the general
_ORDER = (
    "non-finite-data", "labels-misaligned", "labels-wrongly-encoded", "shapes-broadcast",
    "same-batch-repeated", "loss-sign-flipped", "parameters-not-optimized", "graph-detached",
    "gradients-not-cleared", "wrong-mode", "loss-expects-logits", "output-activation-wrong",
    "loss-unsuited", "inputs-not-normalized", "targets-not-scaled", "numerical-overflow",
    "symmetric-initialization", "initialization-too-large", "initialization-too-small",
    "dropout-too-strong", "regularization-too-strong", "augmentation-too-strong",
    "batchnorm-misused", "missing-nonlinearity", "loss-not-averaged", "gradients-clipped-too-hard",
    "learning-rate-decays-too-soon", "momentum-too-high", "classes-imbalanced",
    "data-not-shuffled", "batch-size-unsuited", "vanishing-gradients", "dead-relu",
    "saturated-activations", "exploding-gradients", "capacity-too-small", "too-few-steps",
    "learning-rate-too-high", "learning-rate-too-low", "optimizer-unsuited",
)  # fmt: skip
_MOST = 4
_SPOKEN = 0.1  # by so much what less speaks for has to be better


class Choice:
    """Looks for the smallest set.

    Args:
        search: knows what was run, and runs more.
        hypotheses: all that were raised.
    """

    def __init__(self, search: Search, hypotheses: list[Hypothesis]) -> None:
        self.search, self.hypotheses = search, hypotheses
        self._weights: dict[object, int] = {}
        for item in hypotheses:
            self._weights[item.change] = max(self._weights.get(item.change, 0), item.weight)

    def smallest(self) -> Changes:
        """The set; empty where nothing that counts makes a difference."""
        return self._preferred(self._found())

    def _preferred(self, cures: Changes) -> Changes:
        """Of sets of the same size that do as well, the one that most speaks for."""
        value = self.search.skill(cures)
        alike = [
            key for key, seed in self.search.runs
            if seed == 0 and len(key) == len(cures)
            and self.search.skill(key) >= value - max(NEAR, 0.08 * abs(value))
        ]  # fmt: skip
        best = max(alike, key=self._spoken_for, default=cures) if cures else cures
        return best if self._spoken_for(best) > self._spoken_for(cures) else cures

    def _spoken_for(self, cures: Changes) -> tuple[int, int]:
        """The weights of the changes together, and how early they stand in the explanation."""
        ranks = [
            min((rank(item.code) for item in self.hypotheses if item.change == change), default=99)
            for change in cures
        ]
        return sum(self._weights.get(change, 0) for change in cures), -sum(ranks)

    def _found(self) -> Changes:
        """What the replays come to."""
        single = self._best(NOTHING, self._options(NOTHING, 0)) or NOTHING
        first = max(self.search.reached(), known(self.search.skill(single), -1.0))
        spoken = self._best_set(lambda change: self._weights.get(change, 0) >= SYMPTOM)
        together = known(self.search.skill(spoken), -1.0)
        tried = single and self._is_tried(single) and together >= first - 0.08
        better = tried or counts(SYMPTOM, first, together)
        if spoken and better and together > min(GOOD, self.search.best() - NEAR):
            return self.shrink(spoken)
        grown = self.grow(NOTHING)
        whole = self._best_set(lambda _change: True)
        reached = max(self.search.reached(), known(self.search.skill(grown), -1.0))
        if whole and counts(SYMPTOM, reached, self.search.skill(whole)):
            return self.shrink(whole)
        return self.shrink(grown) if len(grown) > 1 else grown

    def _best_set(self, fits: Callable[[Change], bool]) -> Changes:
        """The best of the sets of several changes that were run."""
        sets = [
            key
            for key, seed in self.search.runs
            if seed == 0 and len(key) > 1 and all(map(fits, key))
        ]
        return max(sets, key=lambda key: known(self.search.skill(key), -2.0), default=NOTHING)

    def _is_tried(self, cures: Changes) -> bool:
        """Whether nothing speaks for them but that they helped."""
        return all(self._weights.get(change, TRIED) < SYMPTOM for change in cures)

    def grow(self, start: Changes) -> Changes:
        """Add the changes that count, the weightiest first, one after the other."""
        current = start
        for size in range(_MOST):
            options = self._options(current, size)
            if size:
                self.search.run([option for option, _ in options], race=True)
            best = self._best(current, options)
            if best is None:
                break
            current = best
            if self._is_enough(current) or self.search.left < 0.15 * self.search.seconds:
                break
        return current

    def _is_enough(self, current: Changes) -> bool:
        """Whether nothing that counts is left to be gained."""
        value = self.search.skill(current)
        others = {item.change for item in self.hypotheses if item.weight >= SYMPTOM} - current
        return value > 0.95 or (value > GOOD and not others)

    def _options(self, current: Changes, size: int) -> list[tuple[Changes, Hypothesis]]:
        """The set with one more change."""
        if not size:
            return [(alone(item), item) for item in self.hypotheses]
        strong = [item for item in self.hypotheses if item.weight >= SYMPTOM]
        near = self.search.skill(current) > GOOD  # nothing unspoken for makes a difference now
        tried = [item for item in self.search.best_of_each(self.hypotheses, TRIED)
                 if item.weight == TRIED]  # fmt: skip
        tried.sort(key=lambda item: -known(self.search.skill(alone(item)), -1.0))
        codes = {item.code for item in self.named(current)}  # each is mended once
        found = []
        for item in strong if near else (*strong, *tried[:6]):
            option = compatible([*current, item.change])
            if item.code not in codes and len(option) > len(current):
                found.append((option, item))
        return found[:14]

    def _best(self, current: Changes, options: list[tuple[Changes, Hypothesis]]) -> Changes | None:
        """Of the options that count the best; of those that are alike the one to be named."""
        before = self.search.skill(current) if current else self.search.reached()
        counted = [
            (self.search.skill(option), option, item) for option, item in options
            if counts(item.weight, before, self.search.skill(option), further=bool(current))
        ]  # fmt: skip
        if not counted:
            return None
        certain = [entry for entry in counted if entry[2].weight >= CERTAIN]
        pool = certain or counted
        top = max(value for value, _, _ in pool)
        spoken = max(item.weight for value, _, item in pool if value == top)
        near = [
            (value, option, item) for value, option, item in pool
            if value >= top - (max(NEAR, 0.08 * abs(top)) if item.weight <= spoken else _SPOKEN)
        ]  # fmt: skip
        return min(near, key=lambda entry: (
            -entry[2].weight, rank(entry[2].code), _extremity(entry[2], top - entry[0]), -entry[0]
        ))[1]  # fmt: skip

    def shrink(self, start: Changes) -> Changes:
        """Leave out, one after the other, what is not needed."""
        current = start
        while len(current) > 1 and self.search.left > 2:
            smaller = {change: current - {change} for change in current}
            self.search.run(list(smaller.values()))
            full = self.search.skill(current)
            spare = [
                (self._weights.get(change, TRIED), -value, repr(change), rest)
                for change, rest in smaller.items()
                if not math.isnan(value := self.search.skill(rest))
                and not counts(self._weights.get(change, TRIED), value, full, further=True)
            ]
            if not spare:
                break
            current = min(spare, key=lambda entry: entry[:3])[3]
        return current

    def alternatives(self, cures: Changes) -> list[Changes]:
        """Other sets of the size that did as well with the first seed, the best first."""
        value = self.search.skill(cures)
        sets = [
            key for key, seed in self.search.runs
            if seed == 0 and len(key) == len(cures) and key != cures
            and len(self.named(key)) == len(key) and self.search.skill(key) >= value - NEAR
        ]  # fmt: skip
        return sorted(dict.fromkeys(sets), key=lambda key: -self.search.skill(key))

    def named(self, cures: Changes) -> list[Hypothesis]:
        """For each change the hypothesis that it speaks for most."""
        chosen = []
        for change in cures:
            same = [item for item in self.hypotheses if item.change == change]
            if same:
                chosen.append(min(same, key=lambda item: (-item.weight, rank(item.code))))
        return sorted(chosen, key=lambda item: (-item.weight, rank(item.code)))

    def equivalent(self, chosen: list[Hypothesis], cures: Changes) -> tuple[tuple[str, ...], ...]:
        """Codes of other changes that cure as well: alone, or in the place of one of the set."""
        names = {item.code for item in chosen}
        after = self.search.skill(cures)
        found: dict[tuple[str, ...], None] = {}
        for item in self.hypotheses:
            for option in (
                alone(item),
                *(compatible([*(cures - {change}), item.change]) for change in cures),
            ):
                value = self.search.skill(option)
                if item.code in names or math.isnan(value) or value < after - NEAR:
                    continue
                others = (one for one in chosen if one.change != item.change)
                rest = [one.code for one in others if one.change in option]
                found[tuple(sorted({*rest, item.code}))] = None
        return tuple(codes for codes in found if set(codes) != names)


def _extremity(item: Hypothesis, missing: float) -> float:
    """How far a learning rate is from what it was; of those that do well the nearest is taken."""
    if not isinstance(item.change, ScaleRate) or missing > NEAR:
        return math.inf
    return abs(math.log10(item.change.factor))


def rank(code: str) -> int:
    """Where a code stands in the order of explanation.

    Examples:
        >>> rank("inputs-not-normalized") < rank("learning-rate-too-high")
        True
    """
    return _ORDER.index(code) if code in _ORDER else len(_ORDER)
