"""Dead ReLU: what it is, whether it comes back, and what kills it or would have spared it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.nn.weighted import WeightedLayer, weighted_layers
from chainrule.study.experiment import Experiment, Outcome
from chainrule.study.lesson import Material, digits, fit, net
from chainrule.study.measured import Measured, Part, mean_of, worst_of
from chainrule.study.picture import Curve, Panel, Picture, Table

_TINY = 1e-9  # a gradient below it is none
_FIRST = "the unit sits in the first layer, whose inputs are the data"


@dataclass(frozen=True)
class Setup:
    """What decides the result.

    Attributes:
        activation: of the units that are said to die.
        leaky: an activation that is said not to.
        elu: another one.
        width: units of each of two hidden layers.
        lowered: so many of them get a bias that makes them negative for all training images.
        margin: how far below 0 the largest of their inputs then is.
        steps: updates afterwards.
        rate: learning rate (SGD) of these.
        low_rate: a learning rate that should kill none.
        high_rate: a learning rate that is too high.
        rates: all rates of the picture.
        rate_steps: updates of each of these trainings.
        runs: seeds of each.
    """

    activation: str = "RELU"
    leaky: str = "LRELU(0.1)"
    elu: str = "ELU"
    width: int = 64
    lowered: int = 16
    margin: float = 0.05
    steps: int = 200
    rate: float = 0.2
    low_rate: float = 0.1
    high_rate: float = 2.0
    rates: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
    rate_steps: int = 100
    runs: int = 8


@dataclass(frozen=True)
class _Run:
    """What became of the lowered units of one training.

    Attributes:
        gradient: largest absolute gradient of their incoming weights and biases at the start.
        least: the same for the unit that gets least.
        moved: largest absolute change of these at the end.
        back: share (%) of them that are positive for some training image at the end.
    """

    gradient: float
    least: float
    moved: float
    back: float


def measure(setup: Setup, seed: int) -> Outcome:
    """Lower some units below 0 and train on; then let too high a learning rate do the same."""
    seeds = range(seed, seed + setup.runs)
    first, second = ([_train(setup, setup.activation, layer, one) for one in seeds]
                     for layer in (0, 1))  # fmt: skip
    cures = {cure: [_train(setup, cure, 0, one) for one in seeds]
             for cure in (setup.leaky, setup.elu)}  # fmt: skip
    rates = {*setup.rates, setup.low_rate, setup.high_rate}
    dead = {rate: [_dead_after(setup, rate, one) for one in seeds] for rate in sorted(rates)}
    parts = (
        Part("a unit that is negative for all inputs gets exactly no gradient",
             worst_of("largest gradient of its incoming weights and bias",
                      [run.gradient for run in (*first, *second)]), at_most=0),
        Part(f"its weights are bit for bit the same after {setup.steps} steps",
             worst_of("largest change of its weights and bias", [run.moved for run in first]),
             at_most=0, when=_FIRST),
        _stays(first, _FIRST),
        _stays(second, "the unit sits in the second layer, and the layer below goes on learning"),
        _alive(cures),
        *(_comes_back(setup, cure, runs) for cure, runs in cures.items()),
        _maxout(setup, seeds),
        *_by_rate(setup, dead),
    )  # fmt: skip
    notes = (
        "In the second layer dead units may come back: not by their own gradient, which is 0, but "
        "because the layer below goes on learning and their inputs move.",
        "A leaky ReLU gets a gradient, its slope times as large: it is not dead. But to learn is "
        "not to become positive, and most of these units stay negative; so that is not counted.",
    )
    outcomes = {"first layer": first, "second layer": second, **cures}
    return Outcome(parts, (_picture(setup, outcomes, dead),), (_chain(setup, seed),), notes)


def _text(setup: Setup, activation: str) -> str:
    return f"[FC-{setup.width}, {activation}] x 2, FC-10"


def _layers(module: nn.Module) -> list[WeightedLayer]:
    return [layer for _, layer in weighted_layers(module)]


def _train(setup: Setup, activation: str, which: int, seed: int) -> _Run:
    """Lower units of one hidden layer, look at their gradient, train, look again."""
    module, material = net(_text(setup, activation), seed), digits()
    layer, killed = _layers(module)[which], slice(0, setup.lowered)
    lower(module, layer, material, killed, setup.margin)
    gradients = largest_gradients(module, layer, material)[killed]
    before = [p.detach()[killed].clone() for p in layer.parameters()]
    fit(module, material, steps=setup.steps, seed=seed, rate=setup.rate)
    after = [p.detach()[killed] for p in layer.parameters()]
    moved = max(float((a - b).abs().max()) for a, b in zip(after, before, strict=True))
    positive = (_inputs_of(module, layer, material)[:, killed] > 0).any(0)
    return _Run(
        float(gradients.max()), float(gradients.min()), moved,
        100 * float(positive.double().mean()),
    )  # fmt: skip


@torch.no_grad()
def lower(
    module: nn.Module, layer: WeightedLayer, material: Material, units: slice, margin: float
) -> None:
    """Lower the biases of some units until none is above -margin for any training image."""
    highest = _inputs_of(module, layer, material)[:, units].amax(0)
    assert layer.bias is not None
    layer.bias[units] -= highest + margin


@torch.no_grad()
def _inputs_of(module: nn.Module, layer: nn.Module, material: Material) -> Tensor:
    """(N, units) what the layer gives to its activation."""
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _m, _i, output: seen.append(output))
    module(material.inputs)
    handle.remove()
    return seen[0]


def largest_gradients(module: nn.Module, layer: WeightedLayer, material: Material) -> Tensor:
    """(units,) of each unit's incoming weights and bias, over all training images."""
    loss = nn.functional.cross_entropy(module(material.inputs), material.targets)
    weight, bias = torch.autograd.grad(loss, list(layer.parameters()))
    return torch.maximum(weight.abs().amax(1), bias.abs())


