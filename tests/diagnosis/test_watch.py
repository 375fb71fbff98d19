"""``with chainrule.watch():`` recognises who takes part, leaves nothing behind, never kills."""

from __future__ import annotations

import contextlib
import gc
import inspect
import logging
import warnings
import weakref

import pytest
import torch
import torch.nn.functional as F
from tests.faults.watching import digits, mlp
from torch import nn
from torch.nn.modules import module as hooks
from torch.optim import optimizer as optimizers
from torch.utils.data import DataLoader, TensorDataset

import chainrule
from chainrule.diagnosis.watch import codes
from chainrule.errors import ChainruleError


def here(mark, function):
    """The line of a function that carries a mark."""
    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, line in enumerate(lines) if f"# {mark}" in line)


def loop(net, optimizer, steps=12, size=32, loss=F.cross_entropy):
    x, y = digits()
    for step in range(steps):
        part = slice(step * size % 1700, step * size % 1700 + size)
        optimizer.zero_grad()
        loss(net(x[part]), y[part]).backward()
        optimizer.step()


def state_of_torch():
    """All that a watch takes hold of."""
    return (
        torch.autograd.backward, torch.autograd.grad, torch.compile, nn.Module.train,
        DataLoader.__iter__, torch.optim.Optimizer.__init__, DataLoader.__init__,
        torch.optim.lr_scheduler.LRScheduler.__init__,
        dict(hooks._global_forward_hooks), dict(hooks._global_forward_pre_hooks),
        dict(hooks._global_module_registration_hooks),
        dict(optimizers._global_optimizer_pre_hooks),
        dict(optimizers._global_optimizer_post_hooks),
        torch.overrides._get_current_function_mode_stack(),
    )  # fmt: skip


class Fails(nn.Module):
    def __init__(self, after):
        super().__init__()
        self.inner, self.calls, self.after = nn.Linear(64, 10), 0, after

    def forward(self, x):
        self.calls += 1
        if self.calls > self.after:
            raise ValueError("planted")
        return self.inner(x)


ENDINGS = {
    "normal": lambda: mlp(64, 16, 10),
    "fails in the first forward pass": lambda: Fails(0),
    "fails later": lambda: Fails(4),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_nothing_is_left_behind(name):
    before = state_of_torch()
    net = ENDINGS[name]()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    fails = pytest.raises(ValueError, match="planted")
    fails = contextlib.nullcontext() if name == "normal" else fails
    with fails, chainrule.watch(runs=None) as watching:
        assert state_of_torch() != before
        loop(net, optimizer)
    assert watching.result.ended == ("finished" if name == "normal" else "failed")
    assert state_of_torch() == before
    for layer in net.modules():
        assert not layer._forward_hooks
        assert not layer._forward_pre_hooks
        assert not layer._backward_hooks


def test_a_watch_that_is_over_can_be_forgotten():
    """No registry of PyTorch or of the operating system keeps it, or the networks it copied."""
    net = mlp(64, 16, 10)
    with chainrule.watch(runs=None) as watching:
        loop(net, torch.optim.SGD(net.parameters(), 0.1))
    gone = weakref.ref(watching)
    del watching
    gc.collect()
    assert gone() is None


def test_who_takes_part_and_where_it_is_written():
    torch.manual_seed(0)
    x, y = digits()
    with chainrule.watch(runs=None, share=1.0) as watching:
        loader = DataLoader(TensorDataset(x, y), 64, shuffle=True)  # LOADER
        net = mlp(64, 16, 10)
        optimizer = torch.optim.Adam(net.parameters(), 1e-2)  # OPTIMIZER
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5)  # SCHEDULE
        for step, (inputs, targets) in enumerate(loader):
            scores = net(inputs)  # FORWARD
            loss = F.cross_entropy(scores, targets, label_smoothing=0.1)  # LOSS
            (loss / 2).backward()  # BACKWARD
            if step % 2:
                nn.utils.clip_grad_norm_(net.parameters(), 0.05)  # CLIP
                optimizer.step()  # STEP
                optimizer.zero_grad()
                schedule.step()
        net.eval()
        with torch.no_grad():
            net(x)
    seen = watching.result
    this = test_who_takes_part_and_where_it_is_written
    (model,), (rule,), (loaded,) = seen.models, seen.optimizers, seen.loaders
    assert (model.name, model.kind, model.size) == ("net", "Sequential", 64 * 16 + 16 + 160 + 10)
    assert model.called.line == here("FORWARD", this)
    assert (model.evaluation, model.trained_in_evaluation) == (1, 0)
    assert (rule.name, rule.scheduler, rule.model) == ("Adam", "StepLR", "net")
    assert rule.made.line == here("OPTIMIZER", this)
    assert rule.scheduled.line == here("SCHEDULE", this)
    assert (rule.stepped.line, rule.clips.line) == (here("STEP", this), here("CLIP", this))
    assert (rule.backwards, rule.steps, seen.steps) == (2.0, 14, 14)
    assert rule.clipped < 0.2
    assert (loaded.examples, loaded.batch_size, loaded.shuffle) == (1797, 64, True)
    assert loaded.made.line == here("LOADER", this)
    assert (seen.loss.function, seen.loss.place.line) == ("cross_entropy", here("LOSS", this))
    assert seen.backward.line == here("BACKWARD", this)
    assert seen.inputs.shape == (64, 64)


