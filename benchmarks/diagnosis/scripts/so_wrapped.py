"""Old-style training of a small network on wine, ported from an early PyTorch tutorial.

style: Variable, beginner script
faults: graph-detached
"""
import torch
from sklearn.datasets import load_wine
from torch import nn
from torch.autograd import Variable

torch.manual_seed(2)
wine = load_wine()
x = torch.tensor(wine.data, dtype=torch.float32)
x = (x - x.mean(0)) / x.std(0)
y = torch.tensor(wine.target)
order = torch.randperm(len(x))
train, test = order[:120], order[120:]

model = nn.Sequential(nn.Linear(13, 24), nn.ReLU(), nn.Linear(24, 3))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for epoch in range(60):
    for rows in train[torch.randperm(len(train))].split(20):
        inputs, labels = Variable(x[rows]), Variable(y[rows])
        optimizer.zero_grad()
        output = model(inputs)
        loss = criterion(output, labels)
        loss = Variable(loss.data, requires_grad=True)  # faulty: graph-detached
        loss.backward()
        optimizer.step()
    if epoch % 20 == 19:
        print("epoch", epoch + 1, "loss", loss.item())

model.eval()
print("final", (model(x[test]).argmax(1) == y[test]).float().mean().item())
