"""Causes: what can keep a network from learning, one file per family.

A cause is a function from a ``Case`` to hypotheses, registered under its code. Other packages add
causes by an entry point in the group ``chainrule.causes`` that names a module with such functions.
"""

from chainrule.diagnosis.causes.registry import CAUSES, Cause, cause, hypotheses_of, load_causes

__all__ = ["CAUSES", "Cause", "cause", "hypotheses_of", "load_causes"]
