"""Train a deep network on a generated classification table.

style: class model, DataLoader, type hints, no seed fixed
faults: initialization-too-small
"""
import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset


class DeepClassifier(nn.Module):
    def __init__(self, n_features: int, n_classes: int, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size = n_features
        for _ in range(depth):
            layers += [nn.Linear(size, width), nn.ReLU()]
            size = width
        layers.append(nn.Linear(size, n_classes))
        self.net = nn.Sequential(*layers)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in self.net:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=1e-3)  # faulty: initialization-too-small
                nn.init.normal_(layer.weight, std=(2 / layer.in_features) ** 0.5)  # fixed: initialization-too-small
                nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def get_loaders(batch_size: int) -> tuple[DataLoader, DataLoader]:
    x, y = make_classification(n_samples=3000, n_features=20, n_informative=8, n_classes=4,
                               n_clusters_per_class=2, class_sep=1.5, shuffle=True, random_state=77)
    x = StandardScaler().fit(x[:2400]).transform(x)
    xt, yt = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    train = DataLoader(TensorDataset(xt[:2400], yt[:2400]), batch_size=batch_size, shuffle=True)
    test = DataLoader(TensorDataset(xt[2400:], yt[2400:]), batch_size=600)
    return train, test


def evaluate(model: nn.Module, loader: DataLoader) -> float:
    model.eval()
    correct = 0
    with torch.no_grad():
        for x, y in loader:
            correct += int((model(x).argmax(dim=1) == y).sum())
    return correct / len(loader.dataset)


def main() -> None:
    train_loader, test_loader = get_loaders(batch_size=48)
    model = DeepClassifier(n_features=20, n_classes=4)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for epoch in range(25):
        model.train()
        losses = []
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1:02d} | loss {sum(losses) / len(losses):.4f}")
    print(f"final {evaluate(model, test_loader):.4f}")


if __name__ == "__main__":
    main()
