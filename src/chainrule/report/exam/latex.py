"""An exam and its key as LaTeX, for pdflatex as well as lualatex and xelatex."""

from __future__ import annotations

import re

from chainrule.report.exam.markdown import picture_name
from chainrule.report.studied_pictures import picture_file
from chainrule.study.practice.exam import Exam
from chainrule.study.practice.expected import LETTERS
from chainrule.study.practice.question import Question

Files = dict[str, bytes]
_HEAD = r"""\documentclass[11pt]{article}
\usepackage[a4paper,margin=25mm]{geometry}
\usepackage{amsmath,amssymb,enumitem,graphicx,iftex}
\ifPDFTeX\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\else\usepackage{fontspec}\fi
\setlength{\parindent}{0pt}
\begin{document}
"""
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#",
    "$": r"\$", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
}  # fmt: skip
_SIGNS = {
    "×": r"\times", "·": r"\cdot", "−": "-", "≥": r"\ge", "≤": r"\le", "≠": r"\ne", "≈": r"\approx",
    "→": r"\to", "∞": r"\infty", "Σ": r"\Sigma", "σ": r"\sigma", "α": r"\alpha", "β": r"\beta",
    "γ": r"\gamma", "δ": r"\delta", "ε": r"\varepsilon", "λ": r"\lambda", "μ": r"\mu",
    "ρ": r"\rho", "π": r"\pi", "∂": r"\partial", "√": r"\surd", "²": "^2", "³": "^3", "±": r"\pm",
    "½": r"\tfrac12", "∈": r"\in", "ᵀ": r"^{\mathsf T}", "κ": r"\kappa", "θ": r"\theta",
    "η": r"\eta", "φ": r"\varphi", "∑": r"\sum", "‖": r"\Vert", "⁻": "^-", "¹": "^1", "₀": "_0",
    "₁": "_1", "₂": "_2", "₃": "_3", "Δ": r"\Delta",
}  # fmt: skip


def latex(exam: Exam, name: str) -> Files:
    """The exam and its key, with pictures beside them.

    Args:
        exam: the questions.
        name: of the file, without its ending.
    """
    files: Files = {}
    body = []
    for number, question in enumerate(exam.questions, 1):
        picture = ""
        if question.figure is not None:
            picture = picture_name(name, number, "pdf")
            files[picture] = picture_file(question.figure, "pdf")
        body.append(r"\item{} " + _asked(question, picture) + "\n\\vspace{2cm}\n")
    files[f"{name}.tex"] = _document(exam, "", body).encode()
    solved = [r"\item{} " + _asked(item, "") + _solved(item) for item in exam.questions]
    files[f"{name}-key.tex"] = _document(exam, "Key: ", solved).encode()
    return files


def _document(exam: Exam, before: str, items: list[str]) -> str:
    student = f"\\hfill {escaped(exam.student)}" if exam.student else ""
    title = f"\\section*{{{before}{escaped(exam.title)}{student}}}\n"
    listed = "\\begin{enumerate}[leftmargin=*]\n" + "\n".join(items) + "\\end{enumerate}\n"
    return f"{_HEAD}{title}{listed}\\end{{document}}\n"


def _asked(question: Question, picture: str) -> str:
    lines = [escaped(question.text)]
    if picture:
        lines.append(f"\\par\\includegraphics[width=.8\\linewidth]{{{picture}}}")
    if question.options:
        options = "\n".join(rf"\item{{}} {escaped(option.text)}" for option in question.options)
        lines.append(f"\\begin{{enumerate}}[label=(\\alph*)]\n{options}\n\\end{{enumerate}}")
    if question.conventions:
        lines.append(rf"\par\textit{{{escaped('; '.join(question.conventions))}}}")
    return "\n".join(lines) + "\n"


def _solved(question: Question) -> str:
    steps = "\n".join(rf"\item{{}} {escaped(step)}" for step in question.solution)
    wrong = "\n".join(
        rf"\item{{}} not ({letter}): {escaped(option.why)}"
        for letter, option in zip(LETTERS, question.options, strict=False)
        if not option.right
    )
    parts = [
        rf"\par\textbf{{{escaped(question.answer_text)}}}",
        f"\\begin{{itemize}}\n{steps}\n\\end{{itemize}}",
        f"\\begin{{itemize}}\n{wrong}\n\\end{{itemize}}" if wrong else "",
        rf"Proof: {escaped(question.proof.way)}.",
        rf"\texttt{{{escaped(question.id)}}}" + "\n",
    ]
    return "\n".join(part for part in parts if part)


def escaped(text: str) -> str:
    """Text as LaTeX sets it; code in backticks in typewriter letters.

    Examples:
        >>> escaped("50 % of `w_1`")
        '50 \\\\% of \\\\texttt{w\\\\_1}'
    """
    return "\\newline\n".join(_line(line) for line in text.splitlines())


def _line(text: str) -> str:
    pieces = re.split(r"`([^`]*)`", " ".join(text.split()))
    return "".join(
        rf"\texttt{{{_plain(piece)}}}" if place % 2 else _plain(piece)
        for place, piece in enumerate(pieces)
    )


def _plain(text: str) -> str:
    return "".join(
        _SPECIAL.get(sign) or (rf"\ensuremath{{{_SIGNS[sign]}}}" if sign in _SIGNS else sign)
        for sign in text
    )
