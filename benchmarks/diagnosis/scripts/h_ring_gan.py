"""Train a generative adversarial network on points that lie on a ring.

style: two optimizers, functions
faults: none
"""
import math

import torch
from torch import nn

torch.manual_seed(0)
BATCH, NOISE, STEPS = 128, 8, 1500


def real_points(n):
    angle = torch.rand(n) * 2 * math.pi
    radius = 1.0 + 0.05 * torch.randn(n)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


generator = nn.Sequential(
    nn.Linear(NOISE, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 2))
critic = nn.Sequential(
    nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
opt_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
opt_d = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.99))
bce = nn.BCEWithLogitsLoss()
ones, zeros = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)

for step in range(STEPS):
    fake = generator(torch.randn(BATCH, NOISE))
    loss_d = bce(critic(real_points(BATCH)), ones) + bce(critic(fake.detach()), zeros)
    opt_d.zero_grad()
    loss_d.backward()
    opt_d.step()

    loss_g = bce(critic(generator(torch.randn(BATCH, NOISE))), ones)
    opt_g.zero_grad()
    loss_g.backward()
    opt_g.step()
    if step % 250 == 0:
        print(f"step {step} critic {loss_d.item():.3f} generator {loss_g.item():.3f}")


@torch.no_grad()
def quality(n=2000, sectors=16):
    """Share of points near the ring, times the share of the ring that is covered."""
    points = generator(torch.randn(n, NOISE))
    near = (points.norm(dim=1) - 1.0).abs() < 0.2
    angle = torch.atan2(points[:, 1], points[:, 0])[near]
    bins = ((angle + math.pi) / (2 * math.pi) * sectors).long().clamp(max=sectors - 1)
    covered = (torch.bincount(bins, minlength=sectors) > n / sectors / 10).float().mean()
    return near.float().mean().item() * covered.item()


print("final", round(quality(), 4))
