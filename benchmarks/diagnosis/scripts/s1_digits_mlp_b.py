"""Train a multilayer perceptron on handwritten digits, with its own weight initialisation.

style: functions, model.apply, hand-sliced minibatches
faults: symmetric-initialization
"""
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


def init_weights(module):
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.weight, 0.05)  # faulty: symmetric-initialization
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")  # fixed: symmetric-initialization
        nn.init.zeros_(module.bias)


def get_model():
    model = nn.Sequential(
        nn.Linear(64, 80),
        nn.ReLU(),
        nn.Linear(80, 40),
        nn.ReLU(),
        nn.Linear(40, 10),
    )
    model.apply(init_weights)  # near: symmetric-initialization
    return model


def get_tensors():
    X, y = load_digits(return_X_y=True)
    X = X / X.max()
    X_tr, X_te, y_tr, y_te = train_test_split(X, y, test_size=0.2, shuffle=True, random_state=21)
    mu, sigma = X_tr.mean(), X_tr.std()
    return (torch.tensor((X_tr - mu) / sigma).float(), torch.tensor(y_tr),
            torch.tensor((X_te - mu) / sigma).float(), torch.tensor(y_te))


def fit(model, X, y, epochs, batch_size):
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(epochs):
        model.train()
        shuffled = torch.randperm(X.size(0))
        for start in range(0, X.size(0), batch_size):
            rows = shuffled[start:start + batch_size]
            optimizer.zero_grad()
            loss = criterion(model(X[rows]), y[rows])
            loss.backward()
            optimizer.step()
        if (epoch + 1) % 5 == 0:
            print("epoch {:3d} loss {:.4f}".format(epoch + 1, loss.item()))


def predict(model, X):
    model.eval()
    with torch.no_grad():
        return model(X).argmax(dim=1)


torch.manual_seed(21)
X_train, y_train, X_test, y_test = get_tensors()
net = get_model()
fit(net, X_train, y_train, epochs=30, batch_size=32)
print("final {:.4f}".format((predict(net, X_test) == y_test).double().mean().item()))
