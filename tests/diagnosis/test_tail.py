"""The number that ``backward`` is called on, taken apart."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from chainrule.diagnosis.ear import Ear
from chainrule.diagnosis.tail import Tail

torch.manual_seed(0)
SCORES = torch.randn(8, 4, requires_grad=True)
NUMBERS = torch.randn(8, 1, requires_grad=True)
LABELS = torch.randint(4, (8,))
TARGETS = torch.randn(8, 1)
WEIGHT = torch.randn(3, 3, requires_grad=True)
CE = F.cross_entropy(SCORES, LABELS).item()
MSE = F.mse_loss(NUMBERS, TARGETS).item()
L2 = (WEIGHT**2).sum().item()


def ce():
    return F.cross_entropy(SCORES * 1.0, LABELS)


def mse():
    return F.mse_loss(NUMBERS * 1.0, TARGETS)


def l2():
    return (WEIGHT**2).sum()


# what is computed: data loss, penalty, scale, names of the losses
FORMS = {
    "alone": (lambda: ce(), CE, 0.0, 1.0, ["cross_entropy"]),
    "penalty": (lambda: ce() + 0.1 * l2(), CE, 0.1 * L2, 1.0, ["cross_entropy"]),
    "penalty first": (lambda: 0.1 * l2() + ce(), CE, 0.1 * L2, 1.0, ["cross_entropy"]),
    "accumulated": (lambda: ce() / 4, CE, 0.0, 0.25, ["cross_entropy"]),
    "both divided": (lambda: (ce() + 0.1 * l2()) / 4, CE, 0.1 * L2, 0.25, ["cross_entropy"]),
    "scaled by a tensor": (lambda: ce() * torch.tensor(1024.0), CE, 0.0, 1024.0,
                           ["cross_entropy"]),
    "negative": (lambda: -ce(), CE, 0.0, -1.0, ["cross_entropy"]),
    "minus a bonus": (lambda: ce() - 0.1 * l2(), CE, -0.1 * L2, 1.0, ["cross_entropy"]),
    "two losses": (lambda: ce() + mse(), CE + MSE, 0.0, 1.0, ["cross_entropy", "mse_loss"]),
    "in place": (lambda: ce().add_(0.1 * l2()), CE, 0.1 * L2, 1.0, ["cross_entropy"]),
    "by its class": (lambda: torch.nn.CrossEntropyLoss()(SCORES * 1.0, LABELS), CE, 0.0, 1.0,
                     ["cross_entropy"]),
    "not reduced": (lambda: F.cross_entropy(SCORES * 1.0, LABELS, reduction="none").mean(), CE, 0.0,
                    1.0, ["cross_entropy"]),
}  # fmt: skip


def heard(compute, *outputs):
    tail = Tail()
    tail.begin(list(outputs))
    ear = Ear(tail.hear)
    ear.open()
    try:
        total = compute()
    finally:
        ear.close()
    return tail.split(total), total


@pytest.mark.parametrize("name", FORMS)
def test_losses_and_penalties_are_told_apart(name):
    compute, data, penalty, scale, functions = FORMS[name]
    split, total = heard(compute, SCORES, NUMBERS)
    assert split.total == pytest.approx(total.item(), rel=1e-6)
    assert split.data == pytest.approx(data, rel=1e-6)
    assert split.penalty == pytest.approx(penalty, rel=1e-4, abs=1e-6)
    assert split.scale == pytest.approx(scale)
    assert [call.name for call in split.calls] == functions


def test_different_factors_have_no_common_scale():
    split, total = heard(lambda: ce() + 0.5 * mse(), SCORES, NUMBERS)
    assert split.scale is None
    assert split.total == pytest.approx(total.item())


def test_what_is_not_linear_has_no_penalty():
    """exp(loss) is no sum of losses: nothing is made up."""
    split, _ = heard(lambda: ce().exp(), SCORES)
    assert split.penalty is None
    assert split.total == pytest.approx(torch.tensor(CE).exp().item(), rel=1e-6)


LOGS = SCORES.detach().log_softmax(1).requires_grad_()
LOGS_EXP = LOGS.detach().exp().requires_grad_()
YES = (TARGETS - TARGETS.mean() > 0).float()
BCE = F.binary_cross_entropy_with_logits(NUMBERS, YES).item()


def yes_and_no(yes, no):
    """The mean log-likelihood of answers that are yes or no."""
    return (YES * yes + (1 - YES) * no).mean()


WRITTEN = {
    "squares": (lambda: ((NUMBERS - TARGETS) ** 2).mean(), "mse_loss", MSE),
    "squares the other way round": (lambda: (TARGETS - NUMBERS).pow(2).mean(), "mse_loss", MSE),
    "absolute": (lambda: (NUMBERS - TARGETS).abs().mean(), "l1_loss",
                 (NUMBERS - TARGETS).abs().mean().item()),
    "negative log of a share": (
        lambda: -torch.log(SCORES.softmax(1)[range(8), LABELS]).mean(), "nll_loss", CE),
    "log_softmax and gather": (
        lambda: -SCORES.log_softmax(1).gather(1, LABELS[:, None]).mean(), "nll_loss", CE),
    "log_softmax in the network": (
        lambda: -LOGS.gather(1, LABELS[:, None]).mean(), "nll_loss", CE),
    "softmax in the network": (
        lambda: -LOGS_EXP[range(8), LABELS].log().mean(), "nll_loss", CE),
    "scores of classes without softmax": (
        lambda: -SCORES.gather(1, LABELS[:, None]).mean(), "own",
        abs(SCORES.gather(1, LABELS[:, None]).mean().item())),
    "logarithms of yes and no": (lambda: -yes_and_no(F.logsigmoid(NUMBERS),
                                                     F.logsigmoid(-NUMBERS)),
                                 "binary_nll_loss", BCE),
    "logarithms of probabilities": (lambda: -yes_and_no(NUMBERS.sigmoid().log(),
                                                        (1 - NUMBERS.sigmoid()).log()),
                                    "binary_nll_loss", BCE),
    "a reward that is no yes or no": (lambda: (F.logsigmoid(NUMBERS) * (YES + 0.5)).mean(), "own",
                                      abs((F.logsigmoid(NUMBERS) * (YES + 0.5)).mean().item())),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_losses_that_are_written_out(name):
    compute, kind, value = WRITTEN[name]
    split, _ = heard(compute, SCORES, NUMBERS, LOGS, LOGS_EXP)
    (call,) = split.calls
    assert call.written_out
    assert call.kind.name == kind
    assert abs(split.total) == pytest.approx(value, rel=1e-5)
    assert call.target is not None
    wanted = {"mse_loss": TARGETS, "l1_loss": TARGETS, "nll_loss": LABELS}
    wanted |= {"own": LABELS if "classes" in name else YES + 0.5}
    assert torch.equal(call.target.squeeze(-1), wanted.get(kind, YES).squeeze(-1))
