"""What watching costs: the step of a training that is watched against the same one left alone.

Aims: median step time at most 1.02 times the bare one at default settings, 1.05 for an MLP whose
step takes under a millisecond. The time of all steps together, with those that are watched in full
(but for the first, which are watched whatever they cost), is given beside it. In the same run:
hooks on every module in every step (the usual recipe), and other people's watchers where they run.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from benchmarks import rivals
from benchmarks.measure import ratio
from torch import Tensor, nn

import chainrule

Made = tuple[nn.Module, torch.optim.Optimizer, list[tuple[Tensor, Tensor]]]
Step = Callable[[Tensor, Tensor], object]
Watcher = Callable[[nn.Module, torch.optim.Optimizer], AbstractContextManager[Step]]
FIRST = 5  # steps of warm-up, of which three are watched in full whatever it costs: left out
LENET = "CONV5-6 p2, TANH, AVGPOOL2, CONV5-16 p0, TANH, AVGPOOL2, FC-120, TANH, FC-84, TANH, FC-10"


@dataclass(frozen=True)
class Workload:
    """A training: how to make it, and how many of its steps are timed.

    Attributes:
        make: () -> (network, optimizer, minibatches).
        steps: watched ones, and as many bare ones.
        plain: whether the network is a chain of ordinary layers (some watchers need that).
    """

    make: Callable[[], Made]
    steps: int
    plain: bool = True


def measure() -> dict[str, Any]:
    """By network: ratios to the bare step."""
    rivals.install()
    warnings.simplefilter("ignore")
    logging.getLogger("chainrule").setLevel(logging.ERROR)
    found: dict[str, Any] = {"calls into the watch in a bare step, microseconds": listening()}
    return found | {name: compare(workload) for name, workload in workloads().items()}


def listening(calls: int = 20_000) -> float:
    """What most steps pay: the four calls of a bare step, again and again, the quickest of five.

    Steadier than a difference of two step times, and a little less than the truth: within a step
    the processor's caches hold other things.
    """
    network = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    with chainrule.watch(network, runs=None, share=1e-9) as watching:
        step = _step(network, optimizer)
        for _ in range(320):
            loss = step(torch.randn(8, 4), torch.zeros(8, dtype=torch.long))
        ear = watching._watcher
        rounds = []
        for _ in range(5):
            begun = time.perf_counter()
            for _ in range(calls):
                ear.before_backward(loss)
                ear.after_backward()
                ear.before_step(optimizer, (), {})
                ear.after_step(optimizer, (), {})
            rounds.append((time.perf_counter() - begun) / calls)
    return round(1e6 * min(rounds), 2)


def compare(workload: Workload) -> dict[str, Any]:
    """One network: ours and the others."""
    found: dict[str, Any] = {OURS: ours(workload)}
    for title, watcher in OTHERS.items():
        if not workload.plain and title in NEED_PLAIN:
            continue
        try:
            found[title] = against(workload, watcher, max(workload.steps // 20, FIRST + 5))
        except Exception as error:  # noqa: BLE001 - they do not all run on this torch
            found[title] = {"did not run": f"{type(error).__name__}: {error}"[:200]}
    return found


def ours(workload: Workload) -> dict[str, Any]:
    """Watched and bare steps of one training in turns, step by step; and nothing instead of us."""
    found = interleaved(workload, watch=True)
    control = interleaved(workload, watch=False)
    return found | {"control, nothing against nothing": control["median step"]}


def interleaved(workload: Workload, watch: bool) -> dict[str, Any]:
    """Ratios of watched to bare steps, each between two of the other kind.

    The machine's speed drifts by more than what is to be measured, but not from one step to the
    next. While a bare step runs, the watch has let go of PyTorch; its clock goes on, hence half the
    share: it gets the default share of the time of the steps that are its own.
    """
    network, optimizer, batches = workload.make()
    step = _step(network, optimizer)
    times: dict[str, list[float]] = {"bare": [], "watched": []}
    with tempfile.TemporaryDirectory() as runs:
        watching = chainrule.watch(network, runs=runs, share=0.01)
        for number in range(workload.steps):
            for title in ("bare", "watched"):
                own = watch and title == "watched"
                if own:
                    _listen(watching, first=number == 0)
                begun = time.perf_counter()
                step(*batches[number % len(batches)])
                times[title].append(time.perf_counter() - begun)
                if own:
                    _let_go(watching)
        if watch:
            spent, sampled = watching._watcher.spent, watching.result.sampled
            watching.stop()
    kept = {title: found[FIRST:] for title, found in times.items()}
    blocks = {title: _medians(found) for title, found in kept.items()}
    return {
        "median step": ratio(blocks, "watched", "bare"),
        "all steps": round(sum(kept["watched"]) / sum(kept["bare"]), 3),
        "bare step, ms": round(1e3 * statistics.median(kept["bare"]), 3),
        "watched steps": len(kept["watched"]),
    } | ({"of them in full": sampled, "by its own clock, s": round(spent, 2)} if watch else {})


def _listen(watching: Any, first: bool) -> None:
    if first:
        watching.start()
        return
    watching._taps.open()
    if not watching._watcher._bare:
        watching._watcher._arm()


def _let_go(watching: Any) -> None:
    watching._taps.close()
    watching._watcher.hooks.disarm()


def _medians(times: list[float]) -> list[float]:
    """Medians of 20 stretches."""
    size = len(times) // 20
    return [statistics.median(times[place : place + size]) for place in range(0, 20 * size, size)]


def against(workload: Workload, watcher: Watcher, steps: int) -> dict[str, float]:
    """Ratio of the median step with a watcher to that without, in the same training.

    Three stretches, each between two bare ones. The same network throughout: two that are equal can
    differ by a tenth in speed, by where their weights lie in memory.
    """
    made = workload.make()
    medians: dict[str, list[float]] = {"bare": [], "watched": []}
    _times(made, nothing, steps)
    for _ in range(3):
        before, middle, after = (
            statistics.median(_times(made, around, steps)[FIRST:])
            for around in (nothing, watcher, nothing)
        )
        medians["bare"].append((before + after) / 2)
        medians["watched"].append(middle)
    return ratio(medians, "watched", "bare")


def _times(made: Made, watcher: Watcher, steps: int) -> list[float]:
    """Seconds of each step."""
    network, optimizer, batches = made
    times = []
    with watcher(network, optimizer) as step:
        for number in range(steps):
            inputs, targets = batches[number % len(batches)]
            begun = time.perf_counter()
            step(inputs, targets)
            times.append(time.perf_counter() - begun)
    return times


def _step(network: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[..., Tensor]:
    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss

    return step


@contextmanager
def nothing(network: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Step]:
    """No watcher."""
    yield _step(network, optimizer)


@contextmanager
def hooked(network: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Step]:
    """The recipe of many tutorials: statistics of all outputs and gradients in each step."""
    seen: list[float] = []

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            seen.extend((output.mean().item(), output.std().item()))
            seen.append((output == 0).float().mean().item())

    plain = _step(network, optimizer)

    def step(inputs: Tensor, targets: Tensor) -> None:
        plain(inputs, targets)
        for item in network.parameters():
            if item.grad is not None:
                seen.append(item.grad.norm().item() / max(item.norm().item(), 1e-12))

    handles = [module.register_forward_hook(hook) for module in network.modules()]
    yield step
    for handle in handles:
        handle.remove()


@contextmanager
def torchmortem(network: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Step]:
    """At its default settings."""
    from torchmortem import Autopsy

    plain = _step(network, optimizer)
    with Autopsy(network, optimizer=optimizer) as autopsy:
        yield lambda inputs, targets: autopsy.step(loss=plain(inputs, targets).item())


@contextmanager
def cockpit(network: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Step]:
    """Its smallest configuration, every step: extended modules, a context around ``backward``."""
    from backpack import extend
    from cockpit import Cockpit
    from cockpit.utils.configuration import configuration

    network = extend(network)
    mean, each = extend(nn.CrossEntropyLoss()), nn.CrossEntropyLoss(reduction="none")
    instrument = Cockpit(network.parameters(), quantities=configuration("economy"))
    count = 0

    def step(inputs: Tensor, targets: Tensor) -> None:
        nonlocal count
        optimizer.zero_grad()
        scores = network(inputs)
        loss = mean(scores, targets)
        info = {
            "batch_size": len(inputs), "individual_losses": each(scores, targets), "loss": loss,
            "optimizer": optimizer,
        }  # fmt: skip
        with instrument(count, info=info):
            loss.backward(create_graph=instrument.create_graph(count))
        optimizer.step()
        count += 1

    yield step


OURS = "chainrule"
OTHERS: dict[str, Watcher] = {
    "hooks on every module, every step": hooked,
    "torchmortem 0.1.1": torchmortem,
    "cockpit-for-pytorch 1.0.2, economy, every step": cockpit,
}
NEED_PLAIN = ("cockpit-for-pytorch 1.0.2, economy, every step",)


def workloads() -> dict[str, Workload]:
    fashion = _shared_or_random((1, 28, 28))
    pixels = [(torch.randn(16, 3, 32, 32), torch.randint(10, (16,))) for _ in range(8)]
    words = [(torch.randint(200, (32, 32)), torch.randint(10, (32,))) for _ in range(8)]
    vgg = "[CONV3-32, BN, RELU] x 2, POOL2, [CONV3-64, BN, RELU] x 2, POOL2, FC-128, RELU, FC-10"
    return {
        "MLP on digits, 64 images": Workload(
            _maker(lambda: chainrule.network("INPUT 64, FC-128, RELU, FC-10"), _digits(64)),
            20_000,
        ),
        "LeNet on Fashion-MNIST, 64 images": Workload(
            _maker(lambda: chainrule.network(f"INPUT 28x28x1, {LENET}"), fashion(64)), 1_500
        ),
        "VGG-like on Fashion-MNIST, 64 images": Workload(
            _maker(lambda: chainrule.network(f"INPUT 28x28x1, {vgg}"), fashion(64)), 150
        ),
        "ResNet-18 on 32x32, 16 images": Workload(
            _maker(lambda: chainrule.network("resnet18", input=(3, 32, 32), classes=10), pixels),
            150, plain=False,
        ),
        "transformer, 2 layers of 64, 32 sequences of 32": Workload(
            _maker(Transformer, words), 600, plain=False
        ),
    }  # fmt: skip


class Transformer(nn.Module):
    """A small classifier of sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(200, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)

    def forward(self, words: Tensor) -> Tensor:
        scores: Tensor = self.head(self.encoder(self.embedding(words)).mean(1))
        return scores


def _maker(network: Callable[[], nn.Module], batches: list[tuple[Tensor, Tensor]]) -> Any:
    def make() -> Any:
        torch.manual_seed(0)
        module = network()
        return module, torch.optim.SGD(module.parameters(), 0.01, momentum=0.9), batches

    return make


def _digits(size: int) -> list[tuple[Tensor, Tensor]]:
    data = chainrule.load_data("digits").train
    inputs = data.inputs.flatten(1).float() / 16
    return list(zip(inputs.split(size), data.targets.split(size), strict=True))[:-1]


def _shared_or_random(shape: tuple[int, ...]) -> Callable[[int], list[tuple[Tensor, Tensor]]]:
    """Fashion-MNIST where its files are there; noise of its shape elsewhere (the time is equal)."""

    def batches(size: int) -> list[tuple[Tensor, Tensor]]:
        try:
            data = chainrule.load_data("fashion-mnist", limit=size * 32).train
            inputs = data.inputs.float() / 255
        except chainrule.ChainruleError:
            return [(torch.rand(size, *shape), torch.randint(10, (size,))) for _ in range(32)]
        return list(zip(inputs.split(size), data.targets.split(size), strict=True))[:24]

    return batches
