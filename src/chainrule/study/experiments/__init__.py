"""The experiments by name, in the order of the course; each is a module of this package.

A module whose name is not among ``NAMES`` is what one of them is built from.
"""

from __future__ import annotations

import importlib

from chainrule.errors import StudyError, suggestion
from chainrule.study.experiment import Experiment

NAMES = (
    "minibatch-gradients",
    "learning-rate-curves",
    "minimum-and-saddle",
    "ill-conditioned-valley",
    "noisy-gradients",
    "update-rules",
    "sigmoid-saturation",
    "all-positive-inputs",
    "relu-speed",
    "dead-relu",
    "vanishing-gradients",
    "recurrent-gradients",
    "fc-as-convolution",
    "receptive-field",
    "three-by-three",
    "overfitting-cures",
    "capacity",
    "flat-loss",
    "max-pooling",
    "zero-weights",
    "zero-input",
    "centred-differences",
    "batchnorm-regularizes",
    "svm-and-softmax",
)


def experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        StudyError: there is none.

    Examples:
        >>> experiment("zero-input").name
        'zero-input'
    """
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    if wanted not in NAMES:
        near = suggestion(wanted, NAMES) or "; chainrule study lists them"
        raise StudyError(f"experiment '{name}' is not known{near}")
    module = importlib.import_module(f"{__name__}.{wanted.replace('-', '_')}")
    found: Experiment = module.EXPERIMENT
    return found
