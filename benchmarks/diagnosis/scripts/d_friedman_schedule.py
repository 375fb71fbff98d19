"""Fit the first Friedman function with a network and a step schedule.

style: functions, type hints, main guard
faults: missing-nonlinearity, learning-rate-decays-too-soon
"""
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset
from sklearn.datasets import make_friedman1


class Regressor(nn.Module):
    def __init__(self, inputs: int, width: int = 64) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, width)
        self.fc2 = nn.Linear(width, width)
        self.fc3 = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)  # faulty: missing-nonlinearity
        x = torch.relu(self.fc1(x))  # fixed
        x = self.fc2(x)  # faulty: missing-nonlinearity
        x = torch.relu(self.fc2(x))  # fixed
        return self.fc3(x)


def standardize(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = train.mean(0), train.std(0)
    return (train - mean) / std, (test - mean) / std


def r2(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        rest = (model(x) - y).pow(2).sum()
    return 1 - (rest / (y - y.mean()).pow(2).sum()).item()


def main() -> None:
    torch.manual_seed(4)
    x, y = make_friedman1(n_samples=1500, n_features=5, noise=0.5, random_state=4)
    x, y = torch.tensor(x).float(), torch.tensor(y).float().unsqueeze(1)
    x_train, x_test = standardize(x[:1100], x[1100:])
    y_train, y_test = standardize(y[:1100], y[1100:])
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)

    model = Regressor(5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    scheduler = StepLR(optimizer, step_size=5, gamma=0.1)  # faulty: learning-rate-decays-too-soon
    scheduler = StepLR(optimizer, step_size=25, gamma=0.1)  # fixed
    for epoch in range(40):
        for xb, yb in loader:
            loss = nn.functional.mse_loss(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()  # faulty: learning-rate-decays-too-soon
        scheduler.step()  # fixed
        if epoch % 8 == 7:
            print(f"epoch {epoch + 1} loss {loss.item():.4f} r2 {r2(model, x_train, y_train):.4f}")
    print(f"final {r2(model, x_test, y_test):.4f}")


if __name__ == "__main__":
    main()
