"""First neural network of mine: two moons, two classes.

style: beginner script, hand-sliced minibatches
faults: labels-misaligned
"""
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import make_moons

X, y = make_moons(n_samples=2000, noise=0.15)

# mix the data before splitting it
np.random.shuffle(X)  # faulty: labels-misaligned
np.random.shuffle(y)  # faulty: labels-misaligned
idx = np.random.permutation(len(X))  # fixed: labels-misaligned
X, y = X[idx], y[idx]  # fixed: labels-misaligned

X = torch.FloatTensor(X)
y = torch.FloatTensor(y).reshape(-1, 1)
X_train, y_train = X[:1500], y[:1500]  # near: labels-misaligned
X_test = X[1500:]
y_test = y[1500:]

model = nn.Sequential(
    nn.Linear(2, 32),
    nn.ReLU(),
    nn.Linear(32, 32),
    nn.ReLU(),
    nn.Linear(32, 1),
    nn.Sigmoid(),
)

loss_function = nn.BCELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
batch_size = 50

for epoch in range(40):
    epoch_loss = 0
    for i in range(0, len(X_train), batch_size):
        inputs = X_train[i:i + batch_size]
        targets = y_train[i:i + batch_size]
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = loss_function(outputs, targets)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()

    if epoch % 5 == 0:
        with torch.no_grad():
            acc = ((model(X_train) > 0.5) == (y_train > 0.5)).float().mean().item()
        print('Epoch {}: loss {:.4f} train acc {:.2f}%'.format(epoch, epoch_loss / 30, 100 * acc))

with torch.no_grad():
    prediction = (model(X_test) > 0.5).float()
accuracy = (prediction == y_test).sum().item() / len(y_test)
print("final", accuracy)