def _dead_after(setup: Setup, rate: float, seed: int) -> float:
    """Share (%) of dead units of the first layer after training with this rate."""
    module, material = net(_text(setup, setup.activation), seed), digits()
    fit(module, material, steps=setup.rate_steps, seed=seed, rate=rate)
    return dead_share(module, material)


def dead_share(module: nn.Module, material: Material) -> float:
    """Share (%) of units of the first layer whose local gradient is 0 for all training images."""
    layers = list(module.children())
    place = layers.index(_layers(module)[0])
    inputs = _inputs_of(module, layers[place], material).requires_grad_()
    (slopes,) = torch.autograd.grad(layers[place + 1](inputs).sum(), inputs)
    return 100 * float((slopes == 0).all(0).double().mean())


def _stays(runs: list[_Run], when: str) -> Part:
    """One run in which a unit comes back is enough against it."""
    back = [run.back for run in runs]
    found = worst_of("units that are positive for some image again", back, "%")
    return Part("it is dead for good", found, at_most=0, when=when)


def _alive(cures: dict[str, list[_Run]]) -> Part:
    least = [run.least for runs in cures.values() for run in runs]
    return Part(
        f"with {' or '.join(cures)} instead each such unit gets a gradient",
        worst_of("largest gradient of the unit that gets least", least, largest=False),
        at_least=_TINY,
    )  # fmt: skip


def _comes_back(setup: Setup, cure: str, runs: list[_Run]) -> Part:
    """Not counted: the claim is that they go on learning, not that they do so this fast."""
    return Part(
        f"most such {cure} units are positive again within {setup.steps} steps",
        mean_of(f"{cure}: units positive for some image again", [run.back for run in runs], "%"),
        at_least=50, beside=True,
    )  # fmt: skip


def _maxout(setup: Setup, seeds: Sequence[int]) -> Part:
    """Maxout units with one piece lowered: the others take over, example by example."""
    without = []
    for seed in seeds:
        module, material = net(f"[MAXOUT2-{setup.width}] x 2, FC-10", seed), digits()
        layer = _layers(module)[0]
        lower(module, layer, material, slice(0, 2 * setup.lowered, 2), setup.margin)
        pieces = largest_gradients(module, layer, material).reshape(setup.width, 2)
        without.append(int((pieces == 0).all(1).sum()))
    return Part(
        "a maxout unit with a piece so lowered still gets its gradient",
        worst_of("maxout units without any gradient", without, "units"), at_most=0,
    )  # fmt: skip


def _by_rate(setup: Setup, dead: dict[float, list[float]]) -> tuple[Part, Part]:
    def share(rate: float) -> Measured:
        return mean_of(f"dead units of the first layer, rate {rate:g}", dead[rate], "%")

    return (
        Part("too high a learning rate kills as much as 40 % of the units",
             share(setup.high_rate), at_least=40),
        Part("a smaller one spares them", share(setup.low_rate), at_most=1),
    )  # fmt: skip


