"""Train a tiny transformer to find the most frequent symbol of a sequence, with a warm-up of the rate.

style: module, LambdaLR, steps instead of epochs
faults: none
"""
import torch
from torch import nn

VOCAB, LENGTH, DIM, STEPS, WARMUP = 6, 15, 32, 450, 80
torch.manual_seed(10)


def sample(n):
    tokens = torch.randint(0, VOCAB, (n, LENGTH))
    favourite = torch.randint(0, VOCAB, (n, 1))
    tokens = torch.where(torch.rand(n, LENGTH) < 0.35, favourite, tokens)
    counts = nn.functional.one_hot(tokens, VOCAB).sum(1).float()
    return tokens, (counts - 0.01 * torch.arange(VOCAB)).argmax(1)


class TinyTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, DIM)
        self.position = nn.Parameter(torch.randn(1, LENGTH, DIM) * 0.02)
        layer = nn.TransformerEncoderLayer(DIM, nhead=4, dim_feedforward=64, dropout=0.0,
                                           batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Linear(DIM, VOCAB)

    def forward(self, tokens):
        h = self.encoder(self.embed(tokens) + self.position)
        return self.head(self.norm(h.mean(1)))


def rate(step):
    if step < WARMUP:
        return (step + 1) / WARMUP
    return max(0.05, (STEPS - step) / (STEPS - WARMUP))


model = TinyTransformer()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
for step in range(STEPS):
    tokens, label = sample(64)
    loss = nn.functional.cross_entropy(model(tokens), label)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    scheduler.step()
    if step % 50 == 0:
        print(f"step {step:4d} loss {loss.item():.4f} lr {scheduler.get_last_lr()[0]:.5f}")

model.eval()
with torch.no_grad():
    tokens, label = sample(2000)
    print("final", round((model(tokens).argmax(1) == label).float().mean().item(), 4))
