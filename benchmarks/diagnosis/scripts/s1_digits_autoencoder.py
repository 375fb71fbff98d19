"""Train an autoencoder that squeezes handwritten digits into eight numbers.

style: class model, DataLoader, type hints
faults: graph-detached
"""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset


class AutoEncoder(nn.Module):
    def __init__(self, n_inputs: int = 64, n_hidden: int = 48, n_code: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_inputs, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_code))
        self.decoder = nn.Sequential(nn.Linear(n_code, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_inputs))
        self.last_code: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        code = self.encoder(x).detach()  # faulty: graph-detached
        code = self.encoder(x)  # fixed: graph-detached
        self.last_code = code
        return self.decoder(code)


def explained(model: nn.Module, x: Tensor) -> float:
    """Share of the variance of the images that the reconstruction keeps."""
    model.eval()
    with torch.no_grad():
        error = (model(x) - x).pow(2).sum()
    return (1 - error / (x - x.mean(dim=0)).pow(2).sum()).item()


def main() -> None:
    torch.manual_seed(2)
    images = torch.tensor(load_digits().data, dtype=torch.float32) / 16.0
    images = images[torch.randperm(len(images))]
    train, test = images[:1400], images[1400:]
    center = train.mean(dim=0)
    scale = train.std()
    train, test = (train - center) / scale, (test - center) / scale

    loader = DataLoader(TensorDataset(train), batch_size=32, shuffle=True)
    model = AutoEncoder()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    for epoch in range(1, 21):
        model.train()
        total = 0.0
        for (x,) in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), x)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        if epoch % 5 == 0:
            print(f"epoch {epoch:3d} loss {total / len(train):.4f} explained {explained(model, test):.3f}")
    print(f"final {explained(model, test):.4f}")


if __name__ == "__main__":
    main()
