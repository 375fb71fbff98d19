"""Curved: how the curvature of a loss looks, in words and on a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from chainrule.gradients.curvature_answer import Curvature, Eigenvalue
from chainrule.gradients.noise_scale import NoiseScale
from chainrule.report.terminal import facts, renderable
from chainrule.report.words import duration, number

_WORDS = {
    "positive definite": "curves up along every direction",
    "singular": "curves up or not at all: some eigenvalues are 0",
    "indefinite": "curves up along some directions and down along others",
    "negative": "curves up along no direction",
    "flat": "does not curve: it is linear in the weights here",
    "cannot-tell": "cannot tell: the bound of the smallest eigenvalue reaches to 0",
}


@renderable.register
def _curvature(answer: Curvature) -> RenderableType:
    return Group(facts(curvature_rows(answer)), Text(""), Text(curvature_words(answer)))


def curvature_words(answer: Curvature) -> str:
    """The sign of the Hessian in a sentence."""
    return f"{answer.sign}: the loss {_WORDS[answer.sign]}"


def curvature_rows(answer: Curvature) -> list[tuple[str, str]]:
    """What was found, by name."""
    rows = [
        ("network", f"{answer.target}, {answer.parameters:,} trainable weights"),
        ("loss", f"{answer.loss:.6g}, the mean of {answer.examples:,} examples; its gradient has "
         f"norm {answer.gradient_norm:.4g}"),
        ("largest eigenvalue", eigenvalue_words(answer.largest)),
        ("smallest eigenvalue", eigenvalue_words(answer.smallest)),
        ("condition number", _condition(answer)),
        ("largest stable rate", _stable(answer)),
        ("best rate", _best(answer)),
        ("noise scale", "" if answer.noise is None else noise_words(answer.noise)),
        ("spectrum", _spectrum(answer)),
        ("proof", _proof(answer)),
    ]  # fmt: skip
    rows += [(item.code, f"{item.meaning}; {item.remedy}") for item in answer.findings]
    return [*rows, *(("note", note) for note in answer.notes)]


def eigenvalue_words(eigenvalue: Eigenvalue) -> str:
    """An eigenvalue with its bound."""
    return f"{eigenvalue.value:.6g} ± {eigenvalue.bound:.1e}"


def noise_words(noise: NoiseScale) -> str:
    """The noise scale with its interval, in examples."""
    high = "no upper end" if noise.high is None else f"to {number(noise.high)}"
    value = "not told from infinite" if noise.value is None else f"{number(noise.value)} examples"
    return (
        f"{value} (95 %: from {number(noise.low)} {high}); from {noise.minibatches} minibatches of "
        f"{noise.batch}; larger minibatches bring little"
    )


def _condition(answer: Curvature) -> str:
    if answer.condition_number is None:
        return answer.condition
    return f"{number(answer.condition_number)}  ({answer.condition})"


def _stable(answer: Curvature) -> str:
    if answer.largest_stable_rate is None:
        return "none: no direction curves up"
    return f"{answer.largest_stable_rate:.4g}  (2 / λmax, plain gradient descent on these examples)"


def _best(answer: Curvature) -> str:
    if answer.best_rate is None:
        return answer.best_rate_words
    return f"{answer.best_rate:.4g}  ({answer.best_rate_words})"


def _spectrum(answer: Curvature) -> str:
    whole = "all of it" if answer.products == answer.parameters else "its ends"
    return (
        f"{whole}, by {answer.products} Hessian-vector products in {answer.dtype}, "
        f"{duration(answer.seconds)}"
    )


def _proof(answer: Curvature) -> str:
    if answer.proof is None:
        return ""
    return f"differences of the gradient agree with the products to {answer.proof:.1e}"
