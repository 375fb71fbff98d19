"""Embedding, LSTM, packed sequences, truncated backpropagation with a state that is kept."""

import torch
from _digest import report
from torch import nn


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30, 8)
        self.lstm = nn.LSTM(8, 16, num_layers=2, dropout=0.1, batch_first=True)
        self.out = nn.Linear(16, 30)

    def forward(self, words, state=None):
        found, state = self.lstm(self.embedding(words), state)
        return self.out(found), state


torch.manual_seed(13)
text = torch.randint(0, 30, (8, 121))
net, state = Reader(), None
optimizer = torch.optim.Adam(net.parameters(), 1e-2)
for _ in range(3):
    state = None
    for first in range(0, 120, 10):
        optimizer.zero_grad()
        scores, state = net(text[:, first : first + 10], state)
        wanted = text[:, first + 1 : first + 11]
        loss = nn.functional.cross_entropy(scores.transpose(1, 2), wanted)
        loss.backward()
        nn.utils.clip_grad_value_(net.parameters(), 0.1)
        optimizer.step()
        state = tuple(item.detach() for item in state)
report(net, optimizer)
