"""Predict the target of a generated regression problem with a small network.

style: config dict, custom Dataset, no main guard
faults: output-activation-wrong
"""
import torch
import torch.nn as nn
from sklearn.datasets import make_regression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, Dataset

cfg = {"features": 12, "informative": 8, "noise": 10.0, "batch": 40, "epochs": 30, "lr": 2e-3}


class Table(Dataset):
    def __init__(self, x, y):
        self.x = torch.tensor(x, dtype=torch.float32)
        self.y = torch.tensor(y, dtype=torch.float32)

    def __len__(self):
        return self.x.shape[0]

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class Regressor(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.l1 = nn.Linear(n_in, 64)
        self.l2 = nn.Linear(64, 32)
        self.l3 = nn.Linear(32, 1)

    def forward(self, x):
        x = torch.relu(self.l1(x))
        x = torch.relu(self.l2(x))
        return torch.sigmoid(self.l3(x))  # faulty: output-activation-wrong
        return self.l3(x)  # fixed: output-activation-wrong


torch.manual_seed(8)
x, y = make_regression(n_samples=1600, n_features=cfg["features"], n_informative=cfg["informative"],
                       noise=cfg["noise"], random_state=8)
x_tr, x_te, y_tr, y_te = train_test_split(x, y[:, None], test_size=0.25, random_state=8)
sx, sy = StandardScaler().fit(x_tr), StandardScaler().fit(y_tr)
train_dl = DataLoader(Table(sx.transform(x_tr), sy.transform(y_tr)), batch_size=cfg["batch"], shuffle=True)
test_ds = Table(sx.transform(x_te), sy.transform(y_te))

model = Regressor(cfg["features"])
opt = torch.optim.Adam(model.parameters(), lr=cfg["lr"])
loss_fn = nn.MSELoss()
for epoch in range(cfg["epochs"]):
    model.train()
    for xb, yb in train_dl:
        opt.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        opt.step()
    if epoch % 5 == 0:
        print("epoch", epoch, "loss", loss.item())

model.eval()
with torch.no_grad():
    residual = ((model(test_ds.x) - test_ds.y) ** 2).mean()
print("final", (1 - residual / test_ds.y.var(unbiased=False)).item())
