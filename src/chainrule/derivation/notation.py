"""Notation: formulas as text, which can be read again, and as LaTeX.

A product of matrices is written side by side (``X^T (P - Y)``), one element by element with a
star; indicators are ``1{z2 > z1}``.
"""

from __future__ import annotations

import re
from fractions import Fraction

from chainrule.derivation.expression import Expr, option

_SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(5)  # how tightly a formula holds together
GREEK = frozenset(
    ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
     "lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi",
     "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega")
)  # fmt: skip


def text(node: Expr) -> str:
    """A formula in one line, as it may be typed.

    Examples:
        >>> from chainrule.derivation.expression import symbol
        >>> x, y = symbol("x"), symbol("y")
        >>> text((x - y) * (x - y) / (x + x))
        '(x - y)^2/(2*x)'
    """
    return _Text().write(node)


def latex(node: Expr) -> str:
    r"""A formula in LaTeX.

    Examples:
        >>> from chainrule.derivation.expression import symbol
        >>> latex(symbol("lambda1") * symbol("yhat"))
        '\\lambda_{1} \\hat{y}'
    """
    return _Latex().write(node)


class _Text:
    """Plain text."""

    times = "*"
    ruled = False  # whether fractions have a line

    def write(self, node: Expr) -> str:
        return self.at(node, _SUM)

    def at(self, node: Expr, level: int) -> str:
        """The formula, in parentheses where it is looser than ``level``."""
        made, own = self._one(node)
        return made if own >= level else self.parentheses(made)

    def parentheses(self, made: str) -> str:
        return f"({made})"

    def _one(self, node: Expr) -> tuple[str, int]:
        special = getattr(self, f"_{node.kind}", None)
        if special is not None:
            found: tuple[str, int] = special(node)
            return found
        return self.called(node), _ATOM

    def _symbol(self, node: Expr) -> tuple[str, int]:
        return self.name(node.data), _ATOM

    def _dim(self, node: Expr) -> tuple[str, int]:
        return self.name(node.data), _ATOM

    def name(self, name: str) -> str:
        return name

    def _number(self, node: Expr) -> tuple[str, int]:
        made = self.fraction(node.data)
        if node.shape and node.data:
            return self.constant(made, node.shape), _ATOM
        return made, _SIGN if node.data < 0 else (_PRODUCT if "/" in made else _ATOM)

    def constant(self, made: str, shape: tuple[int | str, ...]) -> str:
        ones = f"ones({', '.join(map(str, shape))})"
        return ones if made == "1" else f"{made}*{ones}"

    def fraction(self, value: Fraction) -> str:
        return decimal(value) or f"{value.numerator}/{value.denominator}"

    def _add(self, node: Expr) -> tuple[str, int]:
        made = self.at(node.args[0], _SUM)
        for item in node.args[1:]:
            part = self.at(item, _PRODUCT) if not _negative(item) else self.at(item, _SUM)
            made += f" - {part[1:]}" if part.startswith("-") else f" + {part}"
        return made, _SUM

    def _mul(self, node: Expr) -> tuple[str, int]:
        coefficient, above, below = split_product(node)
        sign = "-" if coefficient < 0 else ""
        coefficient = abs(coefficient)
        whole = decimal(coefficient)
        over = coefficient.denominator if not whole or coefficient.numerator == 1 else 1
        lead = self.fraction(coefficient * over)
        first = [lead] if lead != "1" or not above else []
        made = self.product(first, above)
        if self.ruled and len(above) == 1 and not first and (over != 1 or below):
            made = self.write(above[0])  # the line of the fraction holds it together
        parts = self.product([str(over)] if over != 1 else [], below) if over != 1 or below else ""
        if parts:
            several = (over != 1) + len(below) > 1
            made = self.over(made, parts, several)
        return sign + made, _SUM if sign else _PRODUCT

    def product(self, first: list[str], factors: list[Expr]) -> str:
        alone = len([item for item in factors if item.shape]) == 1
        parts = [*first]
        for item in factors:
            last = alone and item is factors[-1] and item.kind == "matmul"
            parts.append(self.at(item, _PRODUCT if last else _SIGN))
        return self.times.join(parts)

    def over(self, made: str, below: str, several: bool) -> str:
        return f"{made}/{self.parentheses(below) if several else below}"

    def _power(self, node: Expr) -> tuple[str, int]:
        base, exponent = node.args
        if exponent.kind == "number" and exponent.data < 0:
            below = self.at(_positive_power(node), _POWER)
            return self.over("1", below, False), _PRODUCT
        return f"{self.at(base, _ATOM)}^{self.at(exponent, _ATOM)}", _POWER

    def _matmul(self, node: Expr) -> tuple[str, int]:
        left, right = node.args
        first = self.at(left, _PRODUCT if left.kind == "matmul" else _POWER)
        return f"{first} {self.at(right, _POWER)}", _PRODUCT

    def _outer(self, node: Expr) -> tuple[str, int]:
        left, right = (self.write(item) for item in node.args)
        return f"outer({left}, {right})", _ATOM

    def _transpose(self, node: Expr) -> tuple[str, int]:
        return f"{self.at(node.args[0], _ATOM)}^T", _POWER

    def _indicator(self, node: Expr) -> tuple[str, int]:
        conditions = [
            f"{self.write(node.args[2 * k])} {self.relation(relation)} "
            f"{self.write(node.args[2 * k + 1])}"
            for k, relation in enumerate(node.data)
        ]
        return self.braces(", ".join(conditions)), _ATOM

    def relation(self, sign: str) -> str:
        return sign

    def braces(self, inside: str) -> str:
        return f"1{{{inside}}}"

    def _where(self, node: Expr) -> tuple[str, int]:
        test, yes, no = (self.write(item) for item in node.args)
        return f"where({test.removeprefix('1{').removesuffix('}')}, {yes}, {no})", _ATOM

    def _expand(self, node: Expr) -> tuple[str, int]:
        inner = self.at(node.args[0], _SIGN)
        return f"{inner}*ones({', '.join(map(str, node.shape))})", _PRODUCT

    def _insert(self, node: Expr) -> tuple[str, int]:
        inserted = option(node, "axes")
        places = ["None" if k in inserted else ":" for k in range(len(node.shape))]
        return f"{self.at(node.args[0], _ATOM)}[{', '.join(places)}]", _ATOM

    def _sum(self, node: Expr) -> tuple[str, int]:
        return self.reduced("sum", node), _ATOM

    def _mean(self, node: Expr) -> tuple[str, int]:
        return self.reduced("mean", node), _ATOM

    def reduced(self, name: str, node: Expr) -> str:
        axes = option(node, "axes")
        inner = self.write(node.args[0])
        if len(axes) == len(node.args[0].shape):
            return f"{name}({inner})"
        which = str(axes[0]) if len(axes) == 1 else str(tuple(axes))
        keep = ", keep=1" if dict(node.data).get("keep") else ""
        return f"{name}({inner}, axis={which}{keep})"

    def _element(self, node: Expr) -> tuple[str, int]:
        return f"{self.write(node.args[0])}[{_places(node)}]", _ATOM

    def _placed(self, node: Expr) -> tuple[str, int]:
        return f"{self.at(node.args[0], _SIGN)} at [{_places(node)}]", _ATOM

    def called(self, node: Expr) -> str:
        inside = ", ".join([*(self.write(item) for item in node.args), *_options(node)])
        return f"{self.function(node.kind)}({inside})"

    def function(self, kind: str) -> str:
        return kind


