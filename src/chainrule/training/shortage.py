"""Shortage: the device's memory did not hold a step; what would."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from chainrule.errors import RecipeError
from chainrule.training.fitting import least_part
from chainrule.training.minibatches import Minibatch
from chainrule.training.step import Step

_CPU_WORDS = "can't allocate memory"  # PyTorch's allocator on the CPU has no class of its own


def is_shortage(error: BaseException) -> bool:
    """Whether memory has run out.

    Examples:
        >>> is_shortage(torch.OutOfMemoryError("CUDA out of memory")), is_shortage(ValueError())
        (True, False)
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _CPU_WORDS in str(error)


@contextmanager
def enough_memory(step: Step, minibatch: Minibatch) -> Iterator[None]:
    """Context of one step; raises a RecipeError that says what fits when memory runs out."""
    try:
        yield
    except Exception as error:
        if is_shortage(error):
            raise refusal(step, minibatch, error) from None
        raise


def refusal(step: Step, minibatch: Minibatch, error: BaseException) -> RecipeError:
    """What to say: how many examples fit, and how to train on the same minibatches in parts.

    Smaller parts are tried on the device until the largest that fits is found, which moves the
    state of the update rule and running statistics: training cannot go on from here.

    Args:
        step: whose memory ran out.
        minibatch: it was given.
        error: PyTorch's own.
    """
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    traceback.clear_frames(error.__traceback__)  # which hold all that the failed step had made
    count = len(minibatch.labels)
    asked = min(step.recipe.micro_batch_size or count, count)
    alone = step.here.size == 1  # others would wait for a process that tries on its own
    most = _largest(step, minibatch, asked) if alone else asked // 2
    short = f"the memory of {step.device} does not hold a step of {asked} examples ({reason})"
    least = least_part(step.module)
    if most < least:
        return RecipeError(f"{short}, nor of {least}: use a smaller network or another --device")
    fits = f"{most} fit" if alone else f"{most} may fit"
    return RecipeError(
        f"{short}; {fits}: give --micro-batch-size {most}, which computes the same minibatches in "
        f"parts, or --batch-size {most}"
    )


def _largest(step: Step, minibatch: Minibatch, fails: int) -> int:
    """By halving the interval between what fits and what does not."""
    fits = 0
    while fails - fits > 1:
        count = (fits + fails) // 2
        if _fits(step, minibatch.rows(slice(0, count))._replace(share=1.0)):
            fits = count
        else:
            fails = count
    return fits


def _fits(step: Step, part: Minibatch) -> bool:
    _give_back(step)
    try:
        step.gradients(part)
        step.update(0.0)  # its state takes memory too
    except Exception as error:
        if is_shortage(error) or "more than 1 value per channel" in str(error):
            return False  # the other is what batch normalization says to one example
        raise
    return True


def _give_back(step: Step) -> None:
    step.optimizer.zero_grad()
    gc.collect()
    if step.device.type == "cuda":
        torch.cuda.empty_cache()
