"""Sentiment of made-up sentences: an embedding, a GRU and a linear layer.

style: embedding, GRU, generated tokens, DataLoader
faults: same-batch-repeated
also: data-not-shuffled
"""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

VOCAB = 200
LENGTH = 12
EPOCHS = 10


def sentences(n, mood):
    """Each word has a mood; a sentence is good if its moods add up to more than nothing."""
    words = torch.randint(0, VOCAB, (n, LENGTH))
    return words, (mood[words].sum(1) > 0).float()


class SentimentGRU(nn.Module):
    def __init__(self, embedding_dim=16, hidden_dim=32):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, embedding_dim)
        self.gru = nn.GRU(embedding_dim, hidden_dim, batch_first=True)
        self.fc = nn.Linear(hidden_dim, 1)

    def forward(self, text):
        embedded = self.embedding(text)
        _, hidden = self.gru(embedded)
        return self.fc(hidden[-1]).squeeze(1)


torch.manual_seed(25)
mood = torch.randn(VOCAB)
train_loader = DataLoader(TensorDataset(*sentences(3000, mood)), batch_size=50)  # near: same-batch-repeated
test_words, test_labels = sentences(600, mood)

model = SentimentGRU()
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.005)

for epoch in range(EPOCHS):
    epoch_loss = 0.0
    for i in range(len(train_loader)):  # faulty: same-batch-repeated
        text, label = next(iter(train_loader))  # faulty: same-batch-repeated
    for text, label in train_loader:  # fixed: same-batch-repeated
        optimizer.zero_grad()
        prediction = model(text)  # near: same-batch-repeated
        loss = criterion(prediction, label)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()

    with torch.no_grad():
        test_accuracy = ((model(test_words) > 0).float() == test_labels).float().mean().item()
    print(f"Epoch: {epoch + 1:02} | Train Loss: {epoch_loss / len(train_loader):.4f} | Test Acc: {test_accuracy * 100:.2f}%")

print("final", test_accuracy)
