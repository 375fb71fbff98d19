"""Two networks, two optimizers, several passes and backwards in a step."""

import torch
from _digest import report
from torch import nn

torch.manual_seed(10)
real = torch.randn(256, 2) * 0.5 + 1
netG = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
netD = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
optD = torch.optim.Adam(netD.parameters(), 2e-3, betas=(0.5, 0.999))
optG = torch.optim.Adam(netG.parameters(), 2e-3, betas=(0.5, 0.999))
criterion = nn.BCEWithLogitsLoss()
for step in range(40):
    batch = real[step * 6 % 200 :][:32]
    optD.zero_grad()
    criterion(netD(batch), torch.ones(32, 1)).backward()
    fake = netG(torch.randn(32, 4))
    criterion(netD(fake.detach()), torch.zeros(32, 1)).backward()
    optD.step()
    optG.zero_grad()
    criterion(netD(fake), torch.ones(32, 1)).backward()
    optG.step()
report(netG, netD, optG, optD)
