"""Recognise the state of a machine from a log of its sensors.

style: config dict, functions, TensorDataset
faults: labels-misaligned
"""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

CFG = {"rows": 3001, "sensors": 6, "states": 4, "hidden": 48, "lr": 3e-3, "epochs": 25, "batch": 64}


def machine_log(cfg):
    """Rows as the logger writes them: the readings of a minute and the state the machine was in."""
    rng = np.random.default_rng(17)
    states = rng.integers(0, cfg["states"], cfg["rows"])
    profile = rng.normal(0, 1.2, (cfg["states"], cfg["sensors"]))
    readings = profile[states] + rng.normal(0, 0.6, (cfg["rows"], cfg["sensors"]))
    return readings.astype("float32"), states


def split(readings, states):
    x = torch.from_numpy(readings[:-1])  # near: labels-misaligned
    y = torch.from_numpy(states[1:])  # faulty: labels-misaligned
    y = torch.from_numpy(states[:-1])  # fixed: labels-misaligned
    cut = int(len(x) * 0.8)
    return (x[:cut], y[:cut]), (torch.from_numpy(readings[cut:]), torch.from_numpy(states[cut:]))


def main(cfg):
    torch.manual_seed(6)
    train, test = split(*machine_log(cfg))
    loader = DataLoader(TensorDataset(*train), batch_size=cfg["batch"], shuffle=True)  # near: labels-misaligned
    model = nn.Sequential(
        nn.Linear(cfg["sensors"], cfg["hidden"]), nn.ReLU(),
        nn.Linear(cfg["hidden"], cfg["states"]),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg["lr"])
    criterion = nn.CrossEntropyLoss()
    for epoch in range(cfg["epochs"]):
        seen = right = 0
        for x, y in loader:
            logits = model(x)
            loss = criterion(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(y)
            right += (logits.argmax(1) == y).sum().item()
        if (epoch + 1) % 5 == 0:
            print(f"epoch {epoch + 1:2d} train accuracy {right / seen:.3f}")
    with torch.no_grad():
        accuracy = (model(test[0]).argmax(1) == test[1]).float().mean().item()
    print("final", accuracy)


if __name__ == "__main__":
    main(CFG)
