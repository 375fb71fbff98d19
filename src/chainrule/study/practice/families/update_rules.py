"""Update rules by hand: one and two steps, weight decay and schedules, against torch.optim."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from chainrule.study.practice.expected import Number
from chainrule.study.practice.families import stepping
from chainrule.study.practice.families.drafting import (
    enough_mistakes,
    factor,
    halves,
    numbers,
    shown,
)
from chainrule.study.practice.families.schedules import SCHEDULES
from chainrule.study.practice.families.stepping import Settings, Walk, end, walked
from chainrule.study.practice.question import LEVELS, Draft, Family

_WAY = "torch.optim in float64"
_DIGITS = "an answer is wanted to four digits"
_EPSILON = "eps = 1e-8 is added to the square root, not under it"
_FORMULAS = {
    "sgd": "`w = w - a*g`",
    "momentum": "PyTorch's form: `v = mu*v + g; w = w - a*v`",
    "nesterov": "PyTorch's form: `v = mu*v + g; w = w - a*(g + mu*v)`",
    "adagrad": "`c = c + g^2; w = w - a*g/(sqrt(c) + eps)`",
    "rmsprop": "`c = r*c + (1 - r)*g^2; w = w - a*g/(sqrt(c) + eps)`",
    "adam": "`m = b1*m + (1 - b1)*g; v = b2*v + (1 - b2)*g^2`, after step t divided by "
            "`1 - b1^t` and `1 - b2^t`; `w = w - a*m/(sqrt(v) + eps)`",
}  # fmt: skip
_NAMES = {
    "sgd": "plain SGD", "momentum": "momentum", "nesterov": "Nesterov momentum",
    "adagrad": "AdaGrad", "rmsprop": "RMSProp", "adam": "Adam",
}  # fmt: skip
_RULES: dict[str, stepping.Rule] = {
    "sgd": stepping.sgd, "momentum": stepping.momentum, "nesterov": stepping.nesterov,
    "adagrad": stepping.adagrad, "rmsprop": stepping.rmsprop, "adam": stepping.adam,
}  # fmt: skip


def _signed(drawn: Random, least: float, most: float) -> float:
    return halves(drawn, least, most) * drawn.choice((-1, 1))


def _walk(drawn: Random, level: int) -> Walk:
    """Level 1 gives one gradient, level 2 two, level 3 a function to differentiate."""
    if level < 3:
        return Walk(_signed(drawn, 1, 6), level, tuple(_signed(drawn, 1, 5) for _ in range(level)))
    low = float(drawn.randint(-3, 3))
    start = low + drawn.choice((-1, 1)) * drawn.randint(2, 5)
    return Walk(start, 2, (), drawn.choice((0.5, 1.0, 2.0)), low)


def _source(walk: Walk, loss: str = "") -> str:
    """Where the gradients come from."""
    if not walk.gradients:
        return f"The loss is `L = {walk.loss}`."
    if walk.steps == 1:
        return f"The gradient{loss} is {shown(walk.gradients[0])}."
    given = " and then ".join(map(shown, walk.gradients))
    return f"The gradients{loss} in the two steps are {given}."


def _asked(walk: Walk) -> str:
    return {1: "one step", 2: "two steps"}.get(walk.steps, f"{walk.steps} steps")


def _settled(drawn: Random, level: int, name: str, s: Settings) -> Walk:
    """A walk that does not end near 0, where three digits would say little."""
    while True:
        walk = _walk(drawn, level)
        if abs(end(_RULES[name], walk, s)) > 0.2:
            return walk


def _sgd(drawn: Random, level: int) -> Draft:
    """Steps down a parabola: one, three, or as many as only a closed form gives quickly."""
    steps = {1: 1, 2: 3, 3: drawn.randint(6, 12)}[level]
    while True:
        walk = replace(_walk(drawn, 3), steps=steps)
        s = Settings(drawn.choice((0.05, 0.1, 0.2, 0.25)))
        shrink = 1 - 2 * s.rate * walk.scale
        right = walk.low + shrink**steps * (walk.start - walk.low)
        if abs(right) > 0.2 and abs(right - walk.low) > 0.05 and shrink > 0:
            break
    return Draft(
        text=f"A parameter starts at `w = {shown(walk.start)}`. {_source(walk)} Where is it after "
        f"{_asked(walk)} of plain SGD with learning rate {shown(s.rate)}?",
        conventions=(_FORMULAS["sgd"], "every step uses the gradient of the whole loss", _DIGITS),
        expected=Number(right, close=5e-4),
        proved=stepping.stepped_by_pytorch("sgd", walk, s),
        way=_WAY,
        mistakes=numbers(
            (end(stepping.sgd, walk, replace(s, rate=-s.rate)), "climbs instead of descending"),
            (end(stepping.sgd, replace(walk, scale=walk.scale / 2), s),
             "forgets the 2 of the derivative"),
            (walk.start - steps * s.rate * walk.gradient(0, walk.start) if steps > 1 else
             walk.start - walk.gradient(0, walk.start),
             "takes the first gradient for every step" if steps > 1 else
             "forgets the learning rate"),
            (walk.start - s.rate * walk.scale * (walk.start - walk.low) ** 2,
             "subtracts the loss instead of its gradient"),
            (end(stepping.sgd, replace(walk, steps=steps + 1), s), "takes one step too many"),
            (shrink**steps * (walk.start - walk.low) if walk.low else walk.start,
             "gives the distance from the minimum"),
        ),
        solution=(
            *walked(stepping.sgd, walk, s)[1][:3],
            *([] if steps == 1 else [
                f"each step multiplies the distance from the minimum at {shown(walk.low)} by 1 - "
                f"2 x {shown(s.rate)} x {shown(walk.scale)} = {shown(shrink)}",
                f"w = {shown(walk.low)} + {shown(shrink)}^{steps} x "
                f"{factor(walk.start - walk.low)} = {shown(right)}",
            ]),
        ),
        experiment="learning-rate-curves",
    )  # fmt: skip


@enough_mistakes
def _momentum(drawn: Random, level: int) -> Draft:
    name = drawn.choice(("momentum", "nesterov"))
    velocity = _signed(drawn, 1, 4) if level == 1 else 0.0
    s = Settings(drawn.choice((0.05, 0.1, 0.2)), drawn.choice((0.5, 0.8, 0.9)), velocity=velocity)
    walk = _settled(drawn, level, name, s)
    other = "nesterov" if name == "momentum" else "momentum"
    rule = _RULES[name]
    return Draft(
        text=f"A parameter starts at `w = {shown(walk.start)}` with velocity `v = "
        f"{shown(velocity)}`. {_source(walk)} Where is `w` after {_asked(walk)} of "
        f"{_NAMES[name]} with learning rate `a = {shown(s.rate)}` and `mu = {shown(s.momentum)}`? ",
        conventions=(_FORMULAS[name], _DIGITS),
        expected=Number(end(rule, walk, s), close=5e-4),
        proved=stepping.stepped_by_pytorch(name, walk, s),
        way=_WAY,
        mistakes=numbers(
            (end(stepping.sgd, walk, s), "forgets the velocity"),
            (end(_RULES[other], walk, s), f"takes the step of {_NAMES[other]}"),
            (end(stepping.averaged, walk, s), "multiplies the gradient by 1 - mu"),
            (end(rule, walk, replace(s, rate=-s.rate)), "climbs instead of descending"),
            (end(rule, walk, replace(s, momentum=1.0)), "forgets that the velocity decays"),
            (end(stepping.lagging, walk, s), "moves by the velocity from before the gradient"),
            (end(rule, walk, replace(s, momentum=1 - s.momentum)), "takes 1 - mu for mu"),
        ),
        solution=tuple(walked(rule, walk, s)[1]),
        experiment="update-rules",
    )


@enough_mistakes
def _adaptive(drawn: Random, level: int) -> Draft:
    name = drawn.choice(("adagrad", "rmsprop", "adam"))
    s = Settings(drawn.choice((0.05, 0.1, 0.2, 0.5)), decay=drawn.choice((0.75, 0.9, 0.99)),
                 beta2=drawn.choice((0.9, 0.99, 0.999)))  # fmt: skip
    walk = _settled(drawn, level, name, s)
    rule = _RULES[name]
    return Draft(
        text=f"A parameter starts at `w = {shown(walk.start)}`. {_source(walk)} Where is it after "
        f"{_asked(walk)} of {_NAMES[name]} with {_numbers_of(name, s)}? All state starts at 0. ",
        conventions=(_FORMULAS[name], _EPSILON, _DIGITS),
        expected=Number(end(rule, walk, s), close=5e-4),
        proved=stepping.stepped_by_pytorch(name, walk, s),
        way=_WAY,
        mistakes=numbers(
            *_slips(name, walk, s),
            (end(stepping.sgd, walk, s), "takes plain SGD's step"),
            (end(rule, walk, replace(s, rate=-s.rate)), "climbs instead of descending"),
            (end(rule, walk, replace(s, eps=1.0)), "takes 1 for eps"),
        ),
        solution=tuple(walked(rule, walk, s)[1]),
        experiment="update-rules",
    )


def _numbers_of(name: str, s: Settings) -> str:
    rate = f"`a = {shown(s.rate)}`"
    if name == "adagrad":
        return f"learning rate {rate}"
    if name == "rmsprop":
        return f"learning rate {rate} and decay `r = {shown(s.decay)}`"
    return f"{rate}, `b1 = {shown(s.beta1)}` and `b2 = {shown(s.beta2)}`"


def _slips(name: str, walk: Walk, s: Settings) -> list[tuple[float, str]]:
    """Slips that this rule invites."""
    root, sums = "forgets the square root", "adds squares up without letting old ones decay"
    if name == "adagrad":
        return [
            (end(stepping.unrooted, walk, s), root),
            (end(stepping.unsquared, walk, s), "adds up gradients, not their squares"),
            (end(stepping.rmsprop, walk, s), "lets old squares decay, as RMSProp does"),
        ]
    if name == "rmsprop":
        return [
            (end(stepping.unrooted_rmsprop, walk, s), root),
            (end(stepping.adagrad, walk, s), sums),
            (end(stepping.swapped, walk, s), "weighs the new square by r, the old ones by 1 - r"),
        ]
    return [
        (end(stepping.uncorrected, walk, s), "forgets to correct for the start at 0"),
        (end(stepping.half_corrected, walk, s), "corrects m, but not v"),
        (end(stepping.unrooted_adam, walk, s), root),
        (end(stepping.adagrad, walk, s), sums),
    ]


@enough_mistakes
def _weight_decay(drawn: Random, level: int) -> Draft:
    """SGD's penalty (level 1), AdamW (level 2), Adam or AdamW over two steps (level 3)."""
    decoupled = level == 2 or (level == 3 and drawn.random() < 0.5)
    name = "sgd" if level == 1 else "adam"
    s = Settings(drawn.choice((0.1, 0.2, 0.5)), weight_decay=drawn.choice((0.1, 0.2, 0.5)),
                 decoupled=decoupled)  # fmt: skip
    walk = _settled(drawn, 1 if level < 3 else 2, name, s)
    title = "AdamW" if decoupled else "SGD" if level == 1 else "Adam"
    rule, strength = _RULES[name], s.weight_decay
    form = (
        "decoupled: each step first takes `a*lambda*w` from `w`, then Adam's step with `g` alone"
        if decoupled else "`lambda*w` is added to the gradient before anything else"
    )  # fmt: skip
    betas = "" if level == 1 else f", `b1 = {shown(s.beta1)}`, `b2 = {shown(s.beta2)}`"
    mixed = replace(s, decoupled=not decoupled)
    return Draft(
        text=f"A parameter starts at `w = {shown(walk.start)}`. "
        f"{_source(walk, ' of the data loss')} Where is it after "
        f"{_asked(walk)} of {title} with learning rate `a = {shown(s.rate)}`{betas} and weight "
        f"decay `lambda = {shown(strength)}`?{'' if level == 1 else ' All state starts at 0.'}",
        conventions=(_FORMULAS[name], form, *([] if level == 1 else [_EPSILON]), _DIGITS),
        expected=Number(end(rule, walk, s), close=5e-4),
        proved=stepping.stepped_by_pytorch(name, walk, s),
        way=_WAY,
        mistakes=numbers(
            (end(rule, walk, replace(s, weight_decay=0.0)), "forgets the weight decay"),
            *([] if level == 1 else [(end(rule, walk, mixed),
               "adds the decay to the gradient, as Adam does" if decoupled else
               "decays apart from the gradient, as AdamW does")]),
            (end(rule, walk, replace(s, weight_decay=-strength)), "lets the weight grow"),
            (end(rule, walk, replace(s, weight_decay=2 * strength)),
             "takes twice lambda, as if the penalty were `lambda*w^2`"),
            (end(rule, walk, replace(s, weight_decay=strength / s.rate)),
             "forgets to multiply the decay by the learning rate"),
            (end(rule, walk, replace(s, rate=-s.rate)), "climbs instead of descending"),
        ),
        solution=_decayed(walk, s, rule),
        experiment="update-rules",
    )  # fmt: skip


def _decayed(walk: Walk, s: Settings, rule: stepping.Rule) -> tuple[str, ...]:
    lines = walked(rule, walk, s)[1]
    shrink = f"first w is multiplied by 1 - {shown(s.rate)} x {shown(s.weight_decay)} in each step"
    added = f"g is the gradient of the data loss plus {shown(s.weight_decay)} x w"
    return (shrink if s.decoupled else added, *lines)


FAMILIES = (
    Family("sgd-steps", "update-rules", "steps of plain SGD", LEVELS, _sgd),
    Family("momentum-step", "update-rules", "steps with momentum", LEVELS, _momentum),
    Family("adaptive-step", "update-rules", "steps of AdaGrad, RMSProp and Adam", LEVELS,
           _adaptive),
    Family("decoupled-decay", "update-rules", "weight decay in SGD, Adam and AdamW", LEVELS,
           _weight_decay),
    *SCHEDULES,
)  # fmt: skip
