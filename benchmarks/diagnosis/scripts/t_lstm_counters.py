"""Train an LSTM to say which of four symbols prevails in a sequence.

style: custom Dataset, functions, generated sequences
faults: gradients-clipped-too-hard, wrong-mode, data-not-shuffled
"""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset

SYMBOLS, LENGTH = 4, 12


class Sequences(Dataset):
    """The same number of sequences for each answer."""

    def __init__(self, per_symbol):
        tokens = []
        for symbol in range(SYMBOLS):
            block = torch.randint(0, SYMBOLS, (per_symbol, LENGTH))
            block[torch.rand(per_symbol, LENGTH) < 0.45] = symbol
            tokens.append(block)
        self.tokens = torch.cat(tokens)
        self.answer = torch.arange(SYMBOLS).repeat_interleave(per_symbol)

    def __len__(self):
        return len(self.answer)

    def __getitem__(self, i):
        return self.tokens[i], self.answer[i]


class Counter(nn.Module):
    def __init__(self, dim=12, hidden=32):
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, dim)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)
        self.norm = nn.BatchNorm1d(hidden)
        self.out = nn.Linear(hidden, SYMBOLS)

    def forward(self, tokens):
        _, (h, _) = self.lstm(self.embedding(tokens))
        return self.out(self.norm(h[-1]))


def train(model, loader, epochs=15, lr=0.5, clip=1e-3):  # faulty: gradients-clipped-too-hard
def train(model, loader, epochs=15, lr=0.5, clip=1.0):  # fixed
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    model.train()
    for epoch in range(epochs):
        for tokens, answer in loader:
            loss = nn.functional.cross_entropy(model(tokens), answer)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)  # near: gradients-clipped-too-hard
            optimizer.step()
        if epoch % 3 == 2:
            print(f"epoch {epoch + 1} loss {loss.item():.4f}")


@torch.no_grad()
def evaluate(model, dataset):
    model.eval()  # fixed: wrong-mode
    loader = DataLoader(dataset, batch_size=50)
    hits = [(model(tokens).argmax(1) == answer).sum().item() for tokens, answer in loader]
    return sum(hits) / len(dataset)


torch.manual_seed(0)
train_set, test_set = Sequences(400), Sequences(150)
model = Counter()
train(model, DataLoader(train_set, batch_size=32))  # faulty: data-not-shuffled
train(model, DataLoader(train_set, batch_size=32, shuffle=True))  # fixed
print(f"final {evaluate(model, test_set):.4f}")
