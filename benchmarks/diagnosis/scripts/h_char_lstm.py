"""Train a character-level language model on sentences of a small grammar.

style: char-rnn, stateful LSTM with truncated backpropagation, SGD-like chunks, gradient clipping
faults: none
"""
import random

import torch
import torch.nn as nn

random.seed(5)
torch.manual_seed(5)

ARTICLES = ["the", "a"]
ADJECTIVES = ["old", "quick", "green", "silent"]
NOUNS = ["fox", "river", "machine", "teacher"]
VERBS = ["sees", "follows", "builds", "hears"]


def sentence():
    noun_phrase = lambda: f"{random.choice(ARTICLES)} {random.choice(ADJECTIVES)} {random.choice(NOUNS)}"
    return f"{noun_phrase()} {random.choice(VERBS)} {noun_phrase()}. "


text = "".join(sentence() for _ in range(1200))
chars = sorted(set(text))
stoi = {c: i for i, c in enumerate(chars)}
data = torch.tensor([stoi[c] for c in text])
cut = int(0.9 * len(data))
print("characters:", len(data), "vocabulary:", len(chars))


class CharLSTM(nn.Module):
    def __init__(self, vocab, emb=24, hidden=96):
        super().__init__()
        self.emb = nn.Embedding(vocab, emb)
        self.lstm = nn.LSTM(emb, hidden, batch_first=True)
        self.head = nn.Linear(hidden, vocab)

    def forward(self, tokens, state=None):
        out, state = self.lstm(self.emb(tokens), state)
        return self.head(out), state


def streams(tokens, lanes):
    n = (len(tokens) - 1) // lanes
    return tokens[:n * lanes].view(lanes, n), tokens[1:n * lanes + 1].view(lanes, n)


model = CharLSTM(len(chars))
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
criterion = nn.CrossEntropyLoss()
inputs, targets = streams(data[:cut], lanes=20)
BPTT = 32
for epoch in range(4):
    state = None
    total, chunks = 0.0, 0
    for t in range(0, inputs.shape[1] - BPTT, BPTT):
        if state is not None:
            state = tuple(s.detach() for s in state)
        logits, state = model(inputs[:, t:t + BPTT], state)
        loss = criterion(logits.flatten(0, 1), targets[:, t:t + BPTT].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        total, chunks = total + loss.item(), chunks + 1
    print(f"epoch {epoch + 1} | bits per character {total / chunks / 0.6931:.3f}")

with torch.no_grad():
    held_in, held_out = streams(data[cut:], lanes=4)
    logits, _ = model(held_in)
    accuracy = (logits.argmax(-1) == held_out).float().mean().item()

    c, state, sample = stoi["t"], None, "t"
    for _ in range(60):
        logits, state = model(torch.tensor([[c]]), state)
        c = torch.distributions.Categorical(logits=logits[0, -1]).sample().item()
        sample += chars[c]
print(sample)
print("final", accuracy)
