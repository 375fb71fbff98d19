"""Train a recurrent network to recognise three kinds of bursts in noisy sequences.

style: modules, generated sequences
faults: initialization-too-large, parameters-not-optimized
"""
import torch
import torch.nn as nn

torch.manual_seed(20)


def sequences(n, length=24):
    """Three shapes (rise, fall, pulse) at a random place in noise."""
    x = 0.3 * torch.randn(n, length)
    y = torch.randint(0, 3, (n,))
    shapes = torch.stack([torch.linspace(0, 2, 8), torch.linspace(2, 0, 8), torch.tensor([0., 1, 2, 2, 2, 2, 1, 0])])
    for i in range(n):
        start = torch.randint(0, length - 8, (1,)).item()
        x[i, start:start + 8] += shapes[y[i]]
    return x.unsqueeze(-1), y


class BurstNet(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.rnn = nn.GRU(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 3)
        for name, p in self.rnn.named_parameters():
            if "weight" in name:
                nn.init.normal_(p, std=5.0)  # faulty: initialization-too-large
                nn.init.normal_(p, std=0.2)  # fixed

    def forward(self, x):
        out, last = self.rnn(x)
        return self.head(last[-1])


x_train, y_train = sequences(1200)
x_test, y_test = sequences(500)
net = BurstNet()
optimizer = torch.optim.Adam(net.head.parameters(), lr=5e-3)  # faulty: parameters-not-optimized
optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)  # fixed
criterion = nn.CrossEntropyLoss()
for epoch in range(20):
    total = 0.0
    for idx in torch.randperm(len(x_train)).split(48):
        loss = criterion(net(x_train[idx]), y_train[idx])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        total += loss.item() * len(idx)
    if epoch % 4 == 3:
        print(f"epoch {epoch + 1} loss {total / len(x_train):.4f}")

with torch.no_grad():
    accuracy = (net(x_test).argmax(1) == y_test).float().mean()
print("final", round(accuracy.item(), 4))
