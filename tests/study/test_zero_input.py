"""All-zero input by hand: dL/dW1 is the upstream gradient times the input, summed over examples."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.study.experiments.zero_input import Setup, _gradients
from chainrule.study.lesson import digits, net


@pytest.mark.parametrize("value", [0.0, 1.0, -0.5])
def test_gradients_by_the_chain_rule_in_numpy(value: float) -> None:
    setup = Setup(value=value, examples=20)
    found = _gradients(setup, 3)
    targets = digits(20, 3).targets.numpy()
    w1, b1, w2, b2 = (p.detach().double().numpy() for p in net(setup.network, 3).parameters())
    x = np.full((20, 64), value)
    h = np.tanh(x @ w1.T + b1)
    scores = h @ w2.T + b2
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    p[np.arange(20), targets] -= 1
    upstream = (p / 20) @ w2 * (1 - h**2)
    wanted = {
        "first weights": upstream.T @ x,
        "first biases": upstream.sum(0),
        "last weights": (p / 20).T @ h,
        "last biases": (p / 20).sum(0),
    }
    for name, gradient in wanted.items():
        assert found[name] == pytest.approx(np.linalg.norm(gradient), rel=1e-5, abs=1e-12), name
    assert (found["first weights"] == 0) == (value == 0)
