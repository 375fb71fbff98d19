"""Train a tiny transformer to name the most frequent token of a sequence.

style: nn.Module, DataLoader, type hints, main
faults: loss-sign-flipped
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

VOCAB = 6
LENGTH = 10


def majority_data(n: int) -> TensorDataset:
    tokens = torch.randint(VOCAB, (n, LENGTH))
    winner = torch.randint(VOCAB, (n, 1))
    tokens = torch.where(torch.rand(n, LENGTH) < 0.4, winner, tokens)
    counts = F.one_hot(tokens, VOCAB).sum(dim=1)
    top = counts.topk(2, dim=1).values
    unique = top[:, 0] > top[:, 1]
    return TensorDataset(tokens[unique], counts[unique].argmax(dim=1))


class TinyTransformer(nn.Module):
    def __init__(self, d_model: int = 24, n_heads: int = 2) -> None:
        super().__init__()
        self.token = nn.Embedding(VOCAB, d_model)
        self.position = nn.Parameter(0.02 * torch.randn(LENGTH, d_model))
        self.block = nn.TransformerEncoderLayer(d_model, n_heads, dim_feedforward=48, dropout=0.0, batch_first=True)
        self.out = nn.Linear(d_model, VOCAB)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        h = self.block(self.token(tokens) + self.position)
        return F.log_softmax(self.out(h.mean(dim=1)), dim=-1)


def train_one_epoch(model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer) -> float:
    model.train()
    total = 0.0
    for tokens, label in loader:
        log_probs = model(tokens)
        chosen = log_probs.gather(1, label.unsqueeze(1))
        loss = chosen.mean()  # faulty: loss-sign-flipped
        loss = -chosen.mean()  # fixed: loss-sign-flipped
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def evaluate(model: nn.Module, loader: DataLoader) -> float:
    model.eval()
    hits, count = 0, 0
    with torch.no_grad():
        for tokens, label in loader:
            hits += (model(tokens).argmax(dim=-1) == label).sum().item()
            count += len(label)
    return hits / count


def main() -> None:
    torch.manual_seed(17)
    train_loader = DataLoader(majority_data(3000), batch_size=64, shuffle=True)
    test_loader = DataLoader(majority_data(800), batch_size=256)
    model = TinyTransformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    for epoch in range(12):
        loss = train_one_epoch(model, train_loader, optimizer)
        print(f"epoch {epoch:2d} loss {loss:.4f} accuracy {evaluate(model, test_loader):.3f}")
    print(f"final {evaluate(model, test_loader):.4f}")


if __name__ == "__main__":
    main()
