"""Guess the language of a made-up surname from its letters.

style: PyTorch tutorial with helper functions, GRU over padded characters, NLLLoss
faults: loss-not-averaged
also: learning-rate-too-high, exploding-gradients, optimizer-unsuited
"""
import random
import string

import torch
import torch.nn as nn
from torch.nn.utils.rnn import pad_sequence

random.seed(99)
torch.manual_seed(99)

LETTERS = " " + string.ascii_lowercase
SYLLABLES = {
    "avi": (["ka", "ro", "mi", "ta", "vel"], ["ini", "ova", "eli"]),
    "born": (["stor", "lund", "berg", "hav", "ek"], ["sen", "strom", "dal"]),
    "chan": (["li", "wu", "xia", "zhen", "mei"], ["ng", "ao", "ing"]),
    "dov": (["petr", "iv", "kuz", "mikh", "sok"], ["ov", "sky", "enko"]),
    "elk": (["mac", "fitz", "o", "kil", "dun"], ["ley", "gan", "more"]),
}
LANGUAGES = sorted(SYLLABLES)


def random_name():
    language = random.choice(LANGUAGES)
    stems, endings = SYLLABLES[language]
    own = random.random() < 0.3
    ending = random.choice(endings if own else [e for _, es in SYLLABLES.values() for e in es])
    return "".join(random.choices(stems, k=2)) + ending, LANGUAGES.index(language)


def encode(name):
    return torch.tensor([LETTERS.index(c) for c in name])


def random_batch(size):
    pairs = [random_name() for _ in range(size)]
    lengths = torch.tensor([len(name) for name, _ in pairs])
    return pad_sequence([encode(name) for name, _ in pairs], batch_first=True), lengths, torch.tensor([c for _, c in pairs])


class NameClassifier(nn.Module):
    def __init__(self, hidden_size=32):
        super().__init__()
        self.embed = nn.Embedding(len(LETTERS), 12)
        self.gru = nn.GRU(12, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, len(LANGUAGES))
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, names, lengths):
        states, _ = self.gru(self.embed(names))
        last = states[torch.arange(len(names)), lengths - 1]
        return self.softmax(self.out(last))


rnn = NameClassifier()
criterion = nn.NLLLoss(reduction="sum")  # faulty: loss-not-averaged
criterion = nn.NLLLoss(reduction="mean")  # fixed: loss-not-averaged
optimizer = torch.optim.SGD(rnn.parameters(), lr=0.3, momentum=0.9)


def train_step(names, lengths, categories):
    optimizer.zero_grad()
    loss = criterion(rnn(names, lengths), categories)  # near: loss-not-averaged
    loss.backward()
    optimizer.step()
    return loss.item()


def accuracy(n=1000):
    names, lengths, categories = random_batch(n)
    with torch.no_grad():
        return (rnn(names, lengths).argmax(1) == categories).float().mean().item()


current = 0.0
for iteration in range(1, 801):
    current += train_step(*random_batch(32))
    if iteration % 100 == 0:
        print(f"{iteration:5d} loss {current / 100:8.4f}  accuracy {accuracy(300):.3f}")
        current = 0.0

print("final", accuracy())
