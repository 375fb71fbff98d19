"""Callbacks: watch a training that a framework runs, in one line.

PyTorch Lightning: ``Trainer(callbacks=[chainrule.callbacks.lightning()])``. Hugging Face:
``Trainer(..., callbacks=[chainrule.callbacks.transformers()])``. skorch:
``NeuralNetClassifier(..., callbacks=[chainrule.callbacks.skorch()])``. None of the frameworks is
needed until its function is called.
"""

from __future__ import annotations

import atexit
import importlib
import logging
from typing import Any

from chainrule.diagnosis.answer import Watched
from chainrule.diagnosis.watch import Watching, check_options, watch
from chainrule.errors import RunError
from chainrule.report.kept_page import keep_page

_LOG = logging.getLogger("chainrule")


class Session:
    """One training after another, each watched from its begin to its end.

    Args:
        options: of ``chainrule.watch``.

    Attributes:
        result: what was seen of the last training, also while it goes on; None before the first.

    Examples:
        >>> session = Session(runs=None)
        >>> session.begin(), session.end(), session.result.steps
        (None, None, 0)
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._watching: Watching | None = None
        self._result: Watched | None = None
        check_options(**options)  # refused here, not in mid-training

    @property
    def result(self) -> Watched | None:
        return self._result if self._watching is None else self._watching.result

    def begin(self) -> None:
        """Training begins; one that was broken off without a word is closed first."""
        self.end()
        self._watching = watch(**self._options)
        self._watching.start()
        atexit.register(self.end)  # some frameworks do not tell callbacks of a crash

    def end(self, error: BaseException | None = None) -> None:
        """Training has ended."""
        watching, self._watching = self._watching, None
        if watching is None:
            return
        atexit.unregister(self.end)
        watching.stop()
        watching.end(error)
        self._result = _reported(watching)


def _reported(watching: Watching) -> Watched:
    """Write the page of a run, and say in one line what was seen and where it is."""
    error = keep_page(watching)
    if error:
        _LOG.error("%s", error)
    answer = watching.result
    where = f"; report: {answer.report}" if answer.report else ""
    # the one line that somebody who added this callback waits for: at a level that is shown
    _LOG.warning("%s", f"{answer.steps:,} steps, {len(answer.findings)} findings{where}")
    return answer


def lightning(**options: Any) -> Any:
    """A callback for ``lightning.pytorch.Trainer`` (or ``pytorch_lightning``).

    Args:
        options: of ``chainrule.watch``: runs, share, steps, seconds, tensorboard, name.

    Returns:
        The callback; its ``result`` is what was seen.

    Raises:
        RunError: Lightning is not installed.
        RecipeError: an option that cannot be used.

    Examples:
        >>> from chainrule import callbacks
        >>> callbacks.lightning(runs=None).result is None
        True
    """
    base = _class("lightning", ("pytorch_lightning", "lightning.pytorch"), "Callback")

    class Watch(_Told, base):  # type: ignore[misc, valid-type] # found at run time
        def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
            if stage == "fit" and trainer.is_global_zero:
                self.session.begin()

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            self.session.end(exception)

        def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
            self.session.end()

    return Watch(options)


def transformers(**options: Any) -> Any:
    """A callback for ``transformers.Trainer``.

    Args:
        options: of ``chainrule.watch``: runs, share, steps, seconds, tensorboard, name.

    Returns:
        The callback; its ``result`` is what was seen.

    Raises:
        RunError: transformers is not installed.
        RecipeError: an option that cannot be used.

    Examples:
        >>> from chainrule import callbacks
        >>> callbacks.transformers(runs=None).result is None
        True
    """
    base = _class("transformers", ("transformers",), "TrainerCallback")

    class Watch(_Told, base):  # type: ignore[misc, valid-type] # found at run time
        def on_train_begin(self, args: Any, state: Any, control: Any, **_more: Any) -> None:
            if state.is_world_process_zero:
                self.session.begin()

        def on_train_end(self, args: Any, state: Any, control: Any, **_more: Any) -> None:
            self.session.end()

    return Watch(options)


def skorch(**options: Any) -> Any:
    """A callback for ``skorch.NeuralNet`` and its kin.

    Args:
        options: of ``chainrule.watch``: runs, share, steps, seconds, tensorboard, name.

    Returns:
        The callback; its ``result`` is what was seen.

    Raises:
        RunError: skorch is not installed.
        RecipeError: an option that cannot be used.

    Examples:
        >>> from chainrule import callbacks
        >>> callbacks.skorch(runs=None).result is None
        True
    """
    base = _class("skorch", ("skorch.callbacks",), "Callback")

    class Watch(_Told, base):  # type: ignore[misc, valid-type] # found at run time
        def on_train_begin(self, net: Any, **_data: Any) -> None:
            self.session.begin()

        def on_train_end(self, net: Any, **_data: Any) -> None:
            self.session.end()

    return Watch(options)


class _Told:
    """What the callbacks have in common."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        self.session = Session(**options)

    @property
    def result(self) -> Watched | None:
        """What was seen of the training; None before it has begun."""
        return self.session.result


def _class(title: str, modules: tuple[str, ...], name: str) -> Any:
    """A class of a framework, which may be called by more than one name."""
    broken: ImportError | None = None
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except ImportError as error:
            absent = isinstance(error, ModuleNotFoundError) and module.startswith(error.name or "?")
            broken = broken if absent else error  # else it is there and misses something itself
    if broken is not None:
        raise RunError(f"{title} is installed and cannot be imported: {broken}") from broken
    raise RunError(
        f"{title} is not installed, so that chainrule.callbacks.{title}() has nothing to work "
        f"with: pip install {title}"
    )
