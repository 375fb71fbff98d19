"""Automatic mixed precision with a gradient scaler."""

import torch
from _digest import report
from torch import nn

torch.manual_seed(4)
x, y = torch.randn(64, 12), torch.randint(0, 3, (64,))
net = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.LayerNorm(24), nn.Linear(24, 3))
optimizer = torch.optim.RMSprop(net.parameters(), 1e-3)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
for _ in range(40):
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nn.functional.cross_entropy(net(x), y)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
report(net, optimizer, scaler.state_dict())
