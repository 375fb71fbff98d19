"""Train a large teacher on handwritten digits and distil it into a small student.

style: functions, two trainings
faults: none
"""
import torch
import torch.nn.functional as F
from torch import nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

TEMPERATURE, MIX = 3.0, 0.7


def mlp(*sizes):
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def train(model, x, y, loss_fn, epochs, lr):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(epochs):
        for idx in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            loss = loss_fn(model(x[idx]), idx)
            loss.backward()
            optimizer.step()
    return loss.item()


def accuracy(model, x, y):
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


torch.manual_seed(12)
x, y = load_digits(return_X_y=True)
x = torch.tensor(x / 16.0, dtype=torch.float32)
y = torch.tensor(y)
x, x_test, y, y_test = train_test_split(x, y, test_size=0.3, random_state=1)

teacher = mlp(64, 256, 128, 10)
train(teacher, x, y, lambda out, idx: F.cross_entropy(out, y[idx]), epochs=25, lr=1e-3)
print(f"teacher {accuracy(teacher, x_test, y_test):.4f}")

teacher.eval()
for p in teacher.parameters():
    p.requires_grad = False
with torch.no_grad():
    soft = F.softmax(teacher(x) / TEMPERATURE, dim=1)


def distil(out, idx):
    kl = F.kl_div(F.log_softmax(out / TEMPERATURE, dim=1), soft[idx], reduction="batchmean")
    return MIX * TEMPERATURE ** 2 * kl + (1 - MIX) * F.cross_entropy(out, y[idx])


student = mlp(64, 24, 10)
last = train(student, x, y, distil, epochs=40, lr=3e-3)
print(f"student loss {last:.4f}")
print(f"final {accuracy(student, x_test, y_test):.4f}")
