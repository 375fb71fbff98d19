"""Gates with letters: the gradient by an input as a formula of the upstream gradient."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from chainrule.study.practice.expected import Formula
from chainrule.study.practice.families.derived import (
    AUTOGRAD,
    Given,
    as_autograd_has_it,
    gradient,
    renamed,
)
from chainrule.study.practice.question import Draft, Family, Mistake

_ONE: Given = (("v", "g"),)
_TWO: Given = (("v1", "g1"), ("v2", "g2"))
_LETTERS = (("z1", "z2", "z3"), ("x", "y", "z"), ("p", "q", "r"), ("m", "n", "o"),
            ("s1", "s2", "s3"), ("u", "w", "t"))  # fmt: skip


@dataclass(frozen=True)
class _Gate:
    """Equations in A, B and C, the input wanted, names of the answer, and wrong answers."""

    equations: str
    wrt: str
    names: tuple[str, ...]
    slips: tuple[tuple[str, str], ...]


_GATES: dict[int, tuple[_Gate, ...]] = {
    1: (
        _Gate("v = max(A, B)", "A", ("A", "B", "g"), (
            ("1{B > A}*g", "routes the gradient to the smaller input"),
            ("g", "lets the gradient through to the smaller input too"),
            ("g/2", "shares the gradient as if it were a mean"), ("A*g", "multiplies by A"))),
        _Gate("v = min(A, B)", "B", ("A", "B", "g"), (
            ("1{B > A}*g", "routes the gradient to the larger input"),
            ("g", "lets the gradient through to the larger input too"),
            ("-g", "takes min for minus max without turning its inputs"),
            ("g/2", "shares the gradient as if it were a mean"))),
        _Gate("v = A*B", "A", ("A", "B", "g"), (
            ("A*g", "takes the input itself instead of the other one"),
            ("g", "copies the gradient as a sum does"),
            ("A*B*g", "multiplies by the output"), ("B", "forgets the upstream gradient"))),
        _Gate("v = A + B", "B", ("A", "B", "g"), (
            ("g/2", "splits the gradient, but a sum copies it"),
            ("A*g", "swaps inputs as a product does"), ("B*g", "multiplies by the input"),
            ("1", "forgets the upstream gradient"))),
        _Gate("v = A - B", "B", ("A", "B", "g"), (
            ("g", "forgets the minus sign"), ("-B*g", "multiplies by the input"),
            ("-A*g", "swaps inputs as a product does"), ("-1", "forgets the upstream gradient"))),
        _Gate("v = A/B", "B", ("A", "B", "g"), (
            ("g*A/B^2", "forgets the minus sign"), ("g/B", "is the gradient by the numerator"),
            ("g*A", "takes the quotient for a product"), ("-g/B^2", "forgets the numerator"))),
        _Gate("v = max(A, 0)", "A", ("A", "g"), (
            ("g", "passes the gradient where the unit is off too"),
            ("g*A", "multiplies by the input"), ("1{g > 0}*g", "looks at the gradient's sign, "
             "not the input's"), ("1{A < 0}*g", "passes the gradient where the unit is off"))),
        _Gate("v = A^2", "A", ("A", "g"), (
            ("A*g", "forgets the 2"), ("2*g", "forgets the input"), ("A^2*g", "multiplies by the "
             "output"), ("2*A", "forgets the upstream gradient"))),
        _Gate("v = sigmoid(A)", "A", ("v", "g"), (
            ("v*g", "forgets 1 - v"), ("(1 - v^2)*g", "takes the slope of tanh"),
            ("v*(1 - v)", "forgets the upstream gradient"), ("(1 - v)*g", "forgets v"))),
        _Gate("v = tanh(A)", "A", ("v", "g"), (
            ("v*(1 - v)*g", "takes the slope of sigmoid"), ("(1 - v)*g", "forgets the square"),
            ("1 - v^2", "forgets the upstream gradient"), ("v^2*g", "forgets 1 minus"))),
    ),
    2: (
        _Gate("v1 = max(A, B); v2 = max(B, C)", "B", ("A", "B", "C", "g1", "g2"), (
            ("1{B > A, B > C}*(g1 + g2)", "wants both maxima at once"),
            ("1{B > A}*g1", "forgets the second use"), ("g1 + g2", "forgets the conditions"),
            ("1{A > B}*g1 + 1{C > B}*g2", "routes gradients to the smaller inputs"))),
        _Gate("v1 = max(A, B); v2 = B*C", "B", ("A", "B", "C", "g1", "g2"), (
            ("C*g2", "forgets the path through the max"), ("1{B > A}*g1", "forgets the product"),
            ("1{B > A}*(g1 + C*g2)", "lets the max decide over the product"),
            ("1{B > A}*g1 + B*g2", "takes B itself instead of C"))),
        _Gate("v1 = A*B; v2 = A + B", "A", ("A", "B", "g1", "g2"), (
            ("B*g1", "forgets the sum"), ("A*g1 + g2", "takes A itself instead of B"),
            ("B*g1*g2", "multiplies the paths, but they add up"),
            ("(B*g1 + g2)/2", "averages over the paths"))),
        _Gate("v1 = max(A, 0); v2 = A*B", "A", ("A", "B", "g1", "g2"), (
            ("1{A > 0}*(g1 + B*g2)", "lets the ReLU stop both paths"),
            ("g1 + B*g2", "forgets the ReLU"), ("B*g2", "forgets the path through the ReLU"),
            ("1{A > 0}*g1*B*g2", "multiplies the paths, but they add up"))),
        _Gate("v = max(A, B, C)", "A", ("A", "B", "C", "g"), (
            ("1{A > B}*g", "compares with one of the others alone"),
            ("g/3", "shares the gradient as if it were a mean"),
            ("1{A > B}*g + 1{A > C}*g", "adds conditions that must hold together"),
            ("g", "forgets the conditions"))),
        _Gate("s = A*B; v = max(s, C)", "A", ("s", "C", "B", "g"), (
            ("1{s > C}*g", "stops at s"), ("B*g", "forgets the max"),
            ("1{C > s}*B*g", "routes the gradient to the smaller input"),
            ("1{s > C}*s*g", "multiplies by the output of the product"))),
        _Gate("v1 = min(A, B); v2 = max(A, B)", "A", ("A", "B", "g1", "g2"), (
            ("1{A > B}*g1 + 1{A < B}*g2", "swaps min and max"), ("g1 + g2", "forgets the "
             "conditions"), ("1{A < B}*g1", "forgets the max"), ("1{A > B}*g2", "forgets the min"),
        )),
        _Gate("s = sigmoid(A); v = s*B", "A", ("s", "B", "g"), (
            ("B*g", "stops at s"), ("s*(1 - s)*g", "forgets the product"),
            ("s*B*g", "takes s for the slope of sigmoid"), ("(1 - s^2)*B*g", "takes the slope of "
             "tanh"))),
        _Gate("s = A - B; v1 = s^2; v2 = A*C", "A", ("s", "C", "g1", "g2"), (
            ("2*s*g1", "forgets the product"), ("2*s*g1*C*g2", "multiplies the paths, but they "
             "add up"), ("s*g1 + C*g2", "forgets the 2 of the square"),
            ("-2*s*g1 + C*g2", "has the sign turned in the square"))),
    ),
}  # fmt: skip


def _gate(drawn: Random, level: int) -> Draft:
    gate = drawn.choice(_GATES[level])
    given = _TWO if "v2" in gate.equations else _ONE
    letters = dict(zip("ABC", drawn.choice(_LETTERS), strict=True))
    if "s = " in gate.equations:
        letters = dict(zip("ABC", drawn.choice(_LETTERS[1:4]), strict=True))
    right = gradient(gate.equations, gate.wrt, given)
    proved = as_autograd_has_it(right, gate.equations, gate.wrt, given)
    wrt = letters[gate.wrt]
    names = tuple(letters.get(name, name) for name in gate.names)
    upstream = " and ".join(f"`dL/d{value} = {name}`" for value, name in given)
    answer = renamed(right, letters)
    return Draft(
        text=f"A graph computes `{renamed(gate.equations, letters)}`. Upstream, {upstream} "
        f"{'is' if len(given) == 1 else 'are'} known. Write `dL/d{wrt}` as a formula of "
        f"{', '.join(f'`{name}`' for name in names)}.",
        conventions=("`1{a > b}` is 1 where a > b, else 0; ties do not matter",),
        expected=Formula(answer, names),
        proved=renamed(proved, letters),
        way=AUTOGRAD,
        mistakes=tuple(
            Mistake(renamed(wrong, letters), renamed(why, letters)) for wrong, why in gate.slips
        ),
        solution=(
            "each value that reads it sends back its upstream gradient times its local gradient",
            f"dL/d{wrt} = {answer}",
        ),
    )


GATES = (
    Family("gate-formula", "backpropagation", "gradient of gates as a formula", (1, 2), _gate),
)  # fmt: skip
