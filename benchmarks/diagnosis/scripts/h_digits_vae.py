"""Train a variational autoencoder on handwritten digits and reconstruct held-out ones.

style: research script, VAE with reparametrisation, BCE summed over pixels, KL warm-up
faults: none
"""
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class VAE(nn.Module):
    def __init__(self, pixels=64, hidden=128, latent=10):
        super().__init__()
        self.enc = nn.Linear(pixels, hidden)
        self.mu = nn.Linear(hidden, latent)
        self.logvar = nn.Linear(hidden, latent)
        self.dec1 = nn.Linear(latent, hidden)
        self.dec2 = nn.Linear(hidden, pixels)

    def encode(self, x):
        h = F.relu(self.enc(x))
        return self.mu(h), self.logvar(h)

    def reparameterize(self, mu, logvar):
        if not self.training:
            return mu
        return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)

    def decode(self, z):
        return self.dec2(F.relu(self.dec1(z)))

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def elbo_loss(logits, x, mu, logvar, beta):
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return (bce + beta * kld) / len(x)


torch.manual_seed(0)
x = torch.tensor(load_digits().data, dtype=torch.float32) / 16
x = x[torch.randperm(len(x))]
x_train, x_test = x[:1500], x[1500:]
model = VAE()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

for epoch in range(60):
    model.train()
    beta = min(1.0, (epoch + 1) / 20) * 0.3
    total = 0.0
    for batch in x_train[torch.randperm(len(x_train))].split(64):
        optimizer.zero_grad()
        logits, mu, logvar = model(batch)
        loss = elbo_loss(logits, batch, mu, logvar, beta)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    if epoch % 10 == 9:
        print(f"====> Epoch: {epoch + 1} average loss: {total / len(x_train):.3f}")

model.eval()
with torch.no_grad():
    image = torch.sigmoid(model(x_test)[0])
explained = 1 - (image - x_test).pow(2).sum() / (x_test - x_train.mean(0)).pow(2).sum()
print(f"final {explained.item():.4f}")