def test_what_outlives_its_network_is_still_known():
    """When ``main`` has returned, the network is gone and the optimizer is garbage."""

    def main():
        net = mlp(64, 16, 10)
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
        for _ in range(3):
            loop(net, optimizer, steps=4)
            schedule.step()
        return optimizer

    with chainrule.watch(runs=None) as watching:
        left = main()
    assert left.param_groups
    (rule,) = watching.result.optimizers
    assert (rule.model, rule.scheduler) == ("net", "StepLR")


def test_an_optimizer_that_is_gone_held_its_parameters_all_the_same():
    torch.manual_seed(0)
    net = mlp(64, 16, 10)

    def train():
        loop(net, torch.optim.SGD(net.parameters(), 0.1))

    with chainrule.watch(runs=None, share=1.0) as watching:
        train()
    assert "parameters-not-optimized" not in codes(watching.result.findings)
    assert all(item.held for item in watching.result.models[0].parameters)


def test_networks_and_optimizers_are_kept_apart():
    torch.manual_seed(0)
    maker, judge = mlp(8, 16, 2), mlp(2, 16, 1)
    rules = [torch.optim.Adam(net.parameters(), 1e-3) for net in (maker, judge)]
    with chainrule.watch(runs=None) as watching:
        for _ in range(40):
            for net, other, sign in ((judge, maker, 0.0), (maker, judge, 1.0)):
                made = maker(torch.randn(16, 8))
                said = judge(made if net is maker else made.detach())
                rule = rules[0 if net is maker else 1]
                rule.zero_grad()
                F.binary_cross_entropy_with_logits(said, torch.full((16, 1), sign)).backward()
                rule.step()
                assert other is not net
    seen = watching.result
    assert {item.name for item in seen.models} == {"maker", "judge"}
    assert {item.model for item in seen.optimizers} == {"maker", "judge"}
    assert [item.backwards for item in seen.optimizers] == [1.0, 1.0]
    assert "parameters-not-optimized" not in codes(seen.findings)
    assert any(name.startswith("gradient_norm/maker.") for name in seen.series)
    rates = {name for name in seen.series if name.startswith("train/learning_rate")}
    assert rates == {"train/learning_rate", "train/learning_rate/2"}
    assert any(name.startswith("gradient_norm/judge.") for name in seen.series)


def test_mixed_precision_with_a_scaler():
    torch.manual_seed(0)
    net = mlp(64, 16, 10)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    x, y = digits()
    with chainrule.watch(runs=None, share=1.0) as watching:
        for step in range(8):
            part = slice(step * 32, step * 32 + 32)
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(net(x[part]), y[part])
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    seen = watching.result
    assert (seen.autocast, seen.optimizers[0].scaler) == ("bfloat16", True)
    assert seen.series["train/loss"][0][1] == pytest.approx(2.3, abs=0.2), "without the scale"


def test_the_result_can_be_read_while_the_training_goes_on():
    net = mlp(64, 16, 10)
    with chainrule.watch(net, runs=None) as watching:
        loop(net, torch.optim.SGD(net.parameters(), 0.1), steps=5)
        assert (watching.result.ended, watching.result.steps) == ("running", 5)
    assert "<table" in watching.result._repr_html_()
    assert "cross_entropy" in str(watching.result)


