"""DistributedDataParallel over gloo; run by torchrun."""

import os
import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from _digest import digest
from torch import nn
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo", timeout=timedelta(seconds=60))
rank = dist.get_rank()
torch.manual_seed(19)
net = DistributedDataParallel(nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3)))
optimizer = torch.optim.SGD(net.parameters(), 0.1)
torch.manual_seed(rank)
x, y = torch.randn(32, 6), torch.randint(0, 3, (32,))
for _ in range(20):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
sys.stdout.write(f"digest {os.environ['RANK']} {digest(net, optimizer)}\n")  # in one piece
sys.stdout.flush()
dist.barrier()
del net  # before the group that its reducer speaks to
dist.destroy_process_group()
