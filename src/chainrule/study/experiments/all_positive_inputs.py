"""All-positive inputs: signs of the weight gradients, the zig-zag, and what exp costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.nn.weighted import weighted_layers
from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import Material, digits, fit, generator, loss_of, net
from chainrule.study.measured import Part, mean_of, ratio_of
from chainrule.study.picture import Landscape, Panel, Picture, curve


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        network: notation, for the signs.
        lift: share of each pixel's mean that is added to the centred inputs; 1 makes all positive.
        examples: for the signs, and for the descent.
        target: loss that the linear classifier is to reach, in nats.
        rates: learning rates of which each descent gets its best.
        limit: steps after which a descent is ended.
        elements: numbers that each activation is timed on.
        repeats: rounds of the timing.
        runs: seeds of each.
    """

    network: str = "FC-32, TANH, FC-10"
    lift: float = 1.0
    examples: int = 256
    target: float = 0.5
    rates: tuple[float, ...] = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
    limit: int = 300
    elements: int = 100_000
    repeats: int = 7
    runs: int = 5


def measure(setup: Setup, seed: int) -> Outcome:
    """Signs and steps with positive and with centred inputs; seconds of the activations."""
    seeds = range(seed, seed + setup.runs)
    positive = [material(setup, setup.lift, one) for one in seeds]
    centred = [material(setup, 0.0, one) for one in seeds]
    signs = [_signs(setup, *both) for both in zip(positive, seeds, strict=True)]
    others = [_signs(setup, *both) for both in zip(centred, seeds, strict=True)]
    descents = [
        [_best_descent(setup, *both) for both in zip(some, seeds, strict=True)]
        for some in (positive, centred)
    ]
    parts = (
        _one_sign([one for one, _ in signs], "each example's own gradient is looked at"),
        _one_sign([mean for _, mean in signs], "gradients are averaged over a minibatch"),
        Part("centred inputs give rows of both signs",
             mean_of("rows of one sign, centred inputs", [one for one, _ in others], "%"),
             at_most=1),
        Part("descent needs at least one and a half times the steps of centred inputs",
             ratio_of("steps, positive against centred inputs",
                      [len(a) / len(b) for a, b in zip(*descents, strict=True)]),
             at_least=1.5, when="the steps of a linear classifier are counted"),
        *_costs(setup),
    )  # fmt: skip
    notes = (
        "Over a minibatch the upstream gradient of a unit has both signs, and the sum over the "
        "examples mixes them: rows of one sign become rare. What stays is the mean that all "
        "inputs share. A likely reason for the larger number of steps, not tested here: along "
        "that mean the loss is far steeper, which limits the learning rate.",
    )
    return Outcome(parts, (_picture(setup, descents),), (), notes)


def material(setup: Setup, lift: float, seed: int) -> Material:
    """Digits (N, 64), each pixel centred and then lifted by a share of its mean."""
    whole = digits().flat()
    means = whole.inputs.mean(0) - whole.inputs.min()  # of pixels of at least 0
    shift = whole.inputs.mean(0) - lift * means
    some = digits(setup.examples, seed).flat()
    return Material(
        (some.inputs - shift).clamp_min(0) if lift == 1 else some.inputs - shift,
        some.targets, some.held_inputs - shift, some.held_targets,
    )  # fmt: skip


def _signs(setup: Setup, some: Material, seed: int) -> tuple[float, float]:
    """Share (%) of rows of dL/dW1 of one sign: example by example, and of the mean."""
    module = net(setup.network, seed, some.inputs.shape[1:])
    gradients = example_gradients(module, some)
    return one_signed(gradients), one_signed(gradients.mean(0))


def example_gradients(module: nn.Module, some: Material) -> Tensor:
    """(N, units, inputs) dL/dW1 of each example's own loss: upstream gradient times input."""
    seen: list[Tensor] = []
    first = next(layer for _, layer in weighted_layers(module))
    handle = first.register_forward_hook(lambda _m, _i, output: seen.append(output))
    loss = nn.functional.cross_entropy(module(some.inputs), some.targets, reduction="sum")
    handle.remove()
    (upstream,) = torch.autograd.grad(loss, seen[0])
    return upstream[:, :, None] * some.inputs[:, None, :]


def one_signed(rows: Tensor) -> float:
    """Share (%) of rows (..., inputs) without two numbers of opposite sign."""
    mixed = (rows > 0).any(-1) & (rows < 0).any(-1)
    return 100 * float((~mixed).double().mean())


def _one_sign(shares: list[float], when: str) -> Part:
    return Part(
        "all weights of a unit get gradients of one sign",
        mean_of("rows of dL/dW of one sign", shares, "%"), at_least=100, when=when,
    )  # fmt: skip


def _best_descent(setup: Setup, some: Material, seed: int) -> list[float]:
    """Losses of plain gradient descent at the best rate, up to the target."""
    best: list[float] = []
    for rate in setup.rates:
        found = _descent(setup, some, seed, rate, len(best) or setup.limit)
        if not best or len(found) < len(best):
            best = found
    return best


