"""One suite that every public layer of ``chainrule.nn`` passes; exceptions carry their reason."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import chainrule.nn
from chainrule.nn.dropconnect import DropConnectConv2d, DropConnectLinear
from chainrule.nn.global_average_pool import GlobalAveragePool
from chainrule.nn.losses import SVMLoss
from chainrule.nn.maxout import Maxout
from chainrule.nn.residual import Residual
from chainrule.nn.stochastic_depth import StochasticDepth

VECTOR, IMAGE = (6,), (2, 6, 6)


@dataclass(frozen=True)
class Member:
    """A layer, the shape of one example, and the tests it is excused from, with the reason."""

    make: Callable[[], nn.Module]
    example: tuple[int, ...]
    differs: bool  # whether train and eval mode give different outputs
    classes: bool = False  # whether it takes class numbers beside its input
    excused: dict[str, str] = field(default_factory=dict)


NO_IMAGE = {"channels_last": "its input has no channels: memory formats are for (N, C, H, W)"}
LAST_AXIS = {"output_format": "it works on the last axis: the output has no channels to keep last"}
NO_MAP = {"output_format": "its output (N, C) has no height and width"}

FAMILY = {
    "Maxout": Member(lambda: Maxout(6, units=4, pieces=3), IMAGE, differs=False, excused=LAST_AXIS),
    "DropConnectLinear": Member(
        lambda: DropConnectLinear(6, 4, p=0.4), IMAGE, differs=True, excused=LAST_AXIS
    ),
    "DropConnectConv2d": Member(
        lambda: DropConnectConv2d(2, 3, 3, padding=1, p=0.4), IMAGE, differs=True
    ),
    "StochasticDepth": Member(lambda: StochasticDepth(0.4), IMAGE, differs=True),
    "Residual": Member(lambda: Residual(nn.Conv2d(2, 2, 3, padding=1)), IMAGE, differs=False),
    "Residual with p": Member(
        lambda: Residual(nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 1), p=0.4), IMAGE, differs=True
    ),
    "GlobalAveragePool": Member(GlobalAveragePool, IMAGE, differs=False, excused=NO_MAP),
    "SVMLoss": Member(
        lambda: SVMLoss(reduction="none"), VECTOR, differs=False, classes=True, excused=NO_IMAGE
    ),
    "SVMLoss squared": Member(
        lambda: SVMLoss(squared=True), VECTOR, differs=False, classes=True, excused=NO_IMAGE
    ),
}

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
    ),
]


@pytest.fixture(params=sorted(FAMILY))
def member(request: pytest.FixtureRequest) -> Member:
    chosen = FAMILY[request.param]
    wanted = request.node.originalname.removeprefix("test_")
    if wanted in chosen.excused:
        pytest.skip(chosen.excused[wanted])
    torch.manual_seed(0)
    return chosen


def inputs(member: Member, n: int = 5, **options: object) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(n, *member.example, generator=generator, dtype=torch.float64).to(**options)
    if not member.classes:
        return (x,)
    targets = torch.randint(member.example[0], (n,), generator=generator)
    return x, targets.to(x.device)


def run(layer: nn.Module, arguments: tuple[Tensor, ...], seed: int = 3) -> Tensor:
    torch.manual_seed(seed)
    return layer(*arguments)


def test_family_is_complete() -> None:
    """Every nn.Module that a module of chainrule.nn defines is in the list."""
    defined = set()
    for info in pkgutil.iter_modules(chainrule.nn.__path__):
        module = importlib.import_module(f"chainrule.nn.{info.name}")
        for name, value in vars(module).items():
            is_layer = isinstance(value, type) and issubclass(value, nn.Module)
            if is_layer and value.__module__ == module.__name__:
                defined.add(name)
    assert defined == {type(member.make()).__name__ for member in FAMILY.values()}


@pytest.mark.parametrize("training", [True, False])
def test_gradient(member: Member, training: bool) -> None:
    """Autograd against central differences in float64, for the input and every parameter."""
    layer = member.make().double().train(training)
    x, *rest = inputs(member, n=2)
    names = [name for name, _ in layer.named_parameters()]

    def call(x: Tensor, *values: Tensor) -> Tensor:
        torch.manual_seed(3)  # the same mask at every evaluation
        parameters = dict(zip(names, values, strict=True))
        return torch.func.functional_call(layer, parameters, (x, *rest))

    values = [parameter.detach().clone().requires_grad_() for parameter in layer.parameters()]
    assert torch.autograd.gradcheck(call, (x.requires_grad_(), *values))


@pytest.mark.parametrize("training", [True, False])
def test_empty_minibatch(member: Member, training: bool) -> None:
    layer = member.make().double().train(training)
    x, *rest = inputs(member, n=0)
    y = run(layer, (x.requires_grad_(), *rest))
    full = run(layer, inputs(member))
    assert y.shape == (0, *full.shape[1:]) if full.ndim else y.isnan()
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape
    if y.ndim:
        assert all(p.grad is not None and (p.grad == 0).all() for p in layer.parameters())


def test_save_and_load(member: Member, tmp_path: Path) -> None:
    layer, path = member.make().double(), tmp_path / "layer.safetensors"
    save_file(layer.state_dict(), path)
    torch.manual_seed(99)
    other = member.make().double()
    other.load_state_dict(load_file(path))
    expected = run(layer.eval(), inputs(member))
    assert torch.equal(run(other.eval(), inputs(member)), expected)
    assert torch.equal(run(other.train(), inputs(member)), run(layer.train(), inputs(member)))


@pytest.mark.parametrize("training", [True, False])
def test_meta_device_gives_the_shape(member: Member, training: bool) -> None:
    layer = member.make().double().train(training)
    expected = run(layer, inputs(member))
    y = run(layer.to("meta"), inputs(member, device="meta"))
    assert y.is_meta
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)


@pytest.mark.parametrize("device", DEVICES)
def test_device_move(member: Member, device: str) -> None:
    layer = member.make().double().eval()
    expected = run(layer, inputs(member))
    moved = layer.to(device)
    y = run(moved, inputs(member, device=device))
    assert y.device.type == device
    torch.testing.assert_close(y.cpu(), expected)
    trained = run(moved.train(), inputs(member, device=device))
    assert trained.device.type == device
    assert trained.shape == expected.shape


def test_train_and_eval(member: Member) -> None:
    layer = member.make().double()
    trained, evaluated = (run(layer.train(mode), inputs(member)) for mode in (True, False))
    assert torch.equal(trained, evaluated) != member.differs
    assert torch.equal(run(layer.eval(), inputs(member), seed=4), evaluated)


def test_eval_mode_leaves_the_random_state(member: Member) -> None:
    layer, arguments = member.make().double().eval(), inputs(member)
    state = torch.random.get_rng_state()
    layer(*arguments)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("training", [True, False])
def test_channels_last(member: Member, training: bool) -> None:
    layer = member.make().double().train(training)
    (x,) = inputs(member)
    expected = run(layer, (x,))
    arranged = x.to(memory_format=torch.channels_last)
    assert arranged.stride() != x.stride()
    y = run(layer, (arranged,))
    torch.testing.assert_close(y, expected)
    if "output_format" not in member.excused:
        assert y.is_contiguous(memory_format=torch.channels_last)


def test_lower_precision_keeps_its_dtype(member: Member) -> None:
    layer = member.make().bfloat16()
    assert run(layer, inputs(member, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_input_is_left_as_it_was(member: Member) -> None:
    arguments = inputs(member)
    copies = [argument.clone() for argument in arguments]
    run(member.make().double(), arguments)
    assert all(torch.equal(a, b) for a, b in zip(arguments, copies, strict=True))
