"""Digit classifier with dropout, written with the functional API.

style: beginner class, functional API
faults: wrong-mode
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 32)
        self.fc2 = nn.Linear(32, 32)
        self.fc3 = nn.Linear(32, 10)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.dropout(x, 0.5)  # faulty: wrong-mode
        x = F.dropout(x, 0.5, training=self.training)  # fixed: wrong-mode
        x = F.relu(self.fc2(x))
        x = F.dropout(x, 0.5)  # faulty: wrong-mode
        x = F.dropout(x, 0.5, training=self.training)  # fixed: wrong-mode
        return self.fc3(x)


def test(model, x, y):
    model.eval()  # near: wrong-mode
    with torch.no_grad():
        output = model(x)  # near: wrong-mode
    return (output.argmax(dim=1) == y).float().mean().item()


def train(model, loader, optimizer):
    model.train()
    for data, target in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(data), target)
        loss.backward()
        optimizer.step()
    return loss.item()


torch.manual_seed(38)
data, target = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(data / 16, target, test_size=0.3, random_state=4)
x_train, x_test = torch.tensor(x_train).float(), torch.tensor(x_test).float()
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)
loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)

model = Net()
optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
for epoch in range(1, 26):
    loss = train(model, loader, optimizer)
    if epoch % 5 == 0:
        print("Epoch: {}  Loss: {:.4f}  Test accuracy: {:.3f}".format(epoch, loss, test(model, x_test, y_test)))

print("test again:", test(model, x_test, y_test))
print("final", test(model, x_test, y_test))
