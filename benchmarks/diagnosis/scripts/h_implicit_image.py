"""Fit a small picture by a network from coordinates to brightness, with Fourier features.

style: neural-field notebook, random features as a buffer, steps instead of epochs, PSNR printed
faults: none
"""
import math

import torch
from torch import nn

torch.manual_seed(2)

# %% a picture of 60 by 40 pixels
rows, cols = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 60), indexing="ij")
sky = 0.3 + 0.2 * rows + 0.1 * (9 * cols + 4 * rows).sin()
petals = torch.sigmoid(12 * (0.45 + 0.15 * (6 * torch.atan2(rows, cols)).cos() - (rows ** 2 + cols ** 2).sqrt()))
image = (1 - petals) * sky + 0.9 * petals
coords = torch.stack([rows, cols], dim=-1).reshape(-1, 2)
values = image.reshape(-1, 1)


# %%
class FourierFeatures(nn.Module):
    def __init__(self, n_in, n_features, scale):
        super().__init__()
        self.register_buffer("freqs", scale * torch.randn(n_in, n_features))

    def forward(self, x):
        phase = 2 * math.pi * x @ self.freqs
        return torch.cat([phase.sin(), phase.cos()], dim=-1)


class Field(nn.Module):
    def __init__(self, features=64, width=96, scale=1.5):
        super().__init__()
        self.net = nn.Sequential(
            FourierFeatures(2, features, scale),
            nn.Linear(2 * features, width), nn.GELU(),
            nn.Linear(width, width), nn.GELU(),
            nn.Linear(width, 1), nn.Sigmoid(),
        )

    def forward(self, x):
        return self.net(x)


# %% every fourth pixel is kept for the test
held = torch.arange(len(coords)) % 4 == 1
train_x, train_y, test_x, test_y = coords[~held], values[~held], coords[held], values[held]
field = Field()
optimizer = torch.optim.Adam(field.parameters(), lr=2e-3)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.998)
for step in range(800):
    pick = torch.randint(0, len(train_x), (256,))
    loss = (field(train_x[pick]) - train_y[pick]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 100 == 0:
        print(f"step {step:4d}  psnr {-10 * math.log10(loss.item()):.2f} dB")

# %%
with torch.no_grad():
    error = (field(test_x) - test_y).square().mean()
print("final", 1 - (error / test_y.var()).item())
