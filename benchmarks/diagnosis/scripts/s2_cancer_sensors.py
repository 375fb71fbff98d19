"""Classify tumours from measurements of which some were never taken.

style: functions, config dict, TensorDataset
faults: non-finite-data
"""
import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

cfg = dict(lr=0.01, momentum=0.9, batch_size=32, epochs=60, hidden=32)


def measurements():
    x, y = load_breast_cancer(return_X_y=True)
    rng = np.random.RandomState(0)
    missing = rng.rand(*x.shape) < 0.001  # near: non-finite-data
    x[missing] = np.nan  # near: non-finite-data
    return train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)


def prepare():
    x_train, x_test, y_train, y_test = measurements()
    imputer = SimpleImputer(strategy="median").fit(x_train)  # fixed: non-finite-data
    x_train, x_test = imputer.transform(x_train), imputer.transform(x_test)  # fixed: non-finite-data
    scaler = StandardScaler().fit(x_train)
    sets = []
    for x, y in ((x_train, y_train), (x_test, y_test)):
        x = torch.tensor(scaler.transform(x), dtype=torch.float32)  # near: non-finite-data
        sets.append(TensorDataset(x, torch.tensor(y)))
    return sets


def run():
    torch.manual_seed(21)
    train_set, test_set = prepare()
    loader = DataLoader(train_set, batch_size=cfg["batch_size"], shuffle=True)
    model = nn.Sequential(nn.Linear(30, cfg["hidden"]), nn.ReLU(), nn.Linear(cfg["hidden"], 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=cfg["lr"], momentum=cfg["momentum"])
    criterion = nn.CrossEntropyLoss()
    for epoch in range(cfg["epochs"]):
        total = 0.0
        for x, y in loader:  # near: non-finite-data
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        if epoch % 10 == 0:
            print(f"epoch {epoch}: loss {total / len(loader):.4f}")
    x, y = test_set.tensors
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


print("final", run())
