"""A Keras model of mine for the digits, ported layer by layer to PyTorch.

style: Keras-like Model class with compile, fit and evaluate
faults: batchnorm-misused
"""
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Model:
    """Just enough of the Keras interface for what I need."""

    def __init__(self, *layers):
        self.net = nn.Sequential(*layers)

    def compile(self, optimizer, loss):
        self.optimizer = optimizer(self.net.parameters())
        self.loss = loss

    def fit(self, x, y, batch_size=32, epochs=1, validation_data=None):
        loader = DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True)
        history = {"loss": [], "val_acc": []}
        for epoch in range(1, epochs + 1):
            self.net.train()
            seen = 0.0
            for xb, yb in loader:
                loss = self.loss(self.net(xb), yb)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                seen += loss.item() * len(yb)
            history["loss"].append(seen / len(x))
            if validation_data is not None:
                history["val_acc"].append(self.evaluate(*validation_data))
            print(f"Epoch {epoch}/{epochs} - loss: {history['loss'][-1]:.4f} - val_acc: {history['val_acc'][-1]:.4f}")
        return history

    @torch.no_grad()
    def evaluate(self, x, y):
        self.net.eval()
        return (self.net(x).argmax(1) == y).double().mean().item()


def dense_block(n_in, n_out):
    return nn.Sequential(
        nn.Linear(n_in, n_out),
        nn.BatchNorm1d(n_out, eps=1e-3, momentum=0.99),  # faulty: batchnorm-misused
        nn.BatchNorm1d(n_out, eps=1e-3, momentum=0.1),  # fixed: batchnorm-misused
        nn.ReLU(),
    )


def load():
    x, y = load_digits(return_X_y=True)
    order = np.random.RandomState(1).permutation(len(x))
    x = torch.from_numpy(x[order]).float() / 16
    y = torch.from_numpy(y[order]).long()
    return (x[:1347], y[:1347]), (x[1347:], y[1347:])


torch.manual_seed(11)
(x_train, y_train), (x_val, y_val) = load()

model = Model(
    dense_block(64, 128),
    dense_block(128, 128),
    dense_block(128, 64),
    nn.Linear(64, 10),
)
model.compile(optimizer=lambda p: torch.optim.Adam(p, lr=1e-3), loss=nn.CrossEntropyLoss())
model.fit(x_train, y_train, batch_size=64, epochs=20, validation_data=(x_val, y_val))
print(f"final {model.evaluate(x_val, y_val):.4f}")
