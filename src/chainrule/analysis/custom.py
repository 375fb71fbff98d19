"""Custom: rules for operations that chainrule does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from chainrule.analysis import cost, field_rules, rules
from chainrule.analysis.graph import Operation
from chainrule.analysis.rules import Rule
from chainrule.errors import RecipeError, suggestion

_FIELDS: dict[str, Rule] = {"pointwise": rules.pointwise, "whole": rules.everything}


def register_operation(
    name: str,
    *,
    macs: Callable[[Operation], int] | None = None,
    flops: Callable[[Operation], int] | None = None,
    field: Literal["pointwise", "whole"] | Rule | None = None,
) -> None:
    """Tell ``describe`` what a custom operation costs and what its outputs see.

    Formulas registered with ``torch.utils.flop_counter.register_flop_formula`` are honoured
    without this.

    Args:
        name: the operator with its namespace, "mylib::my_op".
        macs: multiply-accumulates of one call, from the operation (its ``inputs``, ``outputs``
            and ``argument(name)`` tell shapes and settings).
        flops: floating-point operations beyond ``2 macs``.
        field: "pointwise" (each unit sees what the inputs at its place see), "whole" (every
            unit may see all), or a rule like those in ``analysis/rules.py``.

    Raises:
        RecipeError: a name without namespace, or an unknown kind of field.

    Examples:
        >>> register_operation("mylib::swish", flops=lambda op: 4 * op.outputs[0].count,
        ...                    field="pointwise")
    """
    if "::" not in name:
        raise RecipeError(f"name got '{name}', wants an operator with its namespace: mylib::{name}")
    if isinstance(field, str) and field not in _FIELDS:
        raise RecipeError(
            f"field got '{field}'{suggestion(field, _FIELDS)}; wants 'pointwise', 'whole' or a rule"
        )
    if macs is not None or flops is not None:
        cost.CUSTOM[name] = (macs, flops)
    if field is not None:
        field_rules.RULES[name] = _FIELDS[field] if isinstance(field, str) else field