def test_the_end_of_watching_is_not_the_end_of_training():
    net = mlp(64, 16, 10)
    with chainrule.watch(runs=None, steps=4) as watching:
        loop(net, torch.optim.SGD(net.parameters(), 0.1), steps=50)
    assert watching.result.steps == 4


def test_an_error_inside_chainrule_is_told_once_and_the_training_goes_on(
    monkeypatch, caplog, tmp_path
):
    from chainrule.diagnosis import journal

    def planted(*_arguments):
        raise ZeroDivisionError("planted slip")

    def trained():
        torch.manual_seed(0)
        net = mlp(64, 16, 10)
        loop(net, torch.optim.SGD(net.parameters(), 0.1), steps=30)
        return [item.detach().clone() for item in net.parameters()]

    bare = trained()
    monkeypatch.setattr(journal, "norms", planted)
    with caplog.at_level(logging.ERROR, "chainrule"), chainrule.watch(runs=tmp_path) as watching:
        watched = trained()
    assert all(map(torch.equal, bare, watched))
    (record,) = caplog.records
    assert "an error inside chainrule (ZeroDivisionError: planted slip)" in record.message
    assert "the training goes on" in record.message
    assert "planted slip" in (tmp_path / "watch.log").read_text()
    assert any("planted slip" in item for item in watching.result.unseen)


@pytest.mark.parametrize("method", ["bare_step", "bare_gradients", "turn_ends", "step_begins"])
def test_no_error_of_ours_reaches_the_training(method, monkeypatch, caplog):
    from chainrule.diagnosis.journal import Journal

    def planted(*_arguments):
        raise ZeroDivisionError("planted slip")

    monkeypatch.setattr(Journal, method, planted)
    net = mlp(64, 16, 10)
    with chainrule.watch(runs=None, share=0.001) as watching:
        loop(net, torch.optim.SGD(net.parameters(), 0.1), steps=60)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert any("planted slip" in item for item in watching.result.unseen)


BAD = {
    "share": ({"share": 2}, "share got 2, wants a number in (0, 1]"),
    "steps": ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
    "seconds": ({"seconds": -1}, "seconds got -1, wants a number above 0"),
    "model": ({"model": "net"}, "model got a str, wants a torch.nn.Module"),
}


