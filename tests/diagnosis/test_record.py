"""Symptoms as pure functions of a record: each rule beside the case on which it is silent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from chainrule.diagnosis.answer import LoaderSeen, ModelSeen, OptimizerSeen
from chainrule.diagnosis.beginning import _least
from chainrule.diagnosis.facts import Backward, LossFacts, PassFacts, Sample, TensorFacts
from chainrule.diagnosis.losses import BINARY, CLASSES
from chainrule.diagnosis.parameters import ParameterStep
from chainrule.diagnosis.symptoms import course, start, structure
from chainrule.diagnosis.symptoms.record import Record, Start

LN10 = float(np.log(10))
SCORES = TensorFacts((64, 10), "float32", 0.0, 1.0, -3.0, 3.0)
LABELS = TensorFacts((64,), "int64", 4.5, 2.9, 0.0, 9.0, whole=True)
CALL = LossFacts(
    "cross_entropy", CLASSES, "logits", "mean", LN10, 10, SCORES, LABELS, (64, 10), 0.0, False,
    False, 6, 64, 10, 0.1, 1.0, (), False, LN10, None,
)  # fmt: skip
SUM = replace(CALL, reduction="sum")
REWARD = replace(CALL, function="mul mean", task="other", wants="numbers", written_out=True)
OPTIMIZER = OptimizerSeen("SGD", ({"lr": 0.1, "weight_decay": 0.0},), None, None, 100)
PASS = PassFacts("net", True, True, TensorFacts((64, 64), "float32", 0.0, 1.0, -2.0, 2.0), "", "a")
LOADER = LoaderSeen(640, 64, True, False, 0, 10, None)


def sample(step, *calls, penalty=0.0, gradient=1.0, kept=None):
    """A step watched in full; ``kept`` is the gradient norm that clipping leaves of 1."""
    calls = calls or (CALL,)
    data = sum(call.value for call in calls)
    weights = ParameterStep("fc.weight", 640, 5.0, gradient, 0.005)
    return Sample(
        step, (PASS,), calls, (Backward(data + penalty, data, penalty, 1.0),),
        parameters=(weights,), after_backward=None if kept is None else 1.0, before_step=kept,
    )  # fmt: skip


def record(losses, *calls, samples=None, **more):
    """A training of 100 steps; constant predictor ln 10, unless ``more`` says otherwise."""
    values = tuple(losses) if hasattr(losses, "__iter__") else (float(losses),) * 100
    samples = samples or tuple(sample(step, *calls) for step in (1, 2, 3, 50, 100))
    known = {"constant": LN10, "optimizers": (OPTIMIZER,), "classes": dict.fromkeys(range(10), 64)}
    return Record(values, samples, **known | more)


def falling(high, low):
    return np.linspace(high, low, 100).tolist()


def game():
    return record(LN10, updating=2)


def reward():
    return record((0.1 * np.sin(np.arange(100))).tolist(), REWARD, constant=None)


# rule: (record on which it speaks, record on which it is silent)
PAIRS = {
    "a flat loss; not that of a game": (course.loss_flat, record(LN10), game()),
    "a flat loss; not that of a reward": (
        course.loss_flat, record(1.0, REWARD, constant=None), reward(),
    ),
    "above the constant predictor; not where several losses are summed": (
        course.loss_flat, record(falling(9, 4)), record(falling(9, 4), CALL, CALL),
    ),
    "above the constant predictor; not where classes are weighted": (
        course.loss_flat, record(falling(9, 4)),
        record(falling(9, 4), replace(CALL, weighted=True)),
    ),
    "above the constant predictor; not by the penalty alone": (
        course.loss_flat, record(falling(9, 2.8)),
        record(falling(9, 2.8), samples=tuple(sample(step, penalty=1.0) for step in (1, 2, 50))),
    ),
    "decay against no gradient; not without decay": (
        course.decay_outweighs,
        record(LN10, samples=tuple(sample(step, gradient=0.0) for step in (1, 2, 50)),
               optimizers=(replace(OPTIMIZER, groups=({"lr": 0.1, "weight_decay": 0.1},)),)),
        record(LN10, samples=tuple(sample(step, gradient=0.0) for step in (1, 2, 50))),
    ),
    "clipping; not the work of a scaler": (
        course.clipped_too_hard,
        record(LN10, samples=tuple(sample(step, kept=1e-5) for step in (1, 2, 50))),
        record(LN10, samples=tuple(sample(step, kept=1e-5) for step in (1, 2, 50)),
               optimizers=(replace(OPTIMIZER, scaler=True),)),
    ),
    "a sum over many; not over one": (
        course.not_averaged, record(64 * LN10, SUM), record(LN10, replace(SUM, answers=1)),
    ),
    "a sum in one training; not in a game": (
        course.not_averaged, record(64 * LN10, SUM), record(64 * LN10, SUM, updating=2),
    ),
    "few classes in a minibatch; not in an image": (
        course.not_shuffled, record(LN10, replace(CALL, labels=1)),
        record(LN10, replace(CALL, labels=1, answers=64 * 49)),
    ),
    "a mean of log shares; not its negative": (
        structure.loss_sign_flipped,
        record(-2.3, replace(CALL, written_out=True, wants="log-probabilities", value=-2.3)),
        record(2.3, replace(CALL, written_out=True, wants="log-probabilities", value=2.3)),
    ),
    "strangers; not without": (
        structure.parameters_not_optimized, record(LN10, strangers=((3, 2),)), record(LN10),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_a_rule_speaks_and_is_silent(name):
    rule, speaks, silent = PAIRS[name]
    assert rule(speaks) is not None
    assert rule(silent) is None


def predicted(losses, classes=10, examples=500, **more):
    counts = dict.fromkeys(range(classes), 10)
    found = Start(predicted=(0.1, 0.1, 0.1, examples))
    return start.inputs_do_not_predict(record(losses, start=found, classes=counts, **more))


def test_inputs_that_do_not_predict_their_targets():
    assert predicted(LN10, loaders=(LOADER,)) is not None
    assert predicted(LN10, classes=100, loaders=(LOADER,)) is None, "5 examples of each class"


def test_a_loss_that_fell_on_examples_met_the_first_time_is_a_proof_of_the_contrary():
    """Ten steps are the first epoch; what falls after it may be learned by heart."""
    early, late = [LN10] * 5 + [1.0] * 95, [LN10] * 10 + [1.0] * 90
    assert predicted(early, loaders=(LOADER,)) is None
    assert predicted(late, loaders=(LOADER,)) is not None
    assert predicted(early) is not None, "nobody knows how long an epoch is"


@pytest.mark.parametrize(("later", "wrong", "spoken"), [(4, 4, True), (4, 3, False), (1, 1, False)])
def test_training_in_evaluation_mode_after_the_first_evaluation(later, wrong, spoken):
    model = ModelSeen(
        "net", "Net", None, None, (), 20, 5, ("1 (Dropout)",), wrong, later, wrong,
    )  # fmt: skip
    assert (structure.wrong_mode(record(1.0, models=(model,))) is not None) == spoken


def test_the_least_loss_is_the_entropy_of_the_targets():
    shares = torch.rand(50, 7, dtype=torch.float64)
    p = shares.numpy()
    two = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
    assert _least(BINARY, shares) == pytest.approx(two, rel=1e-12)
    rows = shares / shares.sum(1, keepdim=True)
    expected = -(rows.numpy() * np.log(rows.numpy())).sum(1).mean()
    assert _least(CLASSES, rows) == pytest.approx(expected, rel=1e-12)
    assert _least(CLASSES, torch.arange(5)) == 0.0
    assert _least(BINARY, torch.tensor([0.0, 1.0])) == 0.0
