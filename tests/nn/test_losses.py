"""Every loss against its slow twin, against PyTorch where it has one, and the guard's words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import nn_losses as twin

from chainrule.errors import DataError, RecipeError, ShapeError
from chainrule.nn.losses import LOSSES, SVMLoss, softmax_loss, svm_loss

NAMES = sorted(LOSSES)
quick = settings(max_examples=25, deadline=None, derandomize=True)


def scores_of(n: int = 6, c: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, c, dtype=torch.float64, generator=generator) * 2


def classes_of(n: int = 6, c: int = 4, seed: int = 1) -> torch.Tensor:
    return torch.randint(c, (n,), generator=torch.Generator().manual_seed(seed))


def rows_of(n: int = 6, c: int = 4, seed: int = 2) -> torch.Tensor:
    """(N, C) class probabilities."""
    return torch.softmax(scores_of(n, c, seed), dim=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("targets", [classes_of(), rows_of()], ids=["classes", "rows"])
def test_equals_its_slow_twin(name: str, targets: torch.Tensor) -> None:
    scores = scores_of()
    ours = LOSSES[name](scores, targets)
    assert ours.shape == ()
    assert ours.item() == pytest.approx(
        twin.LOSSES[name](scores.numpy(), targets.numpy()), rel=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("targets", [classes_of(), rows_of()], ids=["classes", "rows"])
def test_gradient_equals_central_differences(name: str, targets: torch.Tensor) -> None:
    scores = scores_of().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: LOSSES[name](s, targets), (scores,))


@pytest.mark.parametrize("name", NAMES)
def test_one_hot_rows_equal_class_numbers(name: str) -> None:
    scores, classes = scores_of(), classes_of()
    rows = F.one_hot(classes, 4).double()
    torch.testing.assert_close(LOSSES[name](scores, rows), LOSSES[name](scores, classes))


@pytest.mark.parametrize("name", NAMES)
def test_mean_does_not_depend_on_the_order_or_on_copies(name: str) -> None:
    scores, classes = scores_of(), classes_of()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(3))
    once = LOSSES[name](scores, classes)
    torch.testing.assert_close(LOSSES[name](scores[order], classes[order]), once)
    torch.testing.assert_close(LOSSES[name](scores.repeat(2, 1), classes.repeat(2)), once)


@pytest.mark.parametrize("name", NAMES)
def test_empty_minibatch_gives_nan_as_pytorch_does(name: str) -> None:
    assert LOSSES[name](scores_of(0), classes_of(0)).isnan()
    assert F.cross_entropy(scores_of(0), classes_of(0)).isnan()


@pytest.mark.parametrize("name", NAMES)
def test_floating_dtypes_meet_in_the_finer_one(name: str) -> None:
    scores, rows = scores_of(), rows_of()
    assert LOSSES[name](scores.float(), rows).dtype == torch.float64
    coarse = scores.bfloat16()
    assert torch.equal(
        LOSSES[name](coarse, rows.float()), LOSSES[name](coarse.float(), rows.float())
    )


@pytest.mark.parametrize("name", NAMES)
def test_meta_tensors_go_through(name: str) -> None:
    for targets in (classes_of(), rows_of()):
        assert LOSSES[name](scores_of().to("meta"), targets.to("meta")).is_meta


@quick
@given(
    n=st.integers(1, 5),
    c=st.integers(2, 6),
    margin=st.floats(0.1, 3),
    squared=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_svm_with_any_margin(n: int, c: int, margin: float, squared: bool, seed: int) -> None:
    scores = scores_of(n, c, seed)
    for targets in (classes_of(n, c, seed), rows_of(n, c, seed)):
        losses = svm_loss(scores, targets, margin, squared, "none")
        expected = twin.svm(scores.numpy(), targets.numpy(), margin, squared)
        np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("squared", "power"), [(False, 1), (True, 2)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_svm_is_c_times_multi_margin_loss(squared: bool, power: int, reduction: str) -> None:
    scores, classes = scores_of(c=5), classes_of(c=5)
    ours = svm_loss(scores, classes, 0.7, squared, reduction)
    theirs = F.multi_margin_loss(scores, classes, p=power, margin=0.7, reduction=reduction)
    torch.testing.assert_close(ours, 5 * theirs)


def test_svm_of_the_course_notes() -> None:
    """cs231n's cat, car and frog: losses 2.9, 0 and 12.9, mean 5.27."""
    scores = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    losses = svm_loss(scores, torch.tensor([0, 1, 2]), reduction="none")
    torch.testing.assert_close(losses, torch.tensor([2.9, 0.0, 12.9]))
    assert svm_loss(scores, torch.tensor([0, 1, 2])).item() == pytest.approx(5.27, abs=0.005)


