"""Train a classifier on scikit-learn's breast cancer data.

style: functions, TensorDataset, print
faults: loss-unsuited
"""
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def load_data():
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, stratify=y, random_state=1)
    scaler = StandardScaler()
    x_train = scaler.fit_transform(x_train)
    x_test = scaler.transform(x_test)

    def as_dataset(a, b):
        return TensorDataset(torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32).unsqueeze(1))

    return as_dataset(x_train, y_train), as_dataset(x_test, y_test)


def build_model(n_features):
    return nn.Sequential(
        nn.Linear(n_features, 32),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(32, 16),
        nn.ReLU(),
        nn.Linear(16, 1),
    )


def train(model, dataset, epochs=60):
    loader = DataLoader(dataset, batch_size=16, shuffle=True)
    criterion = nn.CrossEntropyLoss()  # faulty: loss-unsuited
    criterion = nn.BCEWithLogitsLoss()  # fixed: loss-unsuited
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(epochs):
        model.train()
        epoch_loss = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item()
        if epoch % 10 == 0:
            print(f"Epoch {epoch}: {epoch_loss / len(loader):.5f}")


def accuracy(model, dataset):
    model.eval()
    x, y = dataset.tensors
    with torch.no_grad():
        predicted = (model(x) > 0).float()
    return (predicted == y).float().mean().item()


if __name__ == "__main__":
    torch.manual_seed(1)
    train_set, test_set = load_data()
    net = build_model(train_set.tensors[0].shape[1])
    train(net, train_set)
    print(f"final {accuracy(net, test_set):.4f}")
