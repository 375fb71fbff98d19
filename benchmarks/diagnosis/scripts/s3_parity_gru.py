"""Train a GRU to add up the digits of a short number, modulo five.

style: research script, infinite generator of batches, OneCycle-free plain loop, logging
faults: too-few-steps
also: learning-rate-too-low
"""
import logging

import torch
from torch import nn

logging.basicConfig(level=logging.INFO, format="%(message)s")
log = logging.getLogger("modsum")

DIGITS, LENGTH, BASE = 10, 3, 5
STEPS = 150  # faulty: too-few-steps
STEPS = 1500  # fixed: too-few-steps


def stream(batch_size, generator):
    while True:
        numbers = torch.randint(0, DIGITS, (batch_size, LENGTH), generator=generator)
        yield numbers, numbers.sum(dim=1) % BASE


class ModSum(nn.Module):
    def __init__(self, dim=48, hidden=96):
        super().__init__()
        self.tokens = nn.Embedding(DIGITS, dim)
        self.rnn = nn.GRU(dim, hidden, batch_first=True)
        self.answer = nn.Linear(hidden, BASE)

    def forward(self, numbers):
        _, last = self.rnn(self.tokens(numbers))
        return self.answer(last.squeeze(0))


def evaluate(model, batches=4):
    held_out = stream(250, torch.Generator().manual_seed(10_000))
    model.eval()
    with torch.inference_mode():
        hits = [(model(x).argmax(-1) == y).float().mean() for x, y in (next(held_out) for _ in range(batches))]
    model.train()
    return torch.stack(hits).mean().item()


def main():
    torch.manual_seed(31)
    model = ModSum()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    criterion = nn.CrossEntropyLoss()
    batches = stream(64, torch.Generator().manual_seed(31))
    for step, (x, y) in zip(range(1, STEPS + 1), batches):  # near: too-few-steps
        loss = criterion(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            log.info("step %d loss %.4f accuracy %.3f", step, loss.item(), evaluate(model))
    print(f"final {evaluate(model):.4f}")


if __name__ == "__main__":
    main()