def test_svm_subgradient_at_the_kink_is_zero() -> None:
    scores = torch.tensor([[1.0, 0.0]], requires_grad=True)
    svm_loss(scores, torch.tensor([0])).backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [[0.0, 0.0]]


def test_svm_module_hands_on_its_settings() -> None:
    scores, classes = scores_of(), classes_of()
    module = SVMLoss(margin=0.5, squared=True, reduction="sum")
    assert torch.equal(module(scores, classes), svm_loss(scores, classes, 0.5, True, "sum"))
    assert "margin=0.5, squared=True, reduction='sum'" in repr(module)
    wrong = torch.full((6,), -1)
    with pytest.raises(DataError, match="hold class -1"):
        SVMLoss()(scores, wrong)


@pytest.mark.parametrize("targets", [classes_of(), rows_of()], ids=["classes", "rows"])
def test_label_smoothing(targets: torch.Tensor) -> None:
    scores = scores_of()
    expected = twin.softmax(scores.numpy(), targets.numpy(), label_smoothing=0.2)
    assert softmax_loss(scores, targets, label_smoothing=0.2).item() == pytest.approx(expected)


# The guard: what each bad input must say, for every loss of the table.

SHAPE_FAULTS = {
    "column of classes": (
        (torch.zeros(3, 4), torch.zeros(3, 1, dtype=torch.int64)),
        ["(3, 1)", "(3, 4)", "targets.squeeze(1)"],
    ),
    "one-hot int64": (
        (torch.zeros(3, 4), torch.zeros(3, 4, dtype=torch.int64)),
        ["(3, 4)", "targets.argmax(1)", "targets.float()"],
    ),
    "another minibatch": (
        (torch.zeros(3, 4), torch.zeros(5, dtype=torch.int64)),
        ["(5,)", "(3, 4)", "same minibatch"],
    ),
    "float column missing": (
        (torch.zeros(3, 1), torch.zeros(3)),
        ["(3,)", "(3, 1)", "nothing is broadcast", "targets.reshape(3, 1)"],
    ),
    "float classes": (
        (torch.zeros(3, 4), torch.zeros(3)),
        ["(3,)", "(3, 4)", "targets.long()"],
    ),
    "row broadcast": (
        (torch.zeros(3, 4), torch.zeros(1, 4)),
        ["(1, 4)", "(3, 4)", "one target per score"],
    ),
    "flat scores": ((torch.zeros(3), torch.zeros(3)), ["scores", "(3,)", "(N, C)"]),
    "score maps": (
        (torch.zeros(3, 4, 2, 2), torch.zeros(3, dtype=torch.int64)),
        ["(3, 4, 2, 2)", "flatten"],
    ),
}

DATA_FAULTS = {
    "int32": (
        (torch.zeros(3, 4), torch.zeros(3, dtype=torch.int32)),
        ["torch.int32", "torch.int64", "targets.long()"],
    ),
    "bool labels": (
        (torch.zeros(3, 4), torch.zeros(3, 4, dtype=torch.bool)),
        ["torch.bool", "targets.float()"],
    ),
    "int scores": (
        (torch.zeros(3, 4, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)),
        ["scores", "torch.int64", "raw scores"],
    ),
    "another device": (
        (torch.zeros(3, 4, device="meta"), torch.zeros(3, dtype=torch.int64)),
        ["cpu", "meta", "targets.to(scores.device)"],
    ),
}

VALUE_FAULTS = {
    "class too large": (torch.tensor([0, 4, 9]), ["class 4 at position 1", "C = 4", "[0, 4)"]),
    "class negative": (torch.tensor([0, 1, -100]), ["class -100 at position 2", "from 0"]),
    "nan": (torch.tensor([[0.0, 1, 0, 0], [0, 0, np.nan, 1], [1, 0, 0, 0]]), ["nan", "(1, 2)"]),
}


