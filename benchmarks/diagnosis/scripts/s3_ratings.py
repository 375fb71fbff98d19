"""Predict how users rate films from factors of users and films.

style: recommender tutorial, embeddings, custom Dataset of triples, loss in a helper
faults: graph-detached
"""
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset

N_USERS, N_ITEMS, N_RATINGS = 250, 150, 12000


class Ratings(Dataset):
    """Triples (user, item, rating), made from tastes that nobody knows."""

    def __init__(self, rng, tastes, genres, n):
        self.users = rng.integers(0, N_USERS, n)
        self.items = rng.integers(0, N_ITEMS, n)
        score = (tastes[self.users] * genres[self.items]).sum(1)
        self.ratings = (score + 0.1 * rng.standard_normal(n)).astype(np.float32)

    def __len__(self):
        return len(self.ratings)

    def __getitem__(self, i):
        return self.users[i], self.items[i], self.ratings[i]


class NeuralFactorizer(nn.Module):
    def __init__(self, n_factors=8, n_hidden=48):
        super().__init__()
        self.user_factors = nn.Embedding(N_USERS, n_factors)
        self.item_factors = nn.Embedding(N_ITEMS, n_factors)
        self.mlp = nn.Sequential(
            nn.Linear(3 * n_factors, n_hidden),
            nn.ReLU(),
            nn.Linear(n_hidden, 1),
        )

    def forward(self, user, item):
        u = self.user_factors.weight.data[user]  # faulty: graph-detached
        v = self.item_factors.weight.data[item]  # faulty: graph-detached
        u = self.user_factors(user)  # fixed: graph-detached
        v = self.item_factors(item)  # fixed: graph-detached
        features = torch.cat([u, v, u * v], dim=1)
        return self.mlp(features).squeeze(1)


def run_epoch(model, loader, optimizer=None):
    sse, n = 0.0, 0
    for user, item, rating in loader:
        with torch.set_grad_enabled(optimizer is not None):
            loss = nn.functional.mse_loss(model(user, item), rating)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        sse += loss.item() * len(rating)
        n += len(rating)
    return sse / n


torch.manual_seed(3)
rng = np.random.default_rng(3)
tastes, genres = rng.standard_normal((N_USERS, 2)), rng.standard_normal((N_ITEMS, 2))
train_loader = DataLoader(Ratings(rng, tastes, genres, N_RATINGS), batch_size=128, shuffle=True)
valid_set = Ratings(rng, tastes, genres, 2000)
valid_loader = DataLoader(valid_set, batch_size=500)

model = NeuralFactorizer()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for epoch in range(20):
    train_mse = run_epoch(model, train_loader, optimizer)
    valid_mse = run_epoch(model, valid_loader)
    print(f"epoch {epoch + 1}: train mse {train_mse:.3f}, valid mse {valid_mse:.3f}")

print("final", 1 - valid_mse / float(valid_set.ratings.var()))