def _options(node: Expr) -> list[str]:
    """The options of windows and reshapes, where they are not the usual ones."""
    if node.kind == "reshape":
        return [str(dim) for dim in node.shape]
    options = dict(node.data or ())
    window = options.get("window")
    found = [str(window)] if window is not None else []
    if "stride" in options and options["stride"] != (1 if window is None else window):
        found.append(f"stride={options['stride']}")
    if options.get("padding"):
        found.append(f"padding={options['padding']}")
    return found


def _places(node: Expr) -> str:
    return ", ".join(map(str, option(node, "places")))


class _Latex(_Text):
    """LaTeX of the amsmath kind."""

    times = r" "
    ruled = True

    def parentheses(self, made: str) -> str:
        return rf"\left({made}\right)"

    def name(self, name: str) -> str:
        return latex_name(name)

    def fraction(self, value: Fraction) -> str:
        made = decimal(value) or rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
        return re.sub(r"e([+-])0*(\d+)$", lambda m: _ten(m[1], m[2]), made)

    def constant(self, made: str, shape: tuple[int | str, ...]) -> str:
        axes = r" \times ".join(map(str, shape))
        ones = rf"\mathbf{{1}}_{{{axes}}}"
        return ones if made == "1" else f"{made} {ones}"

    def product(self, first: list[str], factors: list[Expr]) -> str:
        tensors = sum(item.shape != () for item in factors)
        made = super().product(first, factors)
        if tensors < 2:
            return made
        self.times = r" \odot "
        try:
            return super().product(first, factors)
        finally:
            self.times = " "

    def over(self, made: str, below: str, several: bool) -> str:
        return rf"\frac{{{made}}}{{{below}}}"

    def _power(self, node: Expr) -> tuple[str, int]:
        base, exponent = node.args
        if exponent.kind == "number" and exponent.data < 0:
            return self.over("1", self.write(_positive_power(node)), False), _PRODUCT
        return f"{self.at(base, _ATOM)}^{{{self.write(exponent)}}}", _POWER

    def _outer(self, node: Expr) -> tuple[str, int]:
        left, right = (self.at(item, _ATOM) for item in node.args)
        return rf"{left} {right}^{{\top}}", _PRODUCT

    def _transpose(self, node: Expr) -> tuple[str, int]:
        return rf"{self.at(node.args[0], _ATOM)}^{{\top}}", _POWER

    def relation(self, sign: str) -> str:
        return {">=": r"\ge", "<=": r"\le"}.get(sign, sign)

    def braces(self, inside: str) -> str:
        return rf"\mathbf{{1}}\{{{inside}\}}"

    def _where(self, node: Expr) -> tuple[str, int]:
        test, yes, no = (self.write(item) for item in node.args)
        inside = test.removeprefix(r"\mathbf{1}\{").removesuffix(r"\}")
        return (
            rf"\begin{{cases}} {yes} & {inside} \\ {no} & \text{{elsewhere}} \end{{cases}}", _SUM,
        )  # fmt: skip

    def _expand(self, node: Expr) -> tuple[str, int]:
        shape = r" \times ".join(map(str, node.shape))
        return rf"{self.at(node.args[0], _SIGN)} \mathbf{{1}}_{{{shape}}}", _PRODUCT

    def _insert(self, node: Expr) -> tuple[str, int]:
        return self._one(node.args[0])

    def reduced(self, name: str, node: Expr) -> str:
        axes = option(node, "axes")
        letters = ",".join(str(node.args[0].shape[axis]) for axis in axes)
        if name == "sum":
            return rf"\sum_{{{letters}}} {self.at(node.args[0], _PRODUCT)}"
        return rf"\mathrm{{mean}}_{{{letters}}}\left({self.write(node.args[0])}\right)"

    def _element(self, node: Expr) -> tuple[str, int]:
        return f"{self.at(node.args[0], _ATOM)}_{{{_places(node)}}}", _ATOM

    def _placed(self, node: Expr) -> tuple[str, int]:
        return rf"{self.at(node.args[0], _ATOM)} \, e_{{{_places(node)}}}", _PRODUCT

    def _sqrt(self, node: Expr) -> tuple[str, int]:
        return rf"\sqrt{{{self.write(node.args[0])}}}", _ATOM

    def _exp(self, node: Expr) -> tuple[str, int]:
        return f"e^{{{self.write(node.args[0])}}}", _POWER

    def _abs(self, node: Expr) -> tuple[str, int]:
        return rf"\left|{self.write(node.args[0])}\right|", _ATOM

    def called(self, node: Expr) -> str:
        inside = ", ".join([*(self.write(item) for item in node.args), *_options(node)])
        return rf"{self.function(node.kind)}\left({inside}\right)"

    def function(self, kind: str) -> str:
        own = {"log", "tanh", "sin", "cos", "max", "min"}
        spoken = kind.replace("_", r"\_")
        return rf"\{kind}" if kind in own else rf"\mathrm{{{spoken}}}"


