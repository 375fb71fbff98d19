"""Train a batch-normalised network with slowly moving statistics on handwritten digits.

style: script, DataLoader
faults: none
"""
import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X, Y = load_digits(return_X_y=True)
X = torch.FloatTensor(X) / 16
Y = torch.LongTensor(Y)
order = torch.randperm(len(X))
X, Y = X[order], Y[order]
train = TensorDataset(X[:1400], Y[:1400])
test_x, test_y = X[1400:], Y[1400:]


def layer(a, b):
    return [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b, momentum=0.01), nn.ReLU(inplace=True)]


model = nn.Sequential(*layer(64, 100), *layer(100, 100), *layer(100, 50), nn.Linear(50, 10))
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
loader = DataLoader(train, batch_size=32, shuffle=True, drop_last=True)

for epoch in range(35):
    model.train()
    running_loss = 0.0
    for inputs, labels in loader:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    if (epoch + 1) % 5 == 0:
        print(f"[{epoch + 1}] loss: {running_loss / len(loader):.4f}")

model.eval()
with torch.no_grad():
    correct = (model(test_x).argmax(dim=1) == test_y).sum().item()
print("final", correct / len(test_y))
