"""Train a residual network of twenty blocks on a five-class problem.

style: modules, main guard
faults: none
"""
import torch
import torch.nn as nn
from sklearn.datasets import make_classification


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, x):
        return x + self.fc2(torch.relu(self.fc1(self.norm(x))))


class ResidualMLP(nn.Module):
    def __init__(self, inputs, width, depth, classes):
        super().__init__()
        self.stem = nn.Linear(inputs, width)
        self.blocks = nn.Sequential(*[Block(width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.stem(x))))


def main():
    torch.manual_seed(9)
    x, y = make_classification(n_samples=2400, n_features=20, n_informative=12, n_redundant=4,
                               n_classes=5, class_sep=2.0, flip_y=0.0, random_state=3)
    x = torch.tensor(x, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    y = torch.tensor(y)
    x_train, y_train, x_test, y_test = x[:1800], y[:1800], x[1800:], y[1800:]

    model = ResidualMLP(20, 32, 20, 5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    for epoch in range(12):
        model.train()
        losses = []
        for idx in torch.randperm(len(x_train)).split(64):
            loss = nn.functional.cross_entropy(model(x_train[idx]), y_train[idx])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            acc = (model(x_test).argmax(-1) == y_test).float().mean().item()
        print(f"epoch {epoch} loss {sum(losses) / len(losses):.4f} accuracy {acc:.4f}")
    print(f"final {acc:.4f}")


if __name__ == "__main__":
    main()
