"""Train a bag-of-embeddings classifier on sentences made of topic words.

style: vocabulary, custom collate function
faults: none
"""
import random

import torch
from torch import nn
from torch.utils.data import DataLoader

random.seed(0)
torch.manual_seed(0)

TOPICS = {
    "sport": "ball goal team match coach league score win player season stadium cup".split(),
    "food": "salt oven bake sauce pepper dish taste kitchen bread cheese soup recipe".split(),
    "space": "orbit star moon rocket planet probe comet telescope galaxy launch mars sun".split(),
    "money": "bank stock market price trade bond profit loan tax fund share rate".split(),
}
FILLER = "the a of and to in it was on for with as they he she at by from this that".split()
NAMES = list(TOPICS)
VOCAB = {w: i for i, w in enumerate(sorted({w for ws in TOPICS.values() for w in ws} | set(FILLER)))}


def sentence():
    label = random.randrange(len(NAMES))
    words = random.choices(FILLER, k=random.randint(6, 14))
    words += random.choices(TOPICS[NAMES[label]], k=random.randint(2, 4))
    words += random.choices(TOPICS[random.choice(NAMES)], k=1)
    random.shuffle(words)
    return [VOCAB[w] for w in words], label


def collate(rows):
    flat = torch.tensor([w for words, _ in rows for w in words])
    lengths = torch.tensor([0] + [len(words) for words, _ in rows[:-1]])
    return flat, lengths.cumsum(0), torch.tensor([label for _, label in rows])


class TextClassifier(nn.Module):
    def __init__(self, words, dim, classes):
        super().__init__()
        self.embedding = nn.EmbeddingBag(words, dim, mode="mean")
        self.fc = nn.Linear(dim, classes)

    def forward(self, words, offsets):
        return self.fc(self.embedding(words, offsets))


train = [sentence() for _ in range(2000)]
test = [sentence() for _ in range(500)]
loader = DataLoader(train, batch_size=32, shuffle=True, collate_fn=collate)
model = TextClassifier(len(VOCAB), 24, len(NAMES))
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for epoch in range(15):
    total = 0.0
    for words, offsets, labels in loader:
        loss = nn.functional.cross_entropy(model(words, offsets), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"epoch {epoch + 1} loss {total / len(loader):.4f}")

words, offsets, labels = collate(test)
with torch.no_grad():
    print("final", (model(words, offsets).argmax(1) == labels).float().mean().item())
