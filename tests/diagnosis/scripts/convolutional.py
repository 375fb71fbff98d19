"""Batch normalization, dropout, a schedule, clipping, and validation between epochs."""

import torch
import torch.nn.functional as F
from _digest import report
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(8 * 16, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.conv(x)), inplace=True), 2)
        return self.fc(self.drop(x.flatten(1)))


torch.manual_seed(2)
images, labels = torch.randn(200, 1, 8, 8), torch.randint(0, 5, (200,))
net = Net()
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=32)
for _ in range(4):
    net.train()
    for first in range(0, 160, 20):
        optimizer.zero_grad(set_to_none=False)
        loss = F.cross_entropy(net(images[first : first + 20]), labels[first : first + 20])
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
    net.eval()
    with torch.no_grad():
        print((net(images[160:]).argmax(1) == labels[160:]).sum().item())
report(net, optimizer, scheduler.state_dict())
