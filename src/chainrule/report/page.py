"""Page: answers as HTML, a fragment for notebooks and a whole self-contained file."""

from __future__ import annotations

from functools import lru_cache, singledispatch
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from chainrule._version import __version__
from chainrule.analysis.compare import NetworkComparison
from chainrule.analysis.description import Description
from chainrule.analysis.effective import EffectiveField
from chainrule.analysis.table import NetworkTable
from chainrule.derivation.answer import Derivation
from chainrule.diagnosis.answer import Watched
from chainrule.diagnosis.verdict import Diagnosis
from chainrule.errors import RunError
from chainrule.gradients.curvature_answer import Curvature
from chainrule.gradients.flow_answer import Flow
from chainrule.record.atomic import write_atomically
from chainrule.record.run import RunComparison, RunList, RunRecord
from chainrule.report import derived_page, figures
from chainrule.report.columns import COLUMNS, rows_of
from chainrule.report.curved import curvature_rows, curvature_words
from chainrule.report.curved_pictures import plane_picture, spectrum_picture
from chainrule.report.derived import end_rows, graph_rows
from chainrule.report.described import comparison_rows, effective_rows, proof_rows, summary
from chainrule.report.diagnosed import cause_words, lists_of, sentence, value_of
from chainrule.report.diagnosed_pictures import diagnosed_pictures
from chainrule.report.field_picture import field_picture
from chainrule.report.flowed import (
    COLUMNS as FLOW_COLUMNS,
)
from chainrule.report.flowed import (
    RECURRENT,
    fact_rows,
    finding_rows,
    recurrent_rows,
    row_cells,
)
from chainrule.report.flowed_pictures import (
    gradients_picture,
    histograms_picture,
    singular_values_picture,
)
from chainrule.report.graph_picture import graph_picture
from chainrule.report.statistics import top_confusions, wilson_interval
from chainrule.report.watched import COLUMNS as WATCHED_COLUMNS
from chainrule.report.watched import LEGEND as WATCHED_LEGEND
from chainrule.report.watched import fact_rows as watched_facts
from chainrule.report.watched import layer_cells, watched_findings
from chainrule.report.watched_pictures import watched_pictures
from chainrule.report.words import duration, number, percent, shortened, volume
from chainrule.training.result import TrainingResult

_SHOWN = (
    *("layer", "operation", "output", "parameters", "macs", "memory", "kept", "field", "jump"),
    *("padding", "centre", "clipped", "flops", "backward-macs", "intensity", "note"),
)
_TEMPLATES = Path(__file__).parent / "templates"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, percent=percent, volume=volume, duration=duration, shortened=shortened
    )
    return environment


def render(template: str, **values: Any) -> str:
    """A template of this package with values, as HTML."""
    return _environment().get_template(template).render(**values)


def page(answer: Any) -> str:
    """An answer as one HTML file: no scripts, no requests, readable in light and dark.

    Args:
        answer: a training result, a run record, a network table, a list or comparison of runs.
    """
    import chainrule.report.practised
    import chainrule.report.studied
    import chainrule.report.swept  # noqa: F401 - registers the looks of more answers

    return render("page.html", title=title(answer), body=Markup(html(answer)), version=__version__)


def write_page(answer: Any, path: Path) -> None:
    """Write the page of an answer, whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        write_atomically(path, page(answer).encode())
    except OSError as error:
        raise RunError(
            f"report '{path}' cannot be written: {error.strerror or error}; choose another file"
        ) from None


@singledispatch
def title(answer: Any) -> str:
    """The heading of an answer's page."""
    return type(answer).__name__


@title.register
def _result_title(answer: TrainingResult) -> str:
    return f"{shortened(answer.network, 60)} on {answer.data}"


@title.register
def _record_title(answer: RunRecord) -> str:
    return f"Run {answer.id}"


@singledispatch
def html(answer: Any) -> str:
    """An answer as an HTML fragment, for notebooks; its text when it has no look of its own."""
    return str(Markup("<pre>{}</pre>").format(repr(answer)))


@html.register
def _network(answer: NetworkTable) -> str:
    return render("network.html", table=answer)


@html.register
def _result(answer: TrainingResult) -> str:
    interval = None
    if answer.confusion is not None and answer.test_accuracy is not None:
        count = int(answer.confusion.sum())
        interval = wilson_interval(int(answer.confusion.trace()), count)
    return render(
        "result.html",
        result=answer,
        interval=interval,
        confusions=[] if answer.confusion is None else top_confusions(answer.confusion),
        table=answer.table,
        pictures=_pictures(answer),
    )


def _pictures(answer: TrainingResult) -> list[tuple[str, str, Markup]]:
    """(heading, description for those who cannot see it, SVG)."""
    found = [("Loss", "Loss against the step", figures.loss_curves(answer))]
    if answer.task != "regression":
        found.append(("Accuracy", "Accuracy against the step", figures.accuracy_curves(answer)))
    found.append(
        ("Learning rate", "Learning rate against the step", figures.learning_rate_curve(answer))
    )
    if answer.confusion is not None:
        picture = figures.confusion_picture(answer.confusion, answer.classes)
        found.append(("Confusion of the classes", "Counts by true and predicted class", picture))
    if answer.filters is not None:
        picture = figures.filters_picture(answer.filters)
        found.append(("First-layer filters", "Filters of the first convolution", picture))
    if answer.mistakes:
        picture = figures.mistakes_picture(answer.mistakes, answer.classes)
        found.append(("Misclassified images", "Images with true and predicted class", picture))
    return [(heading, words, Markup(svg)) for heading, words, svg in found]


