"""Sharding: each process keeps a part of the weights, their gradients and the update's state.

PyTorch's own modules for it take a second to be imported, so only a sharded run does. What they
make is known by its ``full_tensor``.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from chainrule.training.distributed import World


def shard(module: nn.Module, here: World) -> nn.Module:
    """Cut the parameters of ``module`` over the processes, in place; gives it back.

    Each direct child with parameters is gathered for its own forward and backward pass and let
    go of after it, so that no process ever holds more than the largest child whole (PyTorch's
    fully_shard; Rajbhandari et al., ZeRO, 2020, stage 3).

    Args:
        module: the same in all processes, on its device.
        here: this process among those that train together.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(here.device.type, (here.size,))
    for child in module.children():
        if any(True for _ in child.parameters()):
            fully_shard(child, mesh=mesh)
    fully_shard(module, mesh=mesh)
    return module


def is_sharded(module: nn.Module) -> bool:
    """Whether its parameters are cut over processes."""
    return any(hasattr(parameter, "full_tensor") for parameter in module.parameters())


def whole(value: Tensor) -> Tensor:
    """A tensor as it is, or gathered from all processes, all of which must ask for it.

    Examples:
        >>> import torch
        >>> whole(torch.ones(2))
        tensor([1., 1.])
    """
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def cut_like(value: Tensor, like: Tensor) -> Tensor:
    """The part of a whole tensor that this process keeps of ``like``."""
    if not hasattr(like, "full_tensor"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    on_device = value.to(device=like.device, dtype=value.dtype)
    # every process has the whole: each takes its part, and nothing is sent
    return distribute_tensor(on_device, like.device_mesh, like.placements, src_data_rank=None)


def load_whole(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put whole tensors into a module, sharded or not."""
    current = module.state_dict()
    module.load_state_dict({name: cut_like(tensors[name], current[name]) for name in current})
