"""Train an LSTM to tell four families of waves apart.

style: modules, functions, generated sequences
faults: none
"""
import math
import torch
import torch.nn as nn

torch.manual_seed(4)


def make_waves(n, length=30):
    t = torch.linspace(0, 1, length).repeat(n, 1)
    label = torch.randint(0, 4, (n,))
    phase = torch.rand(n, 1) * 2 * math.pi
    freq = 1.5 + 1.5 * (label % 2).unsqueeze(1) + 0.3 * torch.randn(n, 1)
    wave = torch.sin(2 * math.pi * freq * t + phase)
    wave = torch.where((label >= 2).unsqueeze(1), torch.sign(wave), wave * 1.2)
    return (wave + 0.1 * torch.randn(n, length)).unsqueeze(-1), label


class WaveLSTM(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 4)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(out.mean(dim=1))


x_train, y_train = make_waves(1200)
x_test, y_test = make_waves(600)
model = WaveLSTM()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
criterion = nn.CrossEntropyLoss()

for epoch in range(25):
    total = 0.0
    for idx in torch.randperm(len(x_train)).split(64):
        optimizer.zero_grad()
        loss = criterion(model(x_train[idx]), y_train[idx])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        total += loss.item() * len(idx)
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1:2d} loss {total / len(x_train):.4f}")

with torch.no_grad():
    print("final", (model(x_test).argmax(1) == y_test).float().mean().item())
