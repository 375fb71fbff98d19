"""Beginning: the untrained network and the first examples, looked at when training is over.

All of it runs on copies and within a few seconds; nothing of the training is touched.
"""

from __future__ import annotations

import contextlib
import copy
import io
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chainrule.analysis.running import first_tensor
from chainrule.analysis.tracer import same_random_state
from chainrule.diagnosis.examples import Examples
from chainrule.diagnosis.losses import CLASSES
from chainrule.diagnosis.symptoms.record import Start
from chainrule.gradients.flow import flow

_FEW = 16  # examples that any network should be able to learn by heart
_STEPS = 300
_RATE = 1e-3
_FEATURES = 4096
_ENOUGH = 100  # examples for cross-validation
_FOLDS = 5


def start_of(examples: Examples, seconds: float = 4.0) -> Start:
    """Flow, the fit of a small batch, and whether inputs predict targets.

    Args:
        examples: the network before its first update, and minibatches.
        seconds: about how long it may take in all.
    """
    together = examples.together()
    if together is None:
        return Start(unseen=("no minibatches with targets were captured",))
    until = time.perf_counter() + seconds
    unseen: list[str] = []
    with same_random_state(), contextlib.redirect_stdout(io.StringIO()):
        found = _tried(lambda: _flow(examples, *together), unseen, "the flow at the start")
        fitted = _tried(
            lambda: _fitted(examples, *together, until - 0.4 * seconds), unseen,
            "fitting a small batch",
        )  # fmt: skip
        predicted = None
        if time.perf_counter() < until:
            predicted = _tried(
                lambda: _predicted(examples, *together), unseen, "whether inputs predict targets"
            )
    return Start(found or (), fitted, predicted, tuple(unseen))


def _tried(attempt: Any, unseen: list[str], what: str) -> Any:
    try:
        return attempt()
    except Exception as error:  # noqa: BLE001 - a copy of someone's network may fail in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        unseen.append(f"{what}: {reason}")
        return None


def _flow(examples: Examples, inputs: Tensor, targets: Tensor) -> Any:
    if examples.network is None or examples.loss is None:
        return ()
    count = min(len(inputs), 128)
    answer = flow(
        examples.network, inputs[:count], targets[:count], loss=examples.loss, jacobians=False
    )
    return answer.findings


def _fitted(
    examples: Examples, inputs: Tensor, targets: Tensor, until: float
) -> tuple[float, float, int] | None:
    """Loss before and after training on a few examples by Adam.

    Source: the sanity check of CS231n, Stanford, notes on neural networks 3.
    """
    if examples.network is None or examples.loss is None:
        return None
    twin = copy.deepcopy(examples.network)
    inputs, targets = inputs[:_FEW], targets[:_FEW]
    _without_chance(twin)
    parameters = [item for item in twin.parameters() if item.requires_grad]
    if not parameters:
        return None
    optimizer = torch.optim.Adam(parameters, lr=_RATE)
    first = value = 0.0
    with torch.enable_grad():
        for step in range(1, _STEPS + 1):
            optimizer.zero_grad()
            scores = first_tensor(twin(inputs.clone()))
            if scores is None:
                return None
            loss = examples.loss(scores, targets)
            value = float(loss.detach())
            first = value if step == 1 else first
            if time.perf_counter() > until and step < _STEPS // 3:
                return None
            if value <= 0.3 * first and step > 1:
                break
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return first, value, step


def _without_chance(twin: nn.Module) -> None:
    for layer in twin.modules():
        if isinstance(layer, nn.modules.dropout._DropoutNd):
            layer.eval()


def _predicted(
    examples: Examples, inputs: Tensor, targets: Tensor
) -> tuple[float, float, float, int] | None:
    """Cross-validated shares of right answers: 1-nearest neighbour, linear probe, commonest."""
    if examples.task != CLASSES or not inputs.is_floating_point() or len(inputs) < _ENOUGH:
        return None
    if targets.dim() != 1 or targets.is_floating_point() or inputs[0].numel() > _FEATURES:
        return None
    values = inputs.flatten(1).double().numpy()
    labels = targets.numpy()
    _, counts = np.unique(labels, return_counts=True)
    if not np.isfinite(values).all() or len(counts) < 2:
        return None
    return (*_probes(values, labels), float(counts.max() / len(labels)), len(labels))


def _probes(values: Any, labels: Any) -> tuple[float, float]:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    neighbour = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
    linear = make_pipeline(StandardScaler(), RidgeClassifier(alpha=float(values.shape[1])))
    near, straight = (
        float(cross_val_score(model, values, labels, cv=folds).mean())
        for model in (neighbour, linear)
    )
    return near, straight
