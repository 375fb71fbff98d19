"""Flat loss: falls by hand, and the other wrong scale in the words of its note."""

from __future__ import annotations

import re

import pytest
import torch

from chainrule.nn.weighted import weighted_layers
from chainrule.study.experiments import flat_loss as subject
from chainrule.study.experiments.flat_loss import Setup


def test_fall_is_that_of_the_means_of_both_ends() -> None:
    assert subject._fall([4.0, 2.0, 9.0, 1.0, 0.5], 2) == pytest.approx(1 - 0.75 / 3.0)


def test_far_too_large_weights_are_all_drawn_with_their_standard_deviation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[torch.nn.Module] = []

    def keep(module: torch.nn.Module, *_: object, **__: object) -> object:
        seen.append(module)
        return type("Fitted", (), {"losses": [1.0]})

    monkeypatch.setattr(subject, "fit", keep)
    setup = Setup()
    for text in setup.saturated:
        subject._saturated(setup, text, 0)
    for module in seen:
        for _, layer in weighted_layers(module):
            assert float(layer.weight.detach().std()) == pytest.approx(setup.large_std, rel=0.1)


@pytest.mark.parametrize(("end", "falls"), [(40.0, (60, 60)), (100.0, (0, 0))])
def test_note_tells_what_was_measured(
    end: float, falls: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Setup(runs=2)
    losses = [100.0] * setup.window + [end] * setup.window
    monkeypatch.setattr(subject, "_saturated", lambda *_: losses)
    note = subject._too_large(setup, 0)
    assert tuple(map(int, re.findall(r"(\d+) to (\d+) %", note)[0])) == falls
    assert ("do not keep" in note) == (end < 95)
    assert f"from 100 to {end:.0f} nats" in note
