"""Testing: gradient checks as assertions, for pytest and any other test runner.

The plugin gives tests a fixture, ``assert_gradients_correct``, with no import.
"""

from __future__ import annotations

from typing import Any

from chainrule.gradients.check import check_gradients
from chainrule.gradients.result import GradientCheck


def assert_gradients_correct(target: Any, inputs: Any = None, **options: Any) -> GradientCheck:
    """Fail when a gradient is wrong, or when it cannot be told; say which operation is to blame.

    A kink passes: beside it the gradient was found right.

    Args:
        target: as for ``check_gradients``.
        inputs: as for ``check_gradients``.
        options: the other arguments of ``check_gradients``.

    Returns:
        the check, for those who want to look closer.

    Raises:
        AssertionError: the verdict is "wrong" or "cannot-tell"; its text is the whole answer.

    Examples:
        >>> import torch
        >>> assert_gradients_correct(torch.tanh, torch.tensor([0.5, -1.0])).verdict
        'correct'
    """
    __tracebackhide__ = True
    found = check_gradients(target, inputs, **options)
    if not found.ok:
        raise AssertionError(f"gradients of {found.target}: {found.verdict}\n{found}")
    return found
