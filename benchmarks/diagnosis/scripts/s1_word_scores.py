"""Learn how much every word adds to the score of a document (generated words with Zipf frequencies).

style: dataclass config, EmbeddingBag, hand-sliced minibatches
faults: optimizer-unsuited
also: too-few-steps
"""
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Settings:
    vocabulary: int = 3000
    words: int = 40
    common: int = 200
    documents: int = 8000
    held_out: int = 1000
    dim: int = 16
    batch: int = 50
    epochs: int = 10


S = Settings()


def make_documents():
    """Common words carry no score, every other word a fixed one."""
    frequency = 1.0 / torch.arange(1, S.vocabulary + 1)
    words = torch.multinomial(frequency / frequency.sum(), S.documents * S.words, replacement=True)
    words = words.view(S.documents, S.words)
    worth = torch.randn(S.vocabulary)
    worth[:S.common] = 0.0
    score = worth[words].sum(dim=1)
    return words, (score - score.mean()) / score.std()


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.EmbeddingBag(S.vocabulary, S.dim, mode="sum")
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.linear = nn.Linear(S.dim, 1)

    def forward(self, words):
        return self.linear(self.embedding(words)).squeeze(1)


def r2(model, words, score):
    model.eval()
    with torch.no_grad():
        error = (model(words) - score).square().sum()
    return 1.0 - (error / (score - score.mean()).square().sum()).item()


def main():
    torch.manual_seed(20)
    words, score = make_documents()
    test_words, test_score = words[:S.held_out], score[:S.held_out]
    words, score = words[S.held_out:], score[S.held_out:]
    model = Scorer()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)  # faulty: optimizer-unsuited
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)  # fixed: optimizer-unsuited
    for epoch in range(S.epochs):
        model.train()
        losses = []
        for rows in torch.randperm(len(words)).split(S.batch):
            optimizer.zero_grad()
            loss = loss_fn(model(words[rows]), score[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"{epoch:2d} mse {sum(losses) / len(losses):.4f} held-out r2 {r2(model, test_words, test_score):.3f}")
    print(f"final {r2(model, test_words, test_score):.4f}")


if __name__ == "__main__":
    main()
