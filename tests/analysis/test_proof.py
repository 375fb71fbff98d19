"""Proofs hold on healthy networks, and each of them has been seen to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.reference.architectures import MobileBlock, UNet, efficientnet_b0
from torch import nn

from chainrule.analysis import cost, proof, running
from chainrule.analysis.describe import describe
from chainrule.finding import Proof
from chainrule.network.source import network

HEALTHY: dict[str, tuple[Any, Any]] = {
    "lenet5": ("lenet5", None),
    "resnet18": ("resnet18", (3, 64, 64)),
    "u-net": (UNet(2, 2), (1, 24, 24)),
    "mobile block": (MobileBlock(4, 4, 3, 1, 6, gate=True), (4, 12, 12)),
    "efficientnet_b0": (efficientnet_b0(), (3, 64, 64)),
    "transformer": (nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), (6, 16)),
    "lstm": (nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True), (6, 3)),
    "gru": (nn.GRU(3, 4, batch_first=True), (6, 3)),
    "dropout": ("INPUT 8, FC-16, RELU, DROPOUT(0.5), FC-4", None),
    "frozen": ("INPUT 8x8x2, CONV3-4, BN, RELU, FC-3", None),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_everything_is_proved(name: str) -> None:
    module, shape = HEALTHY[name]
    if name == "frozen":
        module = network(module)
        module[0].requires_grad_(False)
    answer = describe(module, shape, prove=True)
    assert [(p.claim, p.differences) for p in answer.proofs if not p.holds] == []
    assert answer.proved
    assert len(answer.proofs) == 6
    assert all(p.compared for p in answer.proofs if p.claim != "receptive fields")


def proofs(**changes: Any) -> dict[str, Proof]:
    answer = describe("INPUT 12x12x2, CONV3-4, RELU, POOL2, CONV3-3, FC-5", **changes)
    return {item.claim: item for item in answer.proofs}


def wrong_macs(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cost.PRODUCTS["convolution"]
    changed = cost.PRODUCTS | {"convolution": lambda operation: right(operation) + 1}
    monkeypatch.setattr(cost, "PRODUCTS", changed)


def wrong_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    right = proof.Run.copy

    def forgetful(self: running.Run, *, training: bool) -> nn.Module:
        twin = right(self, training=training)
        for parameter in twin[0].parameters():  # type: ignore[index]
            parameter.requires_grad_(False)
        return twin

    monkeypatch.setattr(proof.Run, "copy", forgetful)


def wrong_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    right = proof.inference_peak
    monkeypatch.setattr(proof, "inference_peak", lambda graph: 3 * right(graph))


def wrong_field(monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule.analysis import rules_windows
    from chainrule.analysis.lattice import AxisMap, window_map

    def narrow(size: int, *rest: int) -> AxisMap:
        return window_map(max(size - 1, 1), *rest)

    monkeypatch.setattr(rules_windows, "window_map", narrow)


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "MACs": wrong_macs,
    "bytes kept for the backward pass": wrong_kept,
    "most bytes held in inference": wrong_peak,
    "receptive fields": wrong_field,
}


@pytest.mark.parametrize("claim", FAULTS)
def test_a_planted_fault_is_found_by_its_proof(claim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert proofs(prove=True)[claim].holds
    FAULTS[claim](monkeypatch)
    assert not proofs(prove=True)[claim].holds


def test_wrong_shapes_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {torch.ops.aten.relu.default: lambda x: x.new_empty((*x.shape[:-1], x.shape[-1] + 2))}
    monkeypatch.setattr("chainrule.analysis.tracer.RULES", rules)
    answer = describe("INPUT 12x12x2, CONV3-4, RELU", prove=True)
    shapes = next(item for item in answer.proofs if item.claim == "output shapes")
    assert ("relu1", (1, 4, 12, 14), (1, 4, 12, 12)) in shapes.differences
    assert not answer.proved


def test_wrong_parameters_are_found() -> None:
    module = nn.Linear(3, 2)
    answer = describe(module)
    wrong = replace(answer, totals=replace(answer.totals, parameters=9))
    assert proof._parameters(module, wrong).differences == (("total", 9, 8),)


def test_what_cannot_be_run_says_so() -> None:
    answer = describe(nn.Linear(3, 2, device="meta"), prove=True)
    assert "meta device" in answer.proofs[0].note
    tokens = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5))
    notes = {item.claim: item.note for item in describe(tokens, "6:int64", prove=True).proofs}
    assert "no NaN can be put in" in notes["receptive fields"]


def test_the_fields_of_every_position_are_compared_on_a_small_input() -> None:
    found = proofs(prove=True)["receptive fields"]
    layers_with_places = 6
    assert found.compared >= 2 * 12 * layers_with_places
