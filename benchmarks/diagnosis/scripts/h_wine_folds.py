"""Cross-validate multinomial logistic regression on the wine data with five trainings.

style: functions, k-fold loop
faults: none
"""
import numpy as np
import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold


def train(x, y, steps=400, lr=0.02):
    model = torch.nn.Linear(x.shape[1], 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    criterion = torch.nn.CrossEntropyLoss()
    for step in range(steps):
        idx = torch.randint(0, len(x), (32,))
        loss = criterion(model(x[idx]), y[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, loss.item()


torch.manual_seed(42)
features, labels = load_wine(return_X_y=True)
scores = []
for fold, (a, b) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(features, labels)):
    mean = features[a].mean(axis=0)
    std = features[a].std(axis=0)
    x_train = torch.tensor((features[a] - mean) / std, dtype=torch.float32)
    x_val = torch.tensor((features[b] - mean) / std, dtype=torch.float32)
    y_train, y_val = torch.tensor(labels[a]), torch.tensor(labels[b])
    model, last_loss = train(x_train, y_train)
    with torch.no_grad():
        acc = (model(x_val).argmax(1) == y_val).float().mean().item()
    print(f"fold {fold}: loss {last_loss:.4f} accuracy {acc:.4f}")
    scores.append(acc)
print(f"final {np.mean(scores):.4f}")
