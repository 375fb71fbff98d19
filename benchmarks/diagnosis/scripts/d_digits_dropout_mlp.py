"""Train a network with dropout on handwritten digits and watch the validation accuracy.

style: functions, DataLoader
faults: learning-rate-too-low, wrong-mode
"""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

torch.manual_seed(0)


def get_data():
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    mean, std = x_train.mean(), x_train.std()
    to_x = lambda a: torch.tensor((a - mean) / std, dtype=torch.float32)
    return (TensorDataset(to_x(x_train), torch.tensor(y_train)),
            TensorDataset(to_x(x_test), torch.tensor(y_test)))


def build():
    return nn.Sequential(
        nn.Linear(64, 48), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(48, 24), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(24, 10),
    )


def train_one_epoch(model, loader, optimizer, criterion):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def evaluate(model, loader):
    model.eval()  # fixed: wrong-mode
    correct = 0
    with torch.no_grad():
        for x, y in loader:
            correct += (model(x).argmax(dim=1) == y).sum().item()
    return correct / len(loader.dataset)


train_set, test_set = get_data()
train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
test_loader = DataLoader(test_set, batch_size=128)
model = build()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-6)  # faulty: learning-rate-too-low
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)  # fixed
for epoch in range(35):
    loss = train_one_epoch(model, train_loader, optimizer, criterion)
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1} loss {loss:.4f} accuracy {evaluate(model, test_loader):.4f}")
print(f"final {evaluate(model, test_loader):.4f}")
