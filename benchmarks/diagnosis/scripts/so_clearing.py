"""Tell benign from malignant tumours with a small network.

style: functions, hand-cut minibatches
faults: parameters-not-optimized
"""
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


def fit(model, x, y, epochs=15, size=32):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(epochs):
        for rows in torch.randperm(len(x)).split(size):
            loss = criterion(model(x[rows]).squeeze(1), y[rows])
            optimizer.zero_grad()  # fixed
            loss.backward()
            optimizer.zero_grad()  # faulty: parameters-not-optimized
            optimizer.step()
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1}: loss {loss.item():.3f}")


torch.manual_seed(4)
x, y = load_breast_cancer(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=0, stratify=y)
scaler = StandardScaler().fit(x_train)
x_train = torch.tensor(scaler.transform(x_train), dtype=torch.float32)
x_test = torch.tensor(scaler.transform(x_test), dtype=torch.float32)
y_train, y_test = torch.tensor(y_train).float(), torch.tensor(y_test).float()

model = nn.Sequential(nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 1))
fit(model, x_train, y_train)
model.eval()
with torch.no_grad():
    guessed = (model(x_test).squeeze(1) > 0).float()
hits = [(guessed[y_test == side] == side).float().mean().item() for side in (0, 1)]
print("final", sum(hits) / 2)
