"""Units that learn nothing: dead, saturated, or all the same."""

from __future__ import annotations

from chainrule.study.practice.families import (
    dead_units,
    maxout_units,
    saturated_units,
    symmetric_units,
    zero_gradients,
)

FAMILIES = (
    *dead_units.FAMILIES,
    *maxout_units.FAMILIES,
    *saturated_units.FAMILIES,
    *symmetric_units.FAMILIES,
    *zero_gradients.FAMILIES,
)
