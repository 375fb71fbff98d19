"""Tell from noisy steps whether they add up to a rise, with a plain recurrent network.

style: config dict, class, hand-sliced minibatches
faults: exploding-gradients
"""
import torch
from torch import nn

CONFIG = {
    "length": 80,
    "hidden": 32,
    "recurrent_gain": 1.3,  # faulty: exploding-gradients
    "recurrent_gain": 0.98,  # fixed: exploding-gradients
    "lr": 0.0003,
    "batch": 40,
    "epochs": 12,
}

torch.manual_seed(5)


def walks(n, length):
    drift = 0.3 * torch.randn(n, 1)
    steps = drift + torch.randn(n, length)
    return steps.unsqueeze(-1), (steps.sum(1) > 0).long()


class TrendNet(nn.Module):
    def __init__(self, hidden, gain):
        super().__init__()
        self.rnn = nn.RNN(1, hidden, nonlinearity="relu", batch_first=True)  # near: exploding-gradients
        self.head = nn.Linear(hidden, 2)
        with torch.no_grad():
            self.rnn.weight_hh_l0.copy_(gain * torch.eye(hidden))  # near: exploding-gradients

    def forward(self, x):
        _, h = self.rnn(x)
        return self.head(h[-1])


x_train, y_train = walks(1200, CONFIG["length"])
x_val, y_val = walks(400, CONFIG["length"])
model = TrendNet(CONFIG["hidden"], CONFIG["recurrent_gain"])
optimizer = torch.optim.SGD(model.parameters(), lr=CONFIG["lr"], momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(CONFIG["epochs"]):
    perm = torch.randperm(len(x_train))
    running = 0.0
    for i in range(0, len(perm), CONFIG["batch"]):
        idx = perm[i:i + CONFIG["batch"]]
        loss = loss_fn(model(x_train[idx]), y_train[idx])
        optimizer.zero_grad()
        loss.backward()  # near: exploding-gradients
        optimizer.step()
        running += loss.item() * len(idx)
    print(f"epoch {epoch + 1} loss {running / len(perm):.4f}")

with torch.no_grad():
    acc = (model(x_val).argmax(1) == y_val).float().mean().item()
print("final", acc)
