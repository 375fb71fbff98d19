"""Train an autoencoder that squeezes handwritten digits through sixteen numbers.

style: module with encode and decode, main guard
faults: none
"""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits


class AutoEncoder(nn.Module):
    def __init__(self, size=64, hidden=128, code=16):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, code))
        self.decoder = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, size), nn.Sigmoid())

    def encode(self, x):
        return self.encoder(x)

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x):
        return self.decode(self.encode(x))


def main():
    torch.manual_seed(17)
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 16.0
    x = x[torch.randperm(len(x))]
    train, test = x[:1400], x[1400:]

    model = AutoEncoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()
    for epoch in range(60):
        total = 0.0
        for idx in torch.randperm(len(train)).split(64):
            batch = train[idx]
            loss = loss_fn(model(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        if epoch % 15 == 14:
            print(f"epoch {epoch + 1}: reconstruction error {total / len(train):.5f}")

    with torch.no_grad():
        error = (model(test) - test).pow(2).sum()
        spread = (test - train.mean(0)).pow(2).sum()
    print(f"final {1 - (error / spread).item():.4f}")


if __name__ == "__main__":
    main()
