"""Train a network of maxout, ELU and leaky ReLU layers on handwritten digits.

style: custom layer, script
faults: none
"""
import torch
from torch import nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split


class Maxout(nn.Module):
    def __init__(self, n_in, n_out, pieces=3):
        super().__init__()
        self.shape = (n_out, pieces)
        self.linear = nn.Linear(n_in, n_out * pieces)

    def forward(self, x):
        return self.linear(x).view(-1, *self.shape).amax(dim=2)


torch.manual_seed(40)
x, y = load_digits(return_X_y=True)
x = torch.tensor(x, dtype=torch.float32)
x = (x - 4.9) / 6.0
dataset = TensorDataset(x, torch.tensor(y))
train, test = random_split(dataset, [1300, len(dataset) - 1300])
loader = DataLoader(train, batch_size=64, shuffle=True)

model = nn.Sequential(
    Maxout(64, 48),
    nn.Linear(48, 48), nn.ELU(),
    nn.Linear(48, 32), nn.LeakyReLU(0.1),
    nn.Linear(32, 10),
)
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
criterion = nn.CrossEntropyLoss()
for epoch in range(40):
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1} loss {loss.item():.4f}")

inputs, labels = test[:]
with torch.no_grad():
    accuracy = (model(inputs).argmax(1) == labels).float().mean().item()
print("final", accuracy)
