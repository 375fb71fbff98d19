"""Learn an embedding of digits from pairs of images, judged by its nearest neighbours.

style: functions, generated pairs
faults: numerical-overflow
"""
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

torch.manual_seed(12)


class Encoder(nn.Module):
    def __init__(self, dim=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, dim))

    def forward(self, x):
        return self.layers(x)


def distance(a, b):
    return torch.sqrt(((a - b) ** 2).sum(dim=1))  # faulty: numerical-overflow
    return torch.sqrt(((a - b) ** 2).sum(dim=1) + 1e-6)  # fixed: numerical-overflow


def contrastive_loss(a, b, same, margin=2.0):
    d = distance(a, b)  # near: numerical-overflow
    return (same * d ** 2 + (1 - same) * torch.relu(margin - d) ** 2).mean()


def draw_pairs(x, y, n):
    """Half of the pairs have the same digit; both images are drawn with replacement."""
    first = torch.randint(len(x), (n,))
    second = torch.randint(len(x), (n,))
    for k in range(0, n, 2):
        candidates = torch.nonzero(y == y[first[k]]).squeeze(1)
        second[k] = candidates[torch.randint(len(candidates), (1,))]
    return x[first], x[second], (y[first] == y[second]).float()


def neighbours_score(encoder, x, y, x_test, y_test):
    with torch.no_grad():
        train, test = encoder(x), encoder(x_test)
    knn = KNeighborsClassifier(5).fit(torch.nan_to_num(train).numpy(), y.numpy())
    return knn.score(torch.nan_to_num(test).numpy(), y_test.numpy())


data, target = load_digits(return_X_y=True)
x = torch.tensor(data, dtype=torch.float32) / 16
y = torch.tensor(target)
x_train, y_train, x_test, y_test = x[:1300], y[:1300], x[1300:], y[1300:]

encoder = Encoder()
optimizer = torch.optim.Adam(encoder.parameters(), lr=2e-3)
for step in range(1, 1201):
    a, b, same = draw_pairs(x_train, y_train, 64)
    loss = contrastive_loss(encoder(a), encoder(b), same)
    optimizer.zero_grad()
    loss.backward()  # near: numerical-overflow
    optimizer.step()
    if step % 200 == 0:
        print(f"step {step}: loss {loss.item():.4f}")

print("final", neighbours_score(encoder, x_train, y_train, x_test, y_test))
