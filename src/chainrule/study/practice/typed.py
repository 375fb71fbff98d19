"""Typed: what people type, in Python's spelling: signs, thousands, factors side by side, units."""

from __future__ import annotations

import re

from chainrule.errors import StudyError

_SIGNS = str.maketrans(
    {"×": "*", "·": "*", "⋅": "*", "∙": "*", "−": "-", "–": "-", "÷": "/", "π": " pi ",
     "√": " sqrt ", "½": " (1/2) ", "¼": " (1/4) ", "¾": " (3/4) ", "’": "'", "∞": " inf ",
     "\u00a0": " ", "\u2009": " ", "\u202f": " "}
)  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
FUNCTIONS = (
    "sqrt", "exp", "ln", "log2", "log10", "log", "tanh", "cos", "sin", "abs", "max", "min",
    "floor", "ceil", "sigmoid", "relu",
)  # fmt: skip
_NAMES = "|".join(FUNCTIONS)
_NUMBER = r"\d+(?:\.\d*)?(?:e[+-]?\d+)?"
# "w =", "dL/dw:", "epoch 9", "about 3": what may stand before a number
_BEFORE = re.compile(
    r"^\s*(?:[A-Za-z][\w ()/^']{0,40}?\s*(?<![!<>])[=:≈]|about|epoch|step|~|[=≈])(?!=)"
)
_THOUSANDS = re.compile(r"(?<![\w.,])[1-9]\d{0,2}(?:[,_' ]\d{3})+(?![\d])")
_PREFIXES = {
    "k": 1e3, "m": 1e6, "g": 1e9, "ki": 2**10, "mi": 2**20, "gi": 2**30,
    "thousand": 1e3, "million": 1e6, "billion": 1e9,
}  # fmt: skip
_UNITS = frozenset(
    {"nats", "nat", "pixels", "pixel", "px", "wide", "steps", "step", "layers", "layer", "units",
     "unit", "examples", "filters", "filter", "times", "pairs", "pair", "epochs", "numbers",
     "weights", "images", "classes", "channels"}
)  # fmt: skip
_COUNTED = r"(b|bytes?|macs?|flops?|params?|parameters|numbers|weights)?"


def tidied(text: str) -> str:
    """What was typed, as Python writes it.

    Raises:
        StudyError: it can be read in two ways.

    Examples:
        >>> tidied("w = 10(25+1)"), tidied("√38"), tidied("3 7/8"), tidied("1 290"), tidied("2⁸")
        ('10*(25+1)', 'sqrt(38)', '(3+7/8)', '1290', '2**(8)')
    """
    tidy = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda found: f"**({found[0].translate(_RAISED)})", text)
    tidy = tidy.translate(_SIGNS).replace("^", "**")
    for _ in range(2):  # "about w = 3"
        tidy = _BEFORE.sub("", tidy, count=1)
    tidy = tidy.strip().rstrip(".")
    mixed = re.fullmatch(r"(-?)(\d+) +(\d+ */ *\d+)", tidy)
    if mixed:
        return f"{mixed[1]}({mixed[2]}+{mixed[3].replace(' ', '')})"
    tidy = _THOUSANDS.sub(lambda found: re.sub(r"\D", "", found[0]), tidy)
    if re.fullmatch(r"-?\d+,\d+", tidy):
        tidy = tidy.replace(",", ".")  # a decimal comma
    tidy = re.sub(r"(?<=[\d)])\s*[xX]\s*(?=[\d(])", "*", tidy)
    return _beside(_applied(tidy))


def _applied(text: str) -> str:
    """``ln 10`` and ``sqrt2`` with brackets.

    Raises:
        StudyError: ``ln 1/4`` may be either.
    """
    loose = re.search(rf"\b({_NAMES}) ?\s*{_NUMBER}\s*(/|\*\*)", text)
    if loose and not loose[1].startswith("log"):
        raise StudyError(
            f"answer '{text.strip()[:60]}' can be read in two ways: put what {loose[1]} is taken "
            f"of in brackets, {loose[1]}(...)"
        )
    text = re.sub(rf"\b({_NAMES})\s+(-?{_NUMBER})", r"\1(\2)", text)
    return re.sub(rf"\b(sqrt)({_NUMBER})", r"\1(\2)", text)


def _beside(text: str) -> str:
    """Factors that stand side by side, multiplied: ``10(25+1)``, ``2 pi``, ``0.15 ln(0.15)``."""
    kept = text.replace("log2(", "log_two(").replace("log10(", "log_ten(")
    kept = re.sub(rf"(?<=[\d)])\s*(?=(?:{_NAMES}|log_two|log_ten)\()", "*", kept)
    kept = re.sub(r"(?<=[\d)])\s*(?=pi\b)", "*", kept)
    kept = re.sub(r"(?:(?<=\d)|(?<=\)))\s*(?=\()", "*", kept)
    return kept.replace("log_two(", "log2(").replace("log_ten(", "log10(")


def without_unit(text: str, unit: str) -> tuple[str, float]:
    """The expression without the words behind it, and what they multiply it by.

    Args:
        text: tidied.
        unit: of the number that is wanted.

    Raises:
        StudyError: the words are not known.

    Examples:
        >>> without_unit("2 KiB", "bytes"), without_unit("44.8 MB", "MB"), without_unit("3 %", "%")
        (('2', 1024), ('44.8', 1), ('3', 1))
    """
    percent = re.search(r"\s*(%|per ?cent)$", text)
    if percent:
        return text[: percent.start()], 1 if unit == "%" else 0.01
    match = re.search(r"(?<=[\d) ])\s*([A-Za-z][A-Za-z ]*)$", text)
    if match is None or match[1].strip().lower() in ("e", "pi", "inf"):
        return text, 1
    word, body = match[1].strip().lower(), text[: match.start()].strip()
    if word in (unit.lower(), unit.lower().rstrip("s")):
        return body, 1
    prefixes = "|".join(sorted(_PREFIXES, key=len, reverse=True))
    found = re.fullmatch(rf"({prefixes})?\s*{_COUNTED}", word)
    if found is not None:
        return body, _PREFIXES.get(found[1] or "", 1)
    if all(part in _UNITS for part in word.split()):
        return body, 1
    wanted = f" of {unit}" if unit else ""
    raise StudyError(
        f"answer '{text[:60]}' cannot be read: understood '{body[:40]}', not '{word[:40]}'; wants "
        f"a number{wanted}"
    )
