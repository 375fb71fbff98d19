"""Plugin for pytest: the fixture ``assert_gradients_correct``; torch is imported on first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def assert_gradients_correct() -> Callable[..., Any]:
    """``chainrule.testing.assert_gradients_correct``, ready to be called."""
    from chainrule.testing import assert_gradients_correct as check

    return check
