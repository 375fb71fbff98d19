"""Units that learn nothing: dead, saturated, or all the same."""

from __future__ import annotations

from chainrule.study.practice.families import dead_units, saturated_units, symmetric_units

FAMILIES = (*dead_units.FAMILIES, *saturated_units.FAMILIES, *symmetric_units.FAMILIES)
