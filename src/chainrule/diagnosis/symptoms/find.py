"""Find: all symptoms of a record, the gravest first."""

from __future__ import annotations

from collections.abc import Callable

from chainrule.diagnosis.symptoms import course, start, structure
from chainrule.diagnosis.symptoms.record import Record
from chainrule.finding import Finding

Symptom = Callable[[Record], Finding | None]
SYMPTOMS: tuple[Symptom, ...] = (
    structure.not_finite,
    structure.parameters_not_optimized,
    structure.graph_detached,
    structure.gradients_not_cleared,
    structure.wrong_mode,
    structure.loss_expects_logits,
    structure.shapes_broadcast,
    structure.loss_sign_flipped,
    structure.targets_out_of_range,
    structure.same_batch,
    course.symmetric_units,
    course.dead_units,
    course.saturated,
    course.update_size,
    course.decay_outweighs,
    course.clipped_too_hard,
    course.not_shuffled,
    course.not_averaged,
    start.initial_loss,
    start.inputs_not_normalized,
    start.targets_not_scaled,
    start.inputs_do_not_predict,
    start.small_batch_not_fitted,
    course.loss_flat,
)


def symptoms_of(record: Record) -> tuple[Finding, ...]:
    """Every symptom of a record; one finding for each code.

    Examples:
        >>> symptoms_of(Record())
        ()
    """
    found: dict[str, Finding] = {}
    for symptom in SYMPTOMS:
        finding = symptom(record)
        if finding is not None:
            found.setdefault(finding.code, finding)
    for finding in record.start.flow:
        found.setdefault(finding.code, finding)
    return tuple(found.values())