@pytest.mark.parametrize("name", BAD)
def test_arguments_that_cannot_be_used(name):
    options, words = BAD[name]
    with pytest.raises(ChainruleError) as caught:
        chainrule.watch(**{"runs": None} | options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(ChainruleError, match="runs"):
        chainrule.watch(runs=tmp_path / "runs")


def test_a_store_that_fails_in_mid_training_is_said_in_the_end(tmp_path, monkeypatch):
    from chainrule.errors import RunError
    from chainrule.record.store import RunStore

    def full(*_arguments, **_more):
        raise RunError("the disk is full")

    net = mlp(64, 16, 10)
    with chainrule.watch(runs=tmp_path) as watching:
        loop(net, torch.optim.SGD(net.parameters(), 0.1), steps=5)
        monkeypatch.setattr(RunStore, "report_many", full)
    assert "the record: the disk is full" in watching.result.unseen
    assert watching.result.steps == 5


def test_the_record_is_in_the_store(tmp_path):
    net = mlp(64, 16, 10)
    with chainrule.watch(runs=tmp_path) as watching:
        loop(net, torch.optim.SGD(net.parameters(), 0.1), steps=20)
    record = chainrule.RunStore(tmp_path).run("last")
    assert record.id == watching.result.run
    assert record.ended == "finished"


@pytest.mark.parametrize("kept", [False, True], ids=["freed", "kept"])
def test_trainings_one_after_the_other_are_told_apart(kept):
    """As in cross-validation: numbers of the last, findings of all, every optimizer in the list."""
    alive = []

    def fold(seed, rate):
        torch.manual_seed(seed)
        net = mlp(64, 16, 10)
        optimizer = torch.optim.SGD(net.parameters(), rate)
        alive.extend([optimizer] if kept else [])
        loop(net, optimizer, steps=70)

    with chainrule.watch(runs=None) as watching:
        fold(0, 1e-8)  # moves nothing
        fold(1, 0.5)
    seen = watching.result
    assert watching.record.since == 70
    assert watching.record.samples[0].step <= 73, "its beginning is looked at too"
    assert [item.steps for item in seen.optimizers] == [70, 70]
    assert seen.steps == 140
    assert "learning-rate-too-low" in codes(seen.findings), "of the first training"
    assert seen.first_loss == pytest.approx(2.3, abs=0.2), "of the second, not of both"
    assert seen.last_loss < 1.5
    assert seen.loss is not None
    assert [step for step, _ in seen.series["train/loss"]] == list(range(1, 141)), "none is lost"


def test_a_pretraining_is_no_reference_for_what_follows():
    torch.manual_seed(0)
    x, _ = digits()
    with chainrule.watch(runs=None) as watching:
        coder = mlp(64, 32, 64)
        optimizer = torch.optim.Adam(coder.parameters(), 1e-2)
        for step in range(80):
            part = slice(step * 20, step * 20 + 20)
            optimizer.zero_grad()
            F.mse_loss(coder(x[part]), x[part]).backward()
            optimizer.step()
        net = nn.Sequential(coder[0], nn.ReLU(), nn.Linear(32, 10))
        optimizer = torch.optim.Adam(net.parameters(), 1e-2)
        loop(net, optimizer, steps=80)
    seen = watching.result
    assert (seen.loss.function, seen.findings) == ("cross_entropy", ())
    assert seen.first_loss == pytest.approx(2.3, abs=0.2), "not the squares of the one before"
    assert seen.loss.place == seen.backward


def series_beside_its_own(rate, update):
    """The recorded losses of 120 steps, mostly bare, and those that the script itself has."""
    torch.manual_seed(0)
    x, y = digits()
    net = mlp(64, 16, 10)
    optimizer = torch.optim.SGD(net.parameters(), rate)
    own = []
    with chainrule.watch(runs=None) as watching:
        for step in range(120):
            part = slice(step * 14, step * 14 + 14)
            loss = F.cross_entropy(net(x[part]), y[part])
            own.append(loss.item())
            optimizer.zero_grad()
            update(loss, optimizer)
    return [value for _, value in watching.result.series["train/loss"]], own, watching.result


SCALES = {"accumulated": 1 / 4, "accumulated and doubled": 2 / 4, "negative": -1}


@pytest.mark.parametrize("name", SCALES)
def test_bare_steps_have_the_loss_without_its_factor(name):
    """Of most steps only the number is heard that backward is called on."""

    def update(loss, optimizer):
        (loss * SCALES[name]).backward()
        optimizer.step()

    found, own, _ = series_beside_its_own(1e-9, update)
    assert found == pytest.approx(own, rel=1e-5)


def test_bare_steps_under_a_scaler_have_the_loss_without_its_scale():
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=7)

    def update(loss, optimizer):
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()  # doubles the scale every seven steps

    found, own, seen = series_beside_its_own(0.1, update)
    assert found == pytest.approx(own, rel=1e-5)
    assert seen.findings == ()


@pytest.mark.parametrize("share", [1.0, 0.001], ids=["all in full", "mostly bare"])
def test_operations_of_ours_are_hidden_from_modes_and_subclasses_of_tensors(share):
    class Counted(torch.Tensor):
        calls = 0

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            Counted.calls += 1
            return super().__torch_function__(func, types, args, kwargs or {})

    def calls(watched):
        torch.manual_seed(0)
        Counted.calls = 0
        net = mlp(6, 8, 3)
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        x, y = torch.randn(32, 6).as_subclass(Counted), torch.arange(32) % 3
        watching = chainrule.watch(runs=None, share=share)
        if watched:
            watching.start()
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
        if watched:
            watching.stop()
        return Counted.calls

    assert calls(False) == calls(True) > 0


def test_a_forward_pass_that_raises_and_is_caught_costs_nothing():
    torch.manual_seed(0)
    net = mlp(4, 8, 3)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with chainrule.watch(runs=None, share=1.0) as watching:
        for _ in range(8):
            with contextlib.suppress(RuntimeError):
                net(torch.randn(4, 7))
            optimizer.zero_grad()
            F.cross_entropy(net(torch.randn(16, 4)), torch.arange(16) % 3).backward()
            optimizer.step()
    seen = watching.result
    assert (seen.loss.function, seen.inputs.shape) == ("cross_entropy", (16, 4))