def assert_one_line(error: pytest.ExceptionInfo[Exception], fragments: list[str]) -> None:
    message = str(error.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", SHAPE_FAULTS)
@pytest.mark.parametrize("check", [True, False])
def test_no_loss_broadcasts(name: str, fault: str, check: bool) -> None:
    (scores, targets), fragments = SHAPE_FAULTS[fault]
    with pytest.raises(ShapeError) as error:
        LOSSES[name](scores, targets, check=check)
    assert_one_line(error, fragments)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", DATA_FAULTS)
@pytest.mark.parametrize("check", [True, False])
def test_every_loss_refuses_wrong_dtypes_and_devices(name: str, fault: str, check: bool) -> None:
    (scores, targets), fragments = DATA_FAULTS[fault]
    with pytest.raises(DataError) as error:
        LOSSES[name](scores, targets, check=check)
    assert_one_line(error, fragments)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", VALUE_FAULTS)
def test_every_loss_refuses_targets_out_of_range(name: str, fault: str) -> None:
    targets, fragments = VALUE_FAULTS[fault]
    with pytest.raises(DataError) as error:
        LOSSES[name](torch.zeros(3, 4), targets)
    assert_one_line(error, fragments)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_not_read_without_check(name: str) -> None:
    assert LOSSES[name](torch.zeros(1, 2), torch.tensor([[np.nan, 1.0]]), check=False).isnan()
    if name == "softmax":  # PyTorch passes over class -100, which leaves no example here
        assert LOSSES[name](torch.zeros(1, 2), torch.tensor([-100]), check=False).isnan()


@pytest.mark.parametrize("name", ["softmax", "svm", "squared-hinge"])
def test_probabilities_must_sum_to_one(name: str) -> None:
    targets = torch.tensor([[0.5, 0.5], [0.9, 0.9]])
    with pytest.raises(DataError) as error:
        LOSSES[name](torch.zeros(2, 2), targets)
    assert_one_line(error, ["example 1", "1.8", "sum to 1", "divide each row", "'bce'"])
    for name_of_values in ("mse", "bce"):
        assert LOSSES[name_of_values](torch.zeros(2, 2), targets).isfinite()


@pytest.mark.parametrize("name", ["softmax", "svm", "squared-hinge", "bce"])
def test_probabilities_lie_in_zero_to_one(name: str) -> None:
    with pytest.raises(DataError) as error:
        LOSSES[name](torch.zeros(1, 2), torch.tensor([[1.5, -0.5]]))
    assert_one_line(error, ["1.5 at (0, 0)", "[0, 1]", "int64"])


def test_rounded_probabilities_are_taken() -> None:
    """What bfloat16 makes of a sum of 1 is taken; a sum of 0.9 is not."""
    rows = torch.full((2, 100), 0.0101, dtype=torch.bfloat16)
    assert rows.sum(dim=1)[0] > 1.001
    assert softmax_loss(torch.zeros(2, 100), rows).isfinite()
    with pytest.raises(DataError, match=r"sum to 0\.9"):
        softmax_loss(torch.zeros(2, 100), 0.9 * rows)


@pytest.mark.parametrize(
    ("keywords", "fragments"),
    [
        ({"reduction": "men"}, ["reduction", "'men'", "mean, sum, none", "did you mean 'mean'"]),
        ({"margin": 0.0}, ["margin", "above 0", "0.0", "1 is customary"]),
        ({"margin": float("nan")}, ["margin", "finite", "nan"]),
        ({"margin": "wide"}, ["margin", "finite number", "'wide'"]),
    ],
)
def test_svm_refuses_wrong_settings(keywords: dict[str, object], fragments: list[str]) -> None:
    for call in (
        lambda: svm_loss(scores_of(), classes_of(), **keywords),
        lambda: SVMLoss(**keywords),
    ):
        with pytest.raises(RecipeError) as error:
            call()
        assert_one_line(error, fragments)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), None])
def test_label_smoothing_is_a_share(share: float) -> None:
    with pytest.raises(RecipeError) as error:
        softmax_loss(scores_of(), classes_of(), label_smoothing=share)
    assert_one_line(error, ["label_smoothing", "[0, 1]", repr(share), "0.1 is customary"])
