"""Prints one line for all that a training leaves behind; two trainings with one line are equal."""

import hashlib
import random

import numpy as np
import torch

random.seed(0)
np.random.seed(0)


def digest(*things):
    """Hash of modules, optimizers, tensors and every random state."""
    found = hashlib.sha256()

    def add(value):
        if isinstance(value, torch.Tensor):
            value = value.detach()
            if value.is_sparse:
                value = value.to_dense()
            found.update(str((value.dtype, tuple(value.shape))).encode())
            found.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, dict):
            for key in value:
                found.update(str(key).encode())
                add(value[key])
        elif isinstance(value, list | tuple):
            for item in value:
                add(item)
        else:
            found.update(repr(value).encode())

    for thing in things:
        add(thing.state_dict() if hasattr(thing, "state_dict") else thing)
        if isinstance(thing, torch.nn.Module):
            for layer in thing.modules():
                add([layer.training, sorted(key for key in layer.__dict__)])
                add([len(layer._forward_hooks), len(layer._forward_pre_hooks)])
            add([None if p.grad is None else p.grad for p in thing.parameters()])
    add(torch.get_rng_state())
    state = np.random.get_state()
    add([state[0], state[1].tolist(), *state[2:]])
    add(random.getstate())
    return found.hexdigest()[:24]


def report(*things):
    print("digest", digest(*things))