def _picture(
    setup: Setup, outcomes: dict[str, list[_Run]], dead: dict[float, list[float]]
) -> Picture:
    shares = [mean_of("", [run.back for run in runs]) for runs in outcomes.values()]
    bars = Curve(
        "", tuple(map(float, range(len(shares)))), tuple(one.value for one in shares),
        tuple(one.low for one in shares), tuple(one.high for one in shares), kind="bars",
    )  # fmt: skip
    first, second, *cures = outcomes
    names = (f"{setup.activation}, {first}", f"{setup.activation}, {second}", *cures)
    back = Panel(
        f"Back after {setup.steps} steps", "units that were lowered", "positive again (%)",
        (bars,), categories=names,
    )  # fmt: skip
    means = [mean_of("", found) for found in dead.values()]
    rates = tuple(dead)
    died = Curve(
        "", rates, tuple(one.value for one in means),
        tuple(one.low for one in means), tuple(one.high for one in means),
    )  # fmt: skip
    killed = Panel(
        f"Dead after {setup.rate_steps} steps", "learning rate", "dead units, first layer (%)",
        (died,), x_log=True,
    )  # fmt: skip
    return Picture(
        "Who comes back, and what kills",
        "Share of lowered units that are positive again: none for ReLU in the first layer; and "
        "the share of dead units against the learning rate, which rises steeply",
        (back, killed),
    )


def _chain(setup: Setup, seed: int) -> Table:
    """The chain of one lowered unit and one other, for the mean loss over all images."""
    module, material = net(_text(setup, setup.activation), seed), digits()
    layer, (_, fc, activation, *rest) = _layers(module)[0], module.children()
    lower(module, layer, material, slice(0, 1), setup.margin)
    h = fc(material.inputs.flatten(1))
    o = activation(h)
    loss = nn.functional.cross_entropy(nn.Sequential(*rest)(o), material.targets)
    (local,) = torch.autograd.grad(o.sum(), h, retain_graph=True)
    upstream, weights = torch.autograd.grad(loss, (o, layer.weight))
    rows = tuple(
        (name, float(h[:, unit].detach().max()), float(local[:, unit].max()),
         float(upstream[:, unit].norm()), float(weights[unit].norm()))
        for name, unit in (("lowered", 0), ("another", 1))
    )  # fmt: skip
    heads = ("unit", "largest h", "largest do/dh", "norm of dL/do", "norm of dL/dw")
    return Table(heads, rows)


EXPERIMENT = Experiment(
    name="dead-relu",
    title="Can a dead ReLU come back?",
    claim="A ReLU that is negative for all data is dead: no gradient reaches its weights, so it "
    "is never updated and never comes back. Too high a learning rate may kill 40 % of the units; "
    "a smaller one, leaky ReLU, ELU or maxout avoid it.",
    hypothesis="dL/dw = dL/do do/dh x with do/dh = 0 for every example is exactly 0, whatever "
    "comes from above. Leaky ReLU and ELU have a slope below 0 as well; of the pieces of a maxout "
    "unit one is always the largest and gets the gradient.",
    set_up="[FC-{width}, {activation}] x 2, FC-10 on digits, SGD, {runs} seeds. The biases of "
    "{lowered} units of a layer are lowered until no input of these units exceeds -{margin} for "
    "any training image; then {steps} steps with rate {rate}; the same with {leaky} and {elu}. "
    "Apart from that, {rate_steps} steps from the usual start with rates from {low_rate} to "
    "{high_rate} and above.",
    setup=Setup(),
    sabotage="the units that are said to die are leaky ReLUs",
    sabotaged=Setup(activation="LRELU(0.1)"),
    measure=measure,
    next=(
        "chainrule train 'FC-64, RELU, FC-64, RELU, FC-10' --data digits --learning-rate 2, then "
        "chainrule flow last: dead units layer by layer",
        "lower the biases by 5 instead: which of leaky ReLU and ELU still comes back?",
    ),
    references=(
        "Stanford CS231n, notes on neural networks, part 1: commonly used activation functions",
        "A. Maas, A. Hannun and A. Ng, Rectifier nonlinearities improve neural network acoustic "
        "models, ICML workshop on deep learning for audio, speech and language processing, 2013",
        "D.-A. Clevert, T. Unterthiner and S. Hochreiter, Fast and accurate deep network learning "
        "by exponential linear units, ICLR 2016",
        "I. Goodfellow et al., Maxout networks, ICML 2013",
    ),
)