def _descent(setup: Setup, some: Material, seed: int, rate: float, limit: int) -> list[float]:
    module = net("FC-10", seed, some.inputs.shape[1:])
    fitted = fit(
        module, some, steps=limit, seed=seed, batch=len(some.inputs), rate=rate,
        watch=lambda _step, module: loss_of(module, some.inputs, some.targets) <= setup.target,
    )  # fmt: skip
    return [float("inf")] * limit if fitted.diverged else fitted.losses


def _costs(setup: Setup) -> tuple[Part, ...]:
    """Seconds of sigmoid and tanh against ReLU, forward and back, in turns."""
    kinds: dict[str, Callable[[Tensor], Tensor]] = {
        "ReLU": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    }  # fmt: skip
    inputs = torch.randn(setup.elements, generator=generator(0)).requires_grad_()
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(setup.repeats):
        for name, kind in kinds.items():
            seconds[name].append(_seconds(kind, inputs))
    return tuple(
        Part(f"{name} costs more time than ReLU (exp)",
             ratio_of(f"time of {name} against ReLU, forward and back, this machine",
                      [a / b for a, b in zip(seconds[name], seconds["ReLU"], strict=True)]),
             at_least=1, beside=True)
        for name in ("sigmoid", "tanh")
    )  # fmt: skip


def _seconds(kind: Callable[[Tensor], Tensor], inputs: Tensor) -> float:
    """The fastest of five passes forward and back."""
    found = []
    for _ in range(5):
        start = time.perf_counter()
        torch.autograd.grad(kind(inputs).sum(), inputs)
        found.append(time.perf_counter() - start)
    return min(found)


def zigzag(lift: float, steps: int = 16) -> tuple[list[list[float]], Tensor, Tensor]:
    """Places of descent on 1/2 (w.x - y)^2, one example after the other; inputs and targets.

    The learning rate is 1.5 / (largest |x|^2).
    """
    inputs = torch.tensor([[-0.5, 0.4], [0.6, -0.2], [-0.3, -0.6], [0.2, 0.4]]) + lift
    targets = inputs @ torch.tensor([1.0, -1.0])
    rate = 1.5 / float(inputs.square().sum(1).max())
    place, places = torch.zeros(2), [[0.0, 0.0]]
    for step in range(steps):
        x, y = inputs[step % len(inputs)], targets[step % len(inputs)]
        place = place - rate * (x @ place - y) * x
        places.append(place.tolist())
    return places, inputs, targets


def _picture(setup: Setup, descents: list[list[list[float]]]) -> Picture:
    panel = Panel(
        "A linear classifier, each at its best rate", "step", "loss (nats)",
        (curve("positive inputs", descents[0][0]), curve("centred inputs", descents[1][0])),
        marks=((setup.target, "target"),),
    )  # fmt: skip
    return Picture(
        "Zig-zag", "Loss of a linear classifier against the step, slower with positive inputs; "
        "and the path over a bowl with two positive inputs, one example a step: every step goes "
        "up or down in both weights at once, so that the way to the minimum is a zig-zag",
        (panel, _landscape(setup.lift)),
    )  # fmt: skip


def _landscape(lift: float) -> Landscape:
    places, inputs, targets = zigzag(lift)
    x, y = torch.linspace(-0.5, 1.5, 41), torch.linspace(-1.5, 0.5, 41)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    heights = 0.5 * (grid @ inputs.T - targets).square().mean(-1)
    path = curve("one example a step", [p[1] for p in places], [p[0] for p in places])
    return Landscape(
        "Two positive inputs" if lift == 1 else "Two inputs", tuple(x.tolist()), tuple(y.tolist()),
        tuple(tuple(row) for row in heights.tolist()), (path,),
    )  # fmt: skip


EXPERIMENT = Experiment(
    name="all-positive-inputs",
    title="What do all-positive inputs do to the gradient?",
    claim="If all inputs of a unit are positive, as the outputs of a sigmoid layer are, its "
    "weights get gradients that are all positive or all negative, and descent zig-zags. Centred "
    "inputs avoid it. And the exp in sigmoid and tanh is costly.",
    hypothesis="Row j of one example's dL/dW is (upstream gradient of unit j) times the input: "
    "one number times positive ones. The sum over a minibatch need not have one sign. The mean of "
    "the inputs adds about |mean|^2 to the largest curvature of a linear layer, and with it the "
    "learning rate must fall.",
    set_up="Signs: {network} on {examples} digits with pixels of at least 0 (lift {lift}), and "
    "centred pixel by pixel. Steps: FC-10 by full gradient descent to a loss of {target}, at the "
    "best of the rates {rates}, at most {limit} steps. {runs} seeds. Times: {elements} numbers, "
    "{repeats} rounds in turns. Pixels that are 0 get no gradient and have no sign.",
    setup=Setup(),
    sabotage="the positive inputs are centred as well",
    sabotaged=Setup(lift=0.0),
    measure=measure,
    next=(
        "chainrule curvature 'FC-10' --data digits tells the largest learning rate that is stable",
        "put BN after a sigmoid layer: are the inputs of the next layer still positive?",
    ),
    references=(
        "Y. LeCun, L. Bottou, G. Orr and K.-R. Müller, Efficient BackProp, 1998",
        "Stanford CS231n, notes on neural networks, part 1: commonly used activation functions",
    ),
)
