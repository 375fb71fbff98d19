"""``chainrule train``: describe a network in a line, train it on real data, keep the run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from chainrule.training.observer import Observer
    from chainrule.training.result import TrainingResult

_DATA, _UPDATES = "Data", "Loss and updates"
_REGULARIZATION, _EXECUTION, _RUN = "Regularization", "How it is computed", "The run"

Text = str | None
Whole = int | None
Real = float | None


def _flag(help_text: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=panel)


def train_command(
    network: Annotated[
        Text,
        typer.Argument(
            help="Notation ('CONV5-10, RELU, POOL2, FC-10'), zoo name, module:attribute or "
            "file.py:Class. Default: a ConvNet for images, an MLP for vectors."
        ),
    ] = None,
    data: Annotated[
        Text, _flag("digits, mnist, fashion-mnist, cifar10, cifar100, hf:NAME or a path.", _DATA)
    ] = None,
    data_dir: Annotated[Text, _flag("Folder of a named set's files.", _DATA)] = None,
    target: Annotated[Text, _flag("Target columns of a CSV file, by comma.", _DATA)] = None,
    image_size: Annotated[Whole, _flag("Resize a folder's images, in pixels.", _DATA)] = None,
    stream: Annotated[
        bool, _flag("Leave a folder of .npy files on the disk.", _DATA, "--stream")
    ] = False,
    limit: Annotated[Whole, _flag("Keep only this many examples per part.", _DATA)] = None,
    validation_share: Annotated[Real, _flag("Share held back to choose by.", _DATA)] = None,
    test_share: Annotated[Real, _flag("Share held back to report on.", _DATA)] = None,
    augment: Annotated[
        Text, _flag("crop, flip, rotate, cutout, mixup, by comma; strength: crop=2.", _DATA)
    ] = None,
    loss: Annotated[
        Text,
        _flag("softmax, svm, squared-hinge, mse or bce.", _UPDATES),
    ] = None,
    label_smoothing: Annotated[Real, _flag("Target share spread over classes.", _UPDATES)] = None,
    epochs: Annotated[Whole, _flag("Passes over the training part.", _UPDATES)] = None,
    batch_size: Annotated[Whole, _flag("Examples per minibatch.", _UPDATES)] = None,
    update_rule: Annotated[
        Text,
        _flag("sgd, momentum, nesterov, adagrad, rmsprop, adam or adamw.", _UPDATES),
    ] = None,
    learning_rate: Annotated[Real, _flag("Base learning rate.", _UPDATES)] = None,
    momentum: Annotated[Real, _flag("mu of momentum and nesterov.", _UPDATES)] = None,
    schedule: Annotated[Text, _flag("constant, step, cosine or one-cycle.", _UPDATES)] = None,
    warmup_epochs: Annotated[Real, _flag("Epochs of linear warm-up.", _UPDATES)] = None,
    step_epochs: Annotated[Whole, _flag("Schedule step: epochs between falls.", _UPDATES)] = None,
    step_factor: Annotated[Real, _flag("Schedule step: factor at each fall.", _UPDATES)] = None,
    clip_norm: Annotated[Real, _flag("Scale gradients down to this norm.", _UPDATES)] = None,
    clip_value: Annotated[Real, _flag("Clamp each gradient element.", _UPDATES)] = None,
    initialization: Annotated[
        Text,
        _flag(
            "default, he (kaiming), glorot (xavier), orthogonal, lsuv, normal or zeros.", _UPDATES
        ),
    ] = None,
    initialization_std: Annotated[Real, _flag("Std of normal weights.", _UPDATES)] = None,
    weight_decay: Annotated[Real, _flag("lambda of data + lambda R(W).", _REGULARIZATION)] = None,
    penalty: Annotated[Text, _flag("R(W): l2, l1 or elastic.", _REGULARIZATION)] = None,
    l1_ratio: Annotated[Real, _flag("Share of l1 in elastic.", _REGULARIZATION)] = None,
    penalize_biases: Annotated[
        bool, _flag("R touches biases too.", _REGULARIZATION, "--penalize-biases")
    ] = False,
    penalize_norms: Annotated[
        bool, _flag("R touches normalization layers too.", _REGULARIZATION, "--penalize-norms")
    ] = False,
    max_norm: Annotated[Real, _flag("Limit per unit's weight norm.", _REGULARIZATION)] = None,
    early_stopping: Annotated[
        Whole, _flag("Stop after so many epochs without a better one.", _REGULARIZATION)
    ] = None,
    average_weights: Annotated[
        Real, _flag("Keep a moving average of the weights, of this decay.", _REGULARIZATION)
    ] = None,
    average_flips: Annotated[
        bool,
        _flag("Evaluate each image and its mirror image.", _REGULARIZATION, "--average-flips"),
    ] = False,
    precise: Annotated[
        bool, _flag("Plain float32; nothing is measured or chosen.", _EXECUTION, "--precise")
    ] = False,
    precision: Annotated[
        Text, _flag("float32, bfloat16, float16 or auto (measured).", _EXECUTION)
    ] = None,
    memory_format: Annotated[
        Text, _flag("channels-first, channels-last or auto (measured).", _EXECUTION)
    ] = None,
    update_kernel: Annotated[Text, _flag("fused, foreach or auto (measured).", _EXECUTION)] = None,
    threads: Annotated[Whole, _flag("CPU threads (default: measured).", _EXECUTION)] = None,
    compiled: Annotated[
        bool, _flag("torch.compile the network.", _EXECUTION, "--compiled")
    ] = False,
    micro_batch_size: Annotated[
        Whole, _flag("Compute minibatches in parts of so many.", _EXECUTION)
    ] = None,
    memory: Annotated[
        Text, _flag("Parts as large as fit into this much, such as 4GB.", _EXECUTION)
    ] = None,
    checkpoint_activations: Annotated[
        bool,
        _flag("Compute activations again: less memory.", _EXECUTION, "--checkpoint-activations"),
    ] = False,
    sharded: Annotated[
        bool,
        _flag("Each process keeps a part of the weights (torchrun).", _EXECUTION, "--sharded"),
    ] = False,
    sync_batchnorm: Annotated[
        bool,
        _flag("Batch statistics of all processes (torchrun).", _EXECUTION, "--sync-batchnorm"),
    ] = False,
    seed: Annotated[Whole, _flag("Fixes every random choice.", _RUN)] = None,
    device: Annotated[Text, _flag("auto, cpu, cuda, cuda:1 or mps.", _RUN)] = None,
    checkpoint_every: Annotated[Whole, _flag("Updates between checkpoints.", _RUN)] = None,
    profile: Annotated[
        bool, _flag("Say where a step's time goes; trace five steps.", _RUN, "--profile")
    ] = False,
    recipe: Annotated[
        Path | None, _flag("TOML file with any of these; flags go before it.", _RUN)
    ] = None,
    runs: Annotated[Path, _flag("Folder where runs are kept.", _RUN)] = Path("runs"),
    resume: Annotated[Text, _flag("Go on with this run ('last': the newest).", _RUN)] = None,
    json_output: Annotated[
        bool, _flag("One JSON object on standard output, progress on error.", _RUN, "--json")
    ] = False,
    quiet: Annotated[bool, _flag("Only the result.", _RUN, "--quiet")] = False,
) -> int:
    """Train a network on real data; the run is kept and reported."""
    given = dict(locals())
    options = ("recipe", "runs", "resume", "json_output", "quiet", "profile")
    settings = {
        name: value
        for name, value in given.items()
        if name not in options and value is not None and value is not False  # but 0 was meant
    }
    if profile:  # the profiler's library greets on standard error, and reads this when loaded
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    observer = _observer(json_output, quiet)
    how = {"runs": runs, "resume": resume, "profile": profile, "observer": observer}
    return _train(settings, recipe, runs, json_output, how)


def _train(
    settings: dict[str, Any],
    recipe: Path | None,
    runs: Path,
    json_output: bool,
    how: dict[str, Any],
) -> int:
    from chainrule.report.page import write_page
    from chainrule.training.distributed import speaks
    from chainrule.training.interrupt import TrainingStopped
    from chainrule.training.recipe import load_recipe
    from chainrule.training.train import train

    values = (load_recipe(recipe) if recipe else {}) | settings
    try:
        result = train(**how, **values)
    except TrainingStopped as stopped:
        if not speaks():
            return 128 + stopped.signal_number
        _show(stopped.result, json_output)
        command = f"chainrule train --resume {stopped.result.run}"
        command += "" if runs == Path("runs") else f" --runs {runs}"
        typer.echo(
            f"stopped after step {stopped.result.steps}, saved; go on with: {command}", err=True
        )
        return 128 + stopped.signal_number
    if speaks():
        write_page(result, Path(result.folder) / "report.html")
        _show(result, json_output)
    return 0


def _observer(json_output: bool, quiet: bool) -> Observer:
    from chainrule.report.live import live_observer
    from chainrule.training.observer import Observer

    return Observer() if quiet else live_observer(to_error=json_output)


def _show(result: TrainingResult, json_output: bool) -> None:
    from chainrule.report.terminal import show

    if json_output:
        typer.echo(json.dumps(result.summary()))
    else:
        show(result)
