"""Train a siamese network with a contrastive loss so that equal digits lie close together.

style: functions, pairs sampled on the fly
faults: none
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

torch.manual_seed(30)
MARGIN = 1.0


def sample_pairs(x, y, n):
    """Half of the pairs show the same digit, half of them two different ones."""
    first = torch.randint(0, len(x), (n,))
    second = torch.empty_like(first)
    same = torch.arange(n) % 2 == 0
    for k, i in enumerate(first.tolist()):
        pool = (y == y[i]).nonzero().flatten() if same[k] else (y != y[i]).nonzero().flatten()
        second[k] = pool[torch.randint(0, len(pool), (1,))]
    return x[first], x[second], same.float()


def contrastive(a, b, same):
    distance = F.pairwise_distance(a, b)
    return (same * distance.pow(2) + (1 - same) * F.relu(MARGIN - distance).pow(2)).mean()


digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32)
x = (x - x.mean()) / x.std()
y = torch.tensor(digits.target)
perm = torch.randperm(len(x))
train, test = perm[:1200], perm[1200:]

encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 8))
optimizer = torch.optim.Adam(encoder.parameters(), lr=2e-3)
for step in range(600):
    left, right, same = sample_pairs(x[train], y[train], 64)
    loss = contrastive(encoder(left), encoder(right), same)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 99:
        print(f"step {step + 1}: contrastive loss {loss.item():.4f}")

with torch.no_grad():
    codes = encoder(x).numpy()
knn = KNeighborsClassifier(5).fit(codes[train], y[train])
print(f"final {knn.score(codes[test], y[test]):.4f}")
