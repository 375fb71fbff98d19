"""Train a plain RNN to find which third of a short sequence holds the largest value.

style: Trainer class, type hints, config dict
faults: gradients-clipped-too-hard
also: optimizer-unsuited, learning-rate-too-low
"""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

config = {
    "length": 9,
    "hidden": 48,
    "lr": 0.05,
    "momentum": 0.9,
    "epochs": 30,
    "batch_size": 64,
    "max_norm": 1e-3,  # faulty: gradients-clipped-too-hard
    "max_norm": 1.0,  # fixed: gradients-clipped-too-hard
}


def peaks(n: int, length: int) -> TensorDataset:
    x = torch.randn(n, length, 1)
    y = x.squeeze(-1).argmax(dim=1) // (length // 3)
    return TensorDataset(x, y)


class PeakRNN(nn.Module):
    def __init__(self, hidden: int, classes: int = 3) -> None:
        super().__init__()
        self.rnn = nn.RNN(1, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(x)
        return self.fc(out[:, -1])


class Trainer:
    def __init__(self, model: nn.Module, cfg: dict) -> None:
        self.model = model
        self.cfg = cfg
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(model.parameters(), lr=cfg["lr"], momentum=cfg["momentum"])

    def train_step(self, x: torch.Tensor, y: torch.Tensor) -> float:
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.cfg["max_norm"])  # near: gradients-clipped-too-hard
        self.optimizer.step()
        return loss.item()

    def fit(self, loader: DataLoader) -> None:
        for epoch in range(self.cfg["epochs"]):
            self.model.train()
            losses = [self.train_step(x, y) for x, y in loader]
            if epoch % 5 == 4:
                print(f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.4f}")

    @torch.no_grad()
    def accuracy(self, loader: DataLoader) -> float:
        self.model.eval()
        hits = [(self.model(x).argmax(1) == y).float() for x, y in loader]
        return torch.cat(hits).mean().item()


if __name__ == "__main__":
    torch.manual_seed(9)
    train_loader = DataLoader(peaks(3000, config["length"]), batch_size=config["batch_size"], shuffle=True)
    test_loader = DataLoader(peaks(1000, config["length"]), batch_size=500)
    trainer = Trainer(PeakRNN(config["hidden"]), config)
    trainer.fit(train_loader)
    print(f"final {trainer.accuracy(test_loader):.4f}")