def test_an_optimizer_that_seldom_steps_has_no_noise_from_long_ago():
    """Noise is that of two minibatches in a row; here one network is updated every third time."""
    torch.manual_seed(0)
    often, seldom = mlp(6, 8, 3), mlp(6, 8, 3)
    rules = [torch.optim.SGD(net.parameters(), 0.1) for net in (often, seldom)]
    with chainrule.watch(runs=None, share=1.0) as watching:
        for step in range(12):
            for net, rule in ((often, rules[0]), (seldom, rules[1])):
                if net is often or step % 3 == 0:
                    rule.zero_grad()
                    F.cross_entropy(net(torch.randn(16, 6)), torch.arange(16) % 3).backward()
                    rule.step()
    noisy = [name for name in watching.result.series if name.startswith("noise/")]
    assert noisy
    assert all(name.startswith("noise/often.") for name in noisy)


def test_gradients_of_a_closure_are_compared_with_those_of_the_closure_before():
    torch.manual_seed(0)
    net, gradients = mlp(6, 8, 3).double(), []
    optimizer = torch.optim.SGD(net.parameters(), 1e-12)

    def closure():
        optimizer.zero_grad()
        x = torch.randn(16, 6, dtype=torch.float64)
        loss = F.cross_entropy(net(x), torch.arange(16) % 3)
        loss.backward()
        gradients.append(net[0].weight.grad.clone())
        return loss

    with chainrule.watch(runs=None, share=1.0) as watching:
        for _ in range(6):
            optimizer.step(closure)
    for step, value in watching.result.series["noise/0.weight"]:
        one, two = gradients[step - 2], gradients[step - 1]
        own = 1 - 2 * (one * two).sum() / (one.square().sum() + two.square().sum())
        assert value == pytest.approx(own.item(), rel=1e-9)
    assert len(watching.result.series["noise/0.weight"]) == 5


SCHEDULES = {
    "SequentialLR": lambda optimizer: torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 5),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20),
        ],
        [5],
    ),
    "ReduceLROnPlateau": lambda optimizer: torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer),
    "LambdaLR": lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_made_of_others_goes_by_its_own_name(name):
    net = mlp(64, 16, 10)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with chainrule.watch(runs=None) as watching:
        schedule = SCHEDULES[name](optimizer)
        loop(net, optimizer, steps=5)
    assert schedule is not None
    assert watching.result.optimizers[0].scheduler == name


@pytest.mark.parametrize(("jump", "heard"), [(1.0, False), (20.0, True)])
def test_a_jump_of_the_loss_brings_the_next_look_forward(jump, heard):
    """A loss that goes up and down by four on its way is no jump."""
    torch.manual_seed(0)
    net = mlp(6, 8, 3)
    optimizer = torch.optim.SGD(net.parameters(), 1e-9)
    with chainrule.watch(runs=None, share=1e-6) as watching:
        for step in range(90):
            optimizer.zero_grad()
            factor = (1.0, 2.0, 4.0)[step % 3] * (jump if step == 80 else 1.0)
            ((net(torch.ones(4, 6)) ** 2).mean() * 0 + factor * net[2].bias[0].exp()).backward()
            optimizer.step()
    looked = [step for step, _ in watching.result.series["weight_norm/0.weight"]]
    assert (82 in looked) == heard
    assert len(looked) == 5 + heard


def test_a_network_is_placed_where_it_is_trained_not_where_it_is_tried_out():
    net = mlp(64, 16, 10)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    x, y = digits()
    with chainrule.watch(runs=None) as watching:
        with torch.no_grad():
            net(x[:8])
        for _ in range(4):
            optimizer.zero_grad()
            F.cross_entropy(net(x[:32]), y[:32]).backward()  # TRAINED
            optimizer.step()
    this = test_a_network_is_placed_where_it_is_trained_not_where_it_is_tried_out
    assert watching.result.models[0].called.line == here("TRAINED", this)


def test_what_a_network_says_is_not_said_again_by_its_copies(caplog, capsys):
    """The copies run at the end, to see whether a small batch can be fitted."""

    class Talks(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp(64, 16, 10)

        def forward(self, x):
            logging.getLogger("mine").warning("logged")
            print("printed")
            warnings.warn("warned", stacklevel=1)
            return self.inner(x)

    net = Talks()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with chainrule.watch(runs=None) as watching:
            loop(net, torch.optim.SGD(net.parameters(), 0.1), steps=9)
    assert watching.record.start.fitted is not None, "the copies have run"
    assert [item.name for item in caplog.records].count("mine") == 9
    assert capsys.readouterr().out.count("printed") == 9
    assert len(warned) == 9
    assert not logging.root.manager.disable
