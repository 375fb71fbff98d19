"""Find fraudulent transactions among many honest ones.

style: Kaggle notebook flattened, pandas-free preprocessing, sklearn metrics, BCE
faults: classes-imbalanced
"""
# In[1]:
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.metrics import balanced_accuracy_score, confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import RobustScaler

# In[2]: transactions, V1 ... V16 as in the anonymised table
X, y = make_classification(n_samples=12000, n_features=16, n_informative=6, n_redundant=4,
                           n_clusters_per_class=2, weights=[0.96], class_sep=0.7, flip_y=0.0, random_state=8)
print("frauds:", y.sum(), "of", len(y))

# In[3]:
X_tr, X_te, y_tr, y_te = train_test_split(X, y, test_size=0.3, stratify=y, random_state=42)
scaler = RobustScaler().fit(X_tr)
X_tr = torch.FloatTensor(scaler.transform(X_tr))
X_te = torch.FloatTensor(scaler.transform(X_te))
y_tr = torch.FloatTensor(y_tr)

# In[4]:
torch.manual_seed(42)
clf = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 1))
opt = torch.optim.Adam(clf.parameters(), lr=1e-3)
ratio = (y_tr == 0).sum() / (y_tr == 1).sum()
print("honest per fraud: %.1f" % ratio)
bce = nn.BCEWithLogitsLoss()  # faulty: classes-imbalanced
bce = nn.BCEWithLogitsLoss(pos_weight=ratio)  # fixed: classes-imbalanced

# In[5]:
BS = 128
for epoch in range(15):
    perm = torch.randperm(len(X_tr))
    epoch_loss = 0
    for start in range(0, len(perm), BS):
        rows = perm[start:start + BS]
        opt.zero_grad()
        logits = clf(X_tr[rows]).squeeze(-1)
        loss = bce(logits, y_tr[rows])  # near: classes-imbalanced
        loss.backward()
        opt.step()
        epoch_loss += loss.item() * len(rows)
    if epoch % 3 == 0:
        print("epoch", epoch, "loss", epoch_loss / len(X_tr))

# In[6]:
with torch.no_grad():
    p = torch.sigmoid(clf(X_te)).numpy().ravel()
print(confusion_matrix(y_te, p > 0.5))
print("final", balanced_accuracy_score(y_te, p > 0.5))
