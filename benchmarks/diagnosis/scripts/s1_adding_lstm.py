"""Train an LSTM on the adding problem: sum the two marked numbers of a sequence.

style: functions, data generated on the fly, type hints
faults: too-few-steps
"""
import torch
from torch import Tensor, nn

LENGTH = 12
BATCH = 64
STEPS = 25  # faulty: too-few-steps
STEPS = 1500  # fixed: too-few-steps


def sample(n: int) -> tuple[Tensor, Tensor]:
    values = torch.rand(n, LENGTH) * 2 - 1
    marks = torch.zeros(n, LENGTH)
    left = torch.randint(0, LENGTH // 2, (n, 1))
    right = torch.randint(LENGTH // 2, LENGTH, (n, 1))
    marks.scatter_(1, left, 1.0).scatter_(1, right, 1.0)
    target = (values * marks).sum(dim=1, keepdim=True)
    return torch.stack([values, marks], dim=-1), target


class Adder(nn.Module):
    def __init__(self, hidden: int = 32):
        super().__init__()
        self.lstm = nn.LSTM(input_size=2, hidden_size=hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.lstm(x)
        return self.head(output[:, -1])


def r_squared(model: nn.Module, x: Tensor, y: Tensor) -> float:
    model.eval()
    with torch.no_grad():
        residual = (model(x) - y).pow(2).sum()
    model.train()
    return (1 - residual / (y - y.mean()).pow(2).sum()).item()


def main() -> None:
    torch.manual_seed(11)
    model = Adder()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    x_test, y_test = sample(1000)
    for step in range(1, STEPS + 1):  # near: too-few-steps
        x, y = sample(BATCH)
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 25 == 0:
            print(f"step {step} loss {loss.item():.4f}")
    print(f"final {r_squared(model, x_test, y_test):.4f}")


if __name__ == "__main__":
    main()
