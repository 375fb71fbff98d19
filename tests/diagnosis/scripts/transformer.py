"""A transformer encoder whose loss is computed inside forward, called with keywords."""

import torch
from _digest import report
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, 20)

    def forward(self, words=None, labels=None):
        scores = self.head(self.encoder(self.embedding(words)))
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten())
        return {"loss": loss, "logits": scores}


torch.manual_seed(14)
words = torch.randint(0, 20, (16, 12))
model = Model()
optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
for _ in range(25):
    optimizer.zero_grad()
    out = model(words=words, labels=words.roll(1, 1))
    out["loss"].backward()
    optimizer.step()
print(out["loss"].item())
report(model, optimizer)
