"""Train a small model to predict the next token of generated text.

style: functions, nn.Module, hand-sliced minibatches, logging
faults: loss-expects-logits
also: optimizer-unsuited
"""
import logging

import torch
from torch import nn

logging.basicConfig(level=logging.INFO, format="%(message)s")

VOCAB, CONTEXT, DIM = 150, 2, 24


class NextToken(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, DIM)
        self.body = nn.Sequential(
            nn.Linear(CONTEXT * DIM, 128),
            nn.ReLU(),
            nn.Linear(128, VOCAB),
            nn.Softmax(dim=-1),  # faulty: loss-expects-logits
        )

    def forward(self, tokens):
        return self.body(self.embed(tokens).flatten(1))


def write_text(length):
    """Every token follows from the two before it, except for one in ten, which is random."""
    first, second = torch.randperm(VOCAB).tolist(), torch.randperm(VOCAB).tolist()
    surprise = torch.rand(length) < 0.1
    noise = torch.randint(VOCAB, (length,))
    text = [0, 1]
    for i in range(2, length):
        follow = first[text[-1]] if text[-2] % 2 else second[text[-1]]
        text.append(noise[i].item() if surprise[i] else follow)
    return torch.tensor(text)


def windows(text):
    view = text.unfold(0, CONTEXT + 1, 1)
    return view[:, :CONTEXT], view[:, CONTEXT]


def main():
    torch.manual_seed(31)
    text = write_text(12000)
    x_train, y_train = windows(text[:10000])
    x_test, y_test = windows(text[10000:])
    model = NextToken()
    criterion = nn.CrossEntropyLoss()  # near: loss-expects-logits
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(10):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(x_train)).split(64):
            optimizer.zero_grad()
            loss = criterion(model(x_train[rows]), y_train[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        logging.info("epoch %d loss %.4f", epoch, total / len(x_train))
    model.eval()
    with torch.no_grad():
        accuracy = (model(x_test).argmax(dim=-1) == y_test).float().mean().item()
    print(f"final {accuracy:.4f}")


if __name__ == "__main__":
    main()