def _ten(sign: str, digits: str) -> str:
    return rf" \cdot 10^{{{sign.removeprefix('+')}{digits}}}"


def decimal(value: Fraction) -> str:
    """A number that has few digits as such; "" for others.

    Examples:
        >>> decimal(Fraction(1, 8)), decimal(Fraction(1, 3)), decimal(Fraction(-2))
        ('0.125', '', '-2')
    """
    if value.denominator == 1:
        return str(value.numerator)
    digits = value * 10**12
    if digits.denominator != 1:
        return ""
    made = f"{float(value):.12g}"
    return made if Fraction(made) == value else ""


def _negative(item: Expr) -> bool:
    lead = item.args[0] if item.kind == "mul" else item
    return bool(lead.kind == "number" and lead.data < 0)


def _positive_power(node: Expr) -> Expr:
    from chainrule.derivation.expression import number, power

    return power(node.args[0], number(-node.args[1].data))


def split_product(node: Expr) -> tuple[Fraction, list[Expr], list[Expr]]:
    """Coefficient, factors above and factors below the line, those with positive powers."""
    coefficient, above, below = Fraction(1), [], []
    for item in node.args:
        if item.kind == "number":
            coefficient *= item.data
        elif item.kind == "power" and item.args[1].kind == "number" and item.args[1].data < 0:
            below.append(_positive_power(item))
        else:
            above.append(item)
    return coefficient, above, below


def latex_name(name: str) -> str:
    r"""A name in LaTeX: Greek letters, hats, digits as an index.

    Examples:
        >>> latex_name("delta1"), latex_name("yhat"), latex_name("W_fc1")
        ('\\delta_{1}', '\\hat{y}', 'W_{fc1}')
    """
    found = re.fullmatch(r"([^\W\d_]+)(?:_(\w+)|(\d\w*))?_?", name)
    if found is None:
        return rf"\mathrm{{{name.replace('_', chr(92) + '_')}}}"
    base, words, digits = found.groups()
    index = (words or digits or "").replace("_", r"\_")
    return _base(base) + (f"_{{{index}}}" if index else "")


def _base(base: str) -> str:
    if base in GREEK:
        return f"\\{base}"
    hat = base.removesuffix("hat")
    if base.endswith("hat") and len(hat) == 1:
        return rf"\hat{{{hat}}}"
    if len(base) == 2 and base[0] == "d":
        return rf"\mathrm{{d}}{base[1]}"
    return base if len(base) == 1 else rf"\mathrm{{{base}}}"
