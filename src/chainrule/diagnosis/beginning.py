"""Beginning: the untrained network and the first examples, looked at when training is over.

All of it runs on copies and within a few seconds; nothing of the training is touched.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import math
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chainrule.analysis.running import first_tensor
from chainrule.analysis.tracer import same_random_state
from chainrule.diagnosis.examples import Examples
from chainrule.diagnosis.losses import BINARY, CLASSES
from chainrule.diagnosis.symptoms.record import Start
from chainrule.gradients.flow import flow

_FEW = 16  # examples that any network should be able to learn by heart
_STEPS = 100  # with each learning rate
_RATES = (1e-2, 1e-3, 1e-1)
_FITTED = 0.3  # of the first loss
_FEATURES = 4096
_ENOUGH = 100  # examples for cross-validation
_FOLDS = 5


def start_of(examples: Examples, seconds: float = 15.0) -> Start:
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
    with same_random_state(), _silence():
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
        else:
            unseen.append("whether inputs predict targets: there was no time left")
        mixes = bool(_tried(
            lambda: mixes_examples(examples.network, together[0]), unseen,
            "whether examples influence each other",
        ))  # fmt: skip
    axes = _time_first(examples.network) if mixes else ""
    return Start(found or (), fitted, predicted, tuple(unseen), mixes, axes)


def mixes_examples(network: nn.Module | None, inputs: Tensor) -> bool:
    """Whether the answer for one example depends on the others, in evaluation mode.

    Args:
        network: a copy; it may be left changed.
        inputs: (N, ...), of which a few are used.
    """
    if network is None or len(inputs) < 6:
        return False
    network.eval()
    few = inputs[:_FEW].clone()
    with torch.no_grad():
        first = first_tensor(network(few))
        few[:2] = few[2:4].flip(0)
        second = first_tensor(network(few))
    if first is None or second is None or len(first) != len(few):
        return False
    return not torch.allclose(first[2:], second[2:], rtol=1e-3, atol=1e-5)


def _time_first(network: nn.Module | None) -> str:
    """Layers whose first axis is time unless they are told otherwise."""
    kinds = (nn.RNNBase, nn.MultiheadAttention)
    found = [
        f"{path or 'network'} ({type(layer).__name__})"
        for path, layer in (network.named_modules() if network is not None else ())
        if isinstance(layer, kinds) and not layer.batch_first
    ]
    return ", ".join(found[:2])


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """What a network prints or logs as it is run is not said a second time."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _tried(attempt: Any, unseen: list[str], what: str) -> Any:
    try:
        return attempt()
    except Exception as error:  # noqa: BLE001 - a copy of someone's network may fail in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = " ".join(reason.split())
        unseen.append(f"{what}: {reason[:120]}")
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
    inputs, targets = inputs[:_FEW], targets[:_FEW]
    least = _least(examples.task, targets)
    first, best, steps = 0.0, math.inf, 0
    for rate in _RATES:
        twin = copy.deepcopy(examples.network)
        _without_chance(twin)
        losses = _descend(twin, examples.loss, inputs, targets, rate, until)
        if not losses:
            return None
        first, steps = losses[0], steps + len(losses)
        best = min([best, *losses])
        if best - least <= _FITTED * (first - least):
            break
        if time.perf_counter() > until:
            return None  # too slow a network to say
    return first - least, best - least, steps


def _least(task: str, targets: Tensor) -> float:
    """What no answer can go below: the entropy of targets that are shares (nats)."""
    if not targets.is_floating_point() or task not in (CLASSES, BINARY):
        return 0.0
    shares = targets.double()
    if task == BINARY:
        shares = torch.stack([shares, 1 - shares], -1)
        return float(torch.special.entr(shares.clamp(0, 1)).sum(-1).mean())
    return float(torch.special.entr(shares.clamp(0, 1)).sum(1).mean())


def _descend(
    twin: nn.Module, loss_of: Any, inputs: Tensor, targets: Tensor, rate: float, until: float
) -> list[float]:
    """Losses of a few dozen steps of Adam; fewer where it fits or time is up."""
    parameters = [item for item in twin.parameters() if item.requires_grad]
    if not parameters:
        return []
    optimizer = torch.optim.Adam(parameters, lr=rate)
    losses: list[float] = []
    with torch.enable_grad():
        while len(losses) < _STEPS and time.perf_counter() < until:
            optimizer.zero_grad()
            scores = first_tensor(twin(inputs.clone()))
            if scores is None:
                return []
            loss = loss_of(scores, targets)
            losses.append(float(loss.detach()))
            if losses[-1] <= _FITTED * losses[0] and len(losses) > 1:
                break
            loss.backward()
            optimizer.step()
    return losses


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
    # an example met twice, in a second epoch, would be its own nearest neighbour
    values, first = np.unique(inputs.flatten(1).double().numpy(), axis=0, return_index=True)
    labels = targets.numpy()[first]
    _, counts = np.unique(labels, return_counts=True)
    if not np.isfinite(values).all() or len(counts) < 2 or len(values) < _ENOUGH:
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
