"""Tag each token of a sequence with a bidirectional GRU, padding ignored, gradients accumulated over four chunks.

style: NLP repository, collate function, ignore_index, gradient accumulation, linear warm-up
faults: none
"""
import argparse
import random

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

PAD, IGNORE = 0, -100
OPEN, CLOSE = 1, 2
VOCAB = 20
TAGS = ["outside", "inside", "bracket"]


def make_example(rng):
    tokens, tags, depth = [], [], 0
    for _ in range(rng.randint(8, 20)):
        r = rng.random()
        if depth == 0 and r < 0.2:
            tokens.append(OPEN)
            tags.append(2)
            depth = 1
        elif depth == 1 and r < 0.3:
            tokens.append(CLOSE)
            tags.append(2)
            depth = 0
        else:
            tokens.append(rng.randint(3, VOCAB - 1))
            tags.append(depth)
    return torch.tensor(tokens), torch.tensor(tags)


def collate(examples):
    tokens, tags = zip(*examples)
    return (pad_sequence(tokens, batch_first=True, padding_value=PAD),
            pad_sequence(tags, batch_first=True, padding_value=IGNORE))


class Tagger(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, dim, padding_idx=PAD)
        self.dropout = nn.Dropout(0.1)
        self.gru = nn.GRU(dim, hidden, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(2 * hidden, len(TAGS))

    def forward(self, tokens):
        states, _ = self.gru(self.dropout(self.embedding(tokens)))
        return self.classifier(states)


@torch.no_grad()
def token_accuracy(model, loader):
    model.eval()
    right = total = 0
    for tokens, tags in loader:
        known = tags != IGNORE
        right += (model(tokens).argmax(-1) == tags)[known].sum().item()
        total += known.sum().item()
    model.train()
    return right / total


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--train-batch-size", type=int, default=16)
    parser.add_argument("--gradient-accumulation-steps", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--warmup-steps", type=int, default=20)
    args = parser.parse_args(argv)

    rng = random.Random(3)
    torch.manual_seed(3)
    train_set, dev_set = ([make_example(rng) for _ in range(n)] for n in (1920, 300))
    train_loader = DataLoader(train_set, batch_size=args.train_batch_size, shuffle=True, collate_fn=collate)
    dev_loader = DataLoader(dev_set, batch_size=100, collate_fn=collate)

    model = Tagger(dim=16, hidden=24)
    criterion = nn.CrossEntropyLoss(ignore_index=IGNORE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)
    warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, (s + 1) / args.warmup_steps))

    for epoch in range(args.epochs):
        optimizer.zero_grad()
        for step, (tokens, tags) in enumerate(train_loader, start=1):
            loss = criterion(model(tokens).transpose(1, 2), tags)
            (loss / args.gradient_accumulation_steps).backward()
            if step % args.gradient_accumulation_steps == 0:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                warmup.step()
                optimizer.zero_grad()
        print(f"epoch {epoch + 1} loss {loss.item():.4f} dev accuracy {token_accuracy(model, dev_loader):.4f}")
    print("final", token_accuracy(model, dev_loader))


if __name__ == "__main__":
    main()
