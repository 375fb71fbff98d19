"""Cross-validate an embedding network for tables with categories and numbers, and average the folds on a test set.

style: Kaggle competition, StratifiedKFold, entity embeddings, out-of-fold predictions, roc_auc_score
faults: none
"""
import numpy as np
import torch
import torch.nn as nn
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from torch.utils.data import DataLoader, Dataset

N_FOLDS, EPOCHS, BATCH = 4, 8, 64
CARDINALITIES = [12, 30, 5]


def seed_everything(seed=42):
    np.random.seed(seed)
    torch.manual_seed(seed)


def make_table(n, rng, effects):
    cats = np.column_stack([rng.integers(0, c, n) for c in CARDINALITIES])
    nums = rng.standard_normal((n, 5))
    score = sum(e[cats[:, i]] for i, e in enumerate(effects))
    score = score + nums[:, 0] * 1.2 - np.abs(nums[:, 1]) + 0.8 * nums[:, 2] * (cats[:, 2] == 1)
    return cats, nums.astype(np.float32), (score + 0.3 * rng.standard_normal(n) > -0.4).astype(np.float32)


class TableDataset(Dataset):
    def __init__(self, cats, nums, target=None):
        self.cats, self.nums, self.target = cats, nums, target

    def __len__(self):
        return len(self.cats)

    def __getitem__(self, i):
        item = {"cats": torch.tensor(self.cats[i]), "nums": torch.tensor(self.nums[i])}
        if self.target is not None:
            item["target"] = torch.tensor(self.target[i])
        return item


class TabNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeds = nn.ModuleList([nn.Embedding(c, min(8, (c + 1) // 2)) for c in CARDINALITIES])
        n_in = sum(e.embedding_dim for e in self.embeds) + 5
        self.mlp = nn.Sequential(
            nn.Linear(n_in, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.15),
            nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, cats, nums):
        parts = [e(cats[:, i]) for i, e in enumerate(self.embeds)]
        return self.mlp(torch.cat(parts + [nums], dim=1)).squeeze(1)


def predict(model, loader):
    model.eval()
    with torch.no_grad():
        return np.concatenate([model(b["cats"], b["nums"]).sigmoid().numpy() for b in loader])


seed_everything()
rng = np.random.default_rng(42)
effects = [rng.standard_normal(c) for c in CARDINALITIES]
cats, nums, target = make_table(2400, rng, effects)
test_cats, test_nums, test_target = make_table(1000, rng, effects)
test_loader = DataLoader(TableDataset(test_cats, test_nums), batch_size=500)

oof, test_pred = np.zeros(len(target)), np.zeros(len(test_target))
folds = StratifiedKFold(n_splits=N_FOLDS, shuffle=True, random_state=42)
for fold, (trn, val) in enumerate(folds.split(cats, target)):
    model = TabNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss_fn = nn.BCEWithLogitsLoss()
    train_loader = DataLoader(TableDataset(cats[trn], nums[trn], target[trn]), batch_size=BATCH, shuffle=True, drop_last=True)
    valid_loader = DataLoader(TableDataset(cats[val], nums[val]), batch_size=500)
    for epoch in range(EPOCHS):
        model.train()
        for batch in train_loader:
            loss = loss_fn(model(batch["cats"], batch["nums"]), batch["target"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    oof[val] = predict(model, valid_loader)
    test_pred += predict(model, test_loader) / N_FOLDS
    print(f"fold {fold} auc {roc_auc_score(target[val], oof[val]):.4f}")

print(f"oof auc {roc_auc_score(target, oof):.4f}")
print(f"final {((test_pred > 0.5) == (test_target > 0.5)).mean():.4f}")
