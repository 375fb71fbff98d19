"""chainrule: answers about neural networks, computed and then proved a second way.

Examples:
    >>> import chainrule
    >>> spec = chainrule.parse("INPUT 8x8x1, CONV3-4, RELU, GAP, FC-10")
    >>> sum(p.numel() for p in chainrule.network(spec).parameters())
    90
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from chainrule import answer as _answer
from chainrule._version import __version__
from chainrule.errors import ChainruleError

if TYPE_CHECKING:
    from chainrule.analysis.compare import compare
    from chainrule.analysis.convolutionalize import convolutionalize
    from chainrule.analysis.custom import register_operation
    from chainrule.analysis.describe import describe
    from chainrule.analysis.description import Description
    from chainrule.analysis.effective import effective_field
    from chainrule.analysis.unit import unit_box
    from chainrule.derivation.answer import Derivation
    from chainrule.derivation.derive import derive
    from chainrule.diagnosis.answer import Watched
    from chainrule.diagnosis.diagnose import diagnose
    from chainrule.diagnosis.verdict import Diagnosis
    from chainrule.diagnosis.watch import watch
    from chainrule.gradients.check import check_gradients
    from chainrule.gradients.curvature import curvature
    from chainrule.gradients.curvature_answer import Curvature
    from chainrule.gradients.flow import flow
    from chainrule.gradients.flow_answer import Flow
    from chainrule.gradients.result import GradientCheck
    from chainrule.network.notation import parse
    from chainrule.network.source import network
    from chainrule.network.spec import NetworkSpec
    from chainrule.record.store import RunStore
    from chainrule.study.experiment import StudyResult
    from chainrule.study.practice.bank import practice
    from chainrule.study.practice.question import Question
    from chainrule.study.run import study
    from chainrule.training.data.dataset import Dataset
    from chainrule.training.data.load import load_data
    from chainrule.training.interrupt import TrainingStopped
    from chainrule.training.recipe import Recipe
    from chainrule.training.result import TrainingResult
    from chainrule.training.train import train

__all__ = [
    "ChainruleError",
    "Curvature",
    "Dataset",
    "Derivation",
    "Description",
    "Diagnosis",
    "Flow",
    "GradientCheck",
    "NetworkSpec",
    "Question",
    "Recipe",
    "RunStore",
    "StudyResult",
    "TrainingResult",
    "TrainingStopped",
    "Watched",
    "__version__",
    "check_gradients",
    "compare",
    "convolutionalize",
    "curvature",
    "derive",
    "describe",
    "diagnose",
    "effective_field",
    "flow",
    "load_data",
    "network",
    "parse",
    "practice",
    "register_operation",
    "study",
    "train",
    "unit_box",
    "watch",
]

# torch takes seconds to import, so each name brings its module when it is first used
_WHERE = {
    "Curvature": "chainrule.gradients.curvature_answer",
    "Dataset": "chainrule.training.data.dataset",
    "Derivation": "chainrule.derivation.answer",
    "Description": "chainrule.analysis.description",
    "Diagnosis": "chainrule.diagnosis.verdict",
    "Flow": "chainrule.gradients.flow_answer",
    "GradientCheck": "chainrule.gradients.result",
    "NetworkSpec": "chainrule.network.spec",
    "Question": "chainrule.study.practice.question",
    "Recipe": "chainrule.training.recipe",
    "RunStore": "chainrule.record.store",
    "StudyResult": "chainrule.study.experiment",
    "TrainingResult": "chainrule.training.result",
    "TrainingStopped": "chainrule.training.interrupt",
    "Watched": "chainrule.diagnosis.answer",
    "check_gradients": "chainrule.gradients.check",
    "compare": "chainrule.analysis.compare",
    "convolutionalize": "chainrule.analysis.convolutionalize",
    "curvature": "chainrule.gradients.curvature",
    "derive": "chainrule.derivation.derive",
    "describe": "chainrule.analysis.describe",
    "diagnose": "chainrule.diagnosis.diagnose",
    "effective_field": "chainrule.analysis.effective",
    "flow": "chainrule.gradients.flow",
    "load_data": "chainrule.training.data.load",
    "parse": "chainrule.network.notation",
    "practice": "chainrule.study.practice.bank",
    "register_operation": "chainrule.analysis.custom",
    "train": "chainrule.training.train",
    "unit_box": "chainrule.analysis.unit",
    "watch": "chainrule.diagnosis.watch",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}")
    if name in ("network", "study"):  # the package is the verb, see its docstring
        return importlib.import_module(f"chainrule.{name}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _present(result: Any, medium: str) -> str:
    text = importlib.import_module("chainrule.report.text")
    return str(text.present(result, medium))


_answer.connect(_present)
