"""Train a multi-label classifier with a weight per label.

style: functions, DataLoader
faults: none
"""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import roc_auc_score

torch.manual_seed(8)


def make(n=2500):
    x, y = make_multilabel_classification(
        n_samples=n, n_features=30, n_classes=8, n_labels=2, length=80, random_state=3)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    cut = int(n * 0.7)
    mean, std = x[:cut].mean(0), x[:cut].std(0)
    x = (x - mean) / std
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def positive_weight(y):
    positives = y.sum(0)
    return ((len(y) - positives) / positives).clamp(max=20)


(x_train, y_train), (x_test, y_test) = make()
loader = DataLoader(TensorDataset(x_train, y_train), batch_size=64, shuffle=True)
model = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 8))
criterion = nn.BCEWithLogitsLoss(pos_weight=positive_weight(y_train))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-4)
print("weights", [round(w, 1) for w in criterion.pos_weight.tolist()])

for epoch in range(25):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1} loss {total / len(x_train):.4f}")

model.eval()
with torch.no_grad():
    scores = torch.sigmoid(model(x_test))
print(f"final {roc_auc_score(y_test.numpy(), scores.numpy(), average='macro'):.4f}")
