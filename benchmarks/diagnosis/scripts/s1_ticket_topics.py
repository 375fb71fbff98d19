"""Classify short generated token sequences by topic with an embedding model.

style: functions, hand-sliced minibatches, print
faults: parameters-not-optimized
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

N_TOPICS = 8
VOCAB = 400
LENGTH = 16
PAD = 0


def generate(n, topic_words):
    topics = torch.randint(N_TOPICS, (n,))
    background = torch.randint(1, VOCAB, (n, LENGTH))
    picks = topic_words[topics].gather(1, torch.randint(topic_words.shape[1], (n, LENGTH)))
    tokens = torch.where(torch.rand(n, LENGTH) < 0.35, picks, background)
    lengths = torch.randint(8, LENGTH + 1, (n, 1))
    tokens[torch.arange(LENGTH).unsqueeze(0) >= lengths] = PAD
    return tokens, topics


class TopicModel(nn.Module):
    def __init__(self, dim=12):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, dim, padding_idx=PAD)
        self.classifier = nn.Sequential(nn.Linear(dim, 32), nn.ReLU(), nn.Linear(32, N_TOPICS))

    def forward(self, tokens):
        mask = (tokens != PAD).unsqueeze(-1)
        pooled = (self.embedding(tokens) * mask).sum(1) / mask.sum(1)
        return self.classifier(pooled)


def train(model, tokens, topics, epochs=15, batch_size=64):
    optimizer = torch.optim.Adam(model.classifier.parameters(), lr=5e-3)  # faulty: parameters-not-optimized
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)  # fixed: parameters-not-optimized
    for epoch in range(epochs):
        model.train()
        perm = torch.randperm(len(tokens))
        total = 0.0
        for i in range(0, len(perm), batch_size):
            idx = perm[i:i + batch_size]
            logits = model(tokens[idx])
            loss = F.cross_entropy(logits, topics[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(idx)
        print("epoch %d: loss %.3f" % (epoch + 1, total / len(tokens)))


def evaluate(model, tokens, topics):
    model.eval()
    with torch.no_grad():
        return (model(tokens).argmax(1) == topics).float().mean().item()


torch.manual_seed(123)
topic_words = torch.stack([torch.randperm(VOCAB - 1)[:20] + 1 for _ in range(N_TOPICS)])
train_tokens, train_topics = generate(6000, topic_words)
test_tokens, test_topics = generate(1000, topic_words)
model = TopicModel()
train(model, train_tokens, train_topics)
print("final %.4f" % evaluate(model, test_tokens, test_topics))
