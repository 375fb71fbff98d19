"""Train an embedding network to tell good reviews from bad ones.

style: functions, hand-sliced minibatches
faults: dropout-too-strong, same-batch-repeated
"""
import torch
from torch import nn

WORDS, LENGTH, BATCH, EPOCHS = 400, 16, 32, 15


def reviews(n):
    """Words 0-79 are praise, 80-159 are blame, the others say nothing."""
    tokens = torch.randint(160, WORDS, (n, LENGTH))
    label = torch.randint(0, 2, (n,))
    opinion = torch.rand(n, LENGTH) < 0.3
    honest = torch.rand(n, LENGTH) < 0.85
    side = torch.where(honest, label.unsqueeze(1), 1 - label.unsqueeze(1))
    word = torch.randint(0, 80, (n, LENGTH)) + 80 * (1 - side)
    return torch.where(opinion, word, tokens), label.float()


class ReviewNet(nn.Module):
    def __init__(self, dim=32, hidden=32):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, dim)
        self.hidden = nn.Linear(dim, hidden)
        self.dropout = nn.Dropout(0.97)  # faulty: dropout-too-strong
        self.dropout = nn.Dropout(0.2)  # fixed
        self.out = nn.Linear(hidden, 1)

    def forward(self, tokens):
        h = self.dropout(self.embedding(tokens).mean(dim=1))
        h = self.dropout(torch.relu(self.hidden(h)))
        return self.out(h).squeeze(1)


def train(model, tokens, label):
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.BCEWithLogitsLoss()
    model.train()
    for epoch in range(EPOCHS):
        order = torch.randperm(len(tokens))  # fixed
        order = torch.arange(BATCH).repeat(len(tokens) // BATCH)  # faulty: same-batch-repeated
        total = 0.0
        for start in range(0, len(order), BATCH):
            rows = order[start:start + BATCH]  # near: same-batch-repeated
            loss = criterion(model(tokens[rows]), label[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        if epoch % 3 == 2:
            print(f"epoch {epoch + 1} loss {total / len(order):.4f}")


torch.manual_seed(0)
tokens, label = reviews(2400)
test_tokens, test_label = reviews(1000)
model = ReviewNet()
train(model, tokens, label)
model.eval()
with torch.no_grad():
    hits = (model(test_tokens) > 0) == (test_label > 0.5)
print(f"final {hits.float().mean().item():.4f}")
