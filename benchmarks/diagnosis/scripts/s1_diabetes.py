"""Predict disease progression from scikit-learn's diabetes data.

style: flat script, no classes, hand-written loss
faults: shapes-broadcast
"""
import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

torch.manual_seed(0)

data = load_diabetes()
X_train, X_test, y_train, y_test = train_test_split(data.data, data.target, test_size=0.25, random_state=10)

# standardise with the statistics of the training set
X_mean, X_std = X_train.mean(axis=0), X_train.std(axis=0)
y_mean, y_std = y_train.mean(), y_train.std()
X_train = torch.tensor((X_train - X_mean) / X_std, dtype=torch.float32)
X_test = torch.tensor((X_test - X_mean) / X_std, dtype=torch.float32)
y_train = torch.tensor((y_train - y_mean) / y_std, dtype=torch.float32)
y_test = torch.tensor((y_test - y_mean) / y_std, dtype=torch.float32)

model = torch.nn.Sequential(
    torch.nn.Linear(X_train.shape[1], 32),
    torch.nn.ReLU(),
    torch.nn.Dropout(0.2),
    torch.nn.Linear(32, 1),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
batch_size = 32
n_epochs = 100

for epoch in range(n_epochs):
    model.train()
    perm = torch.randperm(len(X_train))
    epoch_loss = 0.0
    for i in range(0, len(perm), batch_size):
        batch = perm[i:i + batch_size]
        output = model(X_train[batch])  # faulty: shapes-broadcast
        output = model(X_train[batch]).squeeze(1)  # fixed: shapes-broadcast
        loss = ((output - y_train[batch]) ** 2).mean()  # near: shapes-broadcast
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item() * len(batch)
    if epoch % 20 == 0:
        print(f"epoch {epoch:3d}  mse {epoch_loss / len(perm):.4f}")

model.eval()
with torch.no_grad():
    predicted = model(X_test).flatten()
    r2 = 1 - ((predicted - y_test) ** 2).sum() / ((y_test - y_test.mean()) ** 2).sum()
print(f"test rmse {((predicted - y_test) ** 2).mean().sqrt().item() * y_std:.1f}")
print(f"final {r2.item():.4f}")