@html.register
def _runs(answer: RunList) -> str:
    return render("runs.html", runs=answer.runs)


@html.register
def _record(answer: RunRecord) -> str:
    return render("record.html", run=answer)


@html.register
def _comparison(answer: RunComparison) -> str:
    return render("comparison.html", comparison=answer)


@title.register
def _description_title(answer: Description) -> str:
    return shortened(answer.network, 80)


@html.register
def _description(answer: Description) -> str:
    columns = list(_SHOWN)
    return render(
        "description.html",
        answer=answer,
        summary=summary(answer),
        columns=[COLUMNS[name] for name in columns],
        rows=rows_of(answer, columns),
        proofs=proof_rows(answer),
        pictures=[
            ("Where it sits", "Share of each layer", Markup(figures.shares_picture(answer))),
            ("Graph", "Layers and the tensors between them", Markup(graph_picture(answer))),
        ],
    )


@title.register
def _effective_title(answer: EffectiveField) -> str:
    return f"Effective receptive field of {answer.layer}"


@html.register
def _effective(answer: EffectiveField) -> str:
    return render("fields.html", rows=effective_rows(answer), picture=Markup(field_picture(answer)))


@title.register
def _compared_title(answer: NetworkComparison) -> str:
    return "Networks compared"


@html.register
def _compared(answer: NetworkComparison) -> str:
    return render("networks.html", answer=answer, rows=comparison_rows(answer))


@title.register
def _curvature_title(answer: Curvature) -> str:
    return f"Curvature of {shortened(answer.target, 70)}"


@html.register
def _curvature(answer: Curvature) -> str:
    pictures = [("Eigenvalues of the Hessian", Markup(spectrum_picture(answer)))]
    if answer.plane is not None:
        heading = "Loss along the two eigenvectors of largest curvature"
        pictures.insert(0, (heading, Markup(plane_picture(answer.plane))))
    return render(
        "curvature.html",
        words=curvature_words(answer),
        rows=curvature_rows(answer),
        pictures=pictures,
    )


@title.register
def _flow_title(answer: Flow) -> str:
    return f"Flow through {shortened(answer.network, 70)}"


@html.register
def _flow(answer: Flow) -> str:
    return render(
        "flow.html",
        facts=fact_rows(answer),
        findings=finding_rows(answer),
        columns=FLOW_COLUMNS,
        rows=[row_cells(row) for row in answer.layers],
        recurrent_columns=RECURRENT,
        recurrent=recurrent_rows(answer.recurrent),
        pictures=[
            ("Activations", "Histograms by layer", Markup(histograms_picture(answer))),
            (
                "Gradient of one example's loss by the output of each layer",
                "Norm against depth",
                Markup(gradients_picture(answer)),
            ),
            (
                "Singular values of the layers' Jacobians",
                "Largest, rms and smallest by layer",
                Markup(singular_values_picture(answer)),
            ),
        ],
    )


@title.register
def _derivation_title(answer: Derivation) -> str:
    return f"Gradient of {answer.output}"


@html.register
def _derivation(answer: Derivation) -> str:
    return render(
        "derivation.html",
        graph=graph_rows(answer),
        picture=Markup(derived_page.picture(answer)),
        steps=derived_page.steps(answer),
        answers=derived_page.answers(answer),
        end=end_rows(answer),
    )


@title.register
def _watched_title(answer: Watched) -> str:
    return f"Watched: {shortened(answer.script or ', '.join(m.name for m in answer.models), 70)}"


@html.register
def _watched(answer: Watched) -> str:
    return render(
        "watched.html",
        facts=[(name, value) for name, value in watched_facts(answer) if value],
        findings=watched_findings(answer),
        columns=WATCHED_COLUMNS,
        rows=[layer_cells(layer) for layer in answer.layers],
        legend=WATCHED_LEGEND,
        pictures=[
            (heading, words, Markup(svg)) for heading, words, svg in watched_pictures(answer)
        ],
    )


@title.register
def _diagnosis_title(answer: Diagnosis) -> str:
    return f"Diagnosis of {shortened(answer.script, 70)}"


@html.register
def _diagnosis(answer: Diagnosis) -> str:
    return render(
        "diagnosis.html",
        answer=answer,
        reason=sentence(answer.reason),
        causes=[cause_words(item) for item in answer.causes],
        equivalent=", ".join(" + ".join(codes) for codes in answer.equivalent),
        rows=[
            (item.intervention, item.seed, f"{item.steps:,}", value_of(item), item.ended)
            for item in answer.replays
        ],
        lists=lists_of(answer),
        pictures=[(head, words, Markup(svg)) for head, words, svg in diagnosed_pictures(answer)],
    )
