"""Recipe: everything that decides a training run, validated before anything else happens."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from chainrule.errors import RecipeError, suggestion
from chainrule.training.augmentation import parse_augmentations
from chainrule.training.contradictions import contradictions

LossName = Literal["softmax", "svm", "squared-hinge", "mse", "bce"]
UpdateRule = Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
ScheduleName = Literal["constant", "step", "cosine", "one-cycle"]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _as_words(value: Any) -> Any:
    """``"crop,flip"`` as ``("crop", "flip")``; lists and tuples stay."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


Words = Annotated[tuple[str, ...], BeforeValidator(_as_words)]


class Recipe(BaseModel):
    """What to train on what, and how. Every field is a flag of ``chainrule train``.

    Attributes:
        network: notation, zoo name, ``module:attribute`` or ``file.py:Class``; "auto" takes
            a ConvNet for images and an MLP for vectors.
        data: name of a data set or a path.
        data_dir: folder that holds the files of a named data set.
        target: target columns of a CSV file (default: the last one).
        image_size: images of a folder are resized to this (pixels).
        stream: leave a folder of .npy files on the disk and read it as it is needed; None: when
            it takes more than half of the memory at hand.
        limit: keep only this many examples of each part (0: all).
        validation_share: share of the training examples held back to choose by.
        test_share: share held back to report on, where the set has no test part of its own.
        epochs: passes over the training part.
        batch_size: examples per minibatch.
        loss: softmax, svm, squared-hinge, mse or bce; None takes the one that fits the targets.
        label_smoothing: share of the target spread over all classes (Szegedy et al. 2016).
        update_rule: sgd, momentum, nesterov, adagrad, rmsprop, adam or adamw.
        learning_rate: base learning rate; None takes the update rule's usual one.
        momentum: mu of momentum and nesterov; None takes 0.9.
        schedule: how the learning rate moves: constant, step, cosine or one-cycle.
        warmup_epochs: epochs during which the learning rate rises linearly to its base.
        step_epochs: with schedule "step": epochs between two falls; None takes a third of all.
        step_factor: with schedule "step": factor at each fall; None takes 0.1.
        clip_norm: gradients are scaled down to this global L2 norm.
        clip_value: each element of the gradient is clamped to plus or minus this.
        weight_decay: lambda of the full loss ``data + lambda R(W)``; decoupled for adamw.
        penalty: R: l2 (half the sum of squares), l1 (sum of magnitudes) or elastic.
        l1_ratio: with penalty "elastic": share of l1; None takes 0.5.
        penalize_biases: R touches biases too.
        penalize_norms: R touches the scales and shifts of normalization layers too.
        max_norm: limit for the L2 norm of each unit's incoming weights.
        early_stopping: stop after this many epochs without a better validation loss (0: never)
            and keep the best weights.
        augment: crop, flip, cutout, rotate, mixup, each with an optional strength ("crop=2").
        initialization: default (PyTorch's), kaiming (he), xavier (glorot), orthogonal, lsuv,
            normal or zeros.
        initialization_std: standard deviation of initialization "normal".
        precise: plain float32 and the textbook's kernels; nothing is measured or chosen.
        precision: of the network's arithmetic (weights stay float32): float32, bfloat16, float16;
            "auto" takes bfloat16 where it is measured to be faster and agrees with float32.
        memory_format: channels-first or channels-last for images; "auto" takes the faster.
        update_kernel: fused or foreach; "auto" takes the faster.
        threads: of the CPU; None takes as many as are fastest, up to PyTorch's own number.
        compiled: torch.compile the network; None: only where it pays (long runs on a GPU).
        micro_batch_size: minibatches are computed in parts of this many examples, whose gradients
            add up; None: in one.
        memory: a budget such as "4GB": micro_batch_size is then the largest that fits.
        checkpoint_activations: keep only what layers are given, and compute again what backward
            wants of their insides: less memory, about a third more work (Chen et al. 2016).
        sharded: with several processes, each keeps a part of the weights, gradients and state of
            the update rule (FSDP) instead of all of them (DDP).
        sync_batchnorm: with several processes, batch normalization by the statistics of all.
        average_weights: decay of a moving average of the weights, such as 0.999, which is
            evaluated and kept instead of the last weights (Polyak & Juditsky 1992).
        average_flips: scores are the mean over an image and its mirror image when evaluated.
        seed: fixes the split, the initial weights, the order, augmentation and dropout.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        checkpoint_every: updates between checkpoints (0: at the end of each epoch and
            whenever a minute has passed).

    Examples:
        >>> Recipe(epochs=3, augment="crop=2,flip").augment
        ('crop=2', 'flip')
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    network: str = "auto"
    data: str = "digits"
    data_dir: str | None = None
    target: Words = ()
    image_size: Annotated[int, Field(gt=0)] | None = None
    stream: bool | None = None
    limit: Annotated[int, Field(ge=0)] = 0
    validation_share: Share = 0.1
    test_share: Share = 0.2
    epochs: Annotated[int, Field(gt=0)] = 30
    batch_size: Annotated[int, Field(gt=0)] = 64
    loss: LossName | None = None
    label_smoothing: Share = 0.0
    update_rule: UpdateRule = "adam"
    learning_rate: Positive | None = None
    momentum: Share | None = None
    schedule: ScheduleName = "cosine"
    warmup_epochs: NotNegative = 0.0
    step_epochs: Annotated[int, Field(gt=0)] | None = None
    step_factor: Annotated[float, Field(gt=0, lt=1)] | None = None
    clip_norm: Positive | None = None
    clip_value: Positive | None = None
    weight_decay: NotNegative = 0.0
    penalty: Literal["l2", "l1", "elastic"] = "l2"
    l1_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    penalize_biases: bool = False
    penalize_norms: bool = False
    max_norm: Positive | None = None
    early_stopping: Annotated[int, Field(ge=0)] = 0
    augment: Words = ()
    initialization: str = "default"
    initialization_std: Positive | None = None
    precise: bool = False
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    memory_format: Literal["auto", "channels-first", "channels-last"] = "auto"
    update_kernel: Literal["auto", "fused", "foreach"] = "auto"
    threads: Annotated[int, Field(gt=0)] | None = None
    compiled: bool | None = None
    micro_batch_size: Annotated[int, Field(gt=0)] | None = None
    memory: str | None = None
    checkpoint_activations: bool = False
    sharded: bool = False
    sync_batchnorm: bool = False
    average_weights: Annotated[float, Field(gt=0, lt=1)] | None = None
    average_flips: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    checkpoint_every: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [text for wrong, text in contradictions(self) if wrong]
        if problems:
            raise ValueError("; ".join(problems))
        parse_augmentations(self.augment)
        return self

    def plain(self) -> dict[str, Any]:
        """The recipe as plain values, ready for JSON or TOML."""
        return self.model_dump(mode="json")


def make_recipe(values: Mapping[str, Any]) -> Recipe:
    """A validated recipe; all problems are named in one ``RecipeError``.

    Examples:
        >>> make_recipe({"epochs": 3}).epochs
        3
        >>> make_recipe({"lerning_rate": 0.1})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        chainrule.errors.RecipeError: recipe: unknown key 'lerning_rate'; did you mean ...
    """
    try:
        return Recipe.model_validate(dict(values))
    except ValidationError as error:
        problems = "; ".join(_in_words(dict(problem)) for problem in error.errors())
        raise RecipeError(f"recipe: {problems}") from None


def load_recipe(path: Path) -> dict[str, Any]:
    """The keys and values of a TOML recipe file, not yet validated.

    Raises:
        RecipeError: the file is missing, is not TOML or holds tables.
    """
    try:
        with path.open("rb") as stream:
            values = tomllib.load(stream)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RecipeError(f"recipe file '{path}' cannot be read: {reason}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe file '{path}' is not valid TOML: {error}") from None
    tables = [key for key, value in values.items() if isinstance(value, dict)]
    if tables:
        raise RecipeError(
            f"recipe file '{path}' has a table [{tables[0]}]; wants plain keys such as epochs = 20"
        )
    return values


def _in_words(problem: Mapping[str, Any]) -> str:
    """One pydantic problem as: which key, what it got, what it wants."""
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    key, got = str(problem["loc"][0]), problem["input"]
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key!r}{suggestion(key, Recipe.model_fields)}"
    if problem["type"] == "literal_error":
        known = _choices(key)
        return f"{key} got {got!r}, wants one of {', '.join(known)}{suggestion(str(got), known)}"
    wants = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{key} got {got!r}, wants {wants}"


def _choices(key: str) -> list[str]:
    """The words a field accepts, also when it is optional."""
    annotation = Recipe.model_fields[key].annotation
    options = get_args(annotation)
    nested = [word for option in options for word in get_args(option)]
    return [word for word in (nested or options) if isinstance(word, str)]
