"""Forecast the next value of a noisy sine with an LSTM.

style: beginner class, TensorDataset
faults: learning-rate-too-low
"""
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

np.random.seed(0)
torch.manual_seed(0)

SEQ_LEN = 20


def create_sequences(series, seq_len):
    xs, ys = [], []
    for i in range(len(series) - seq_len):
        xs.append(series[i:i + seq_len])
        ys.append(series[i + seq_len])
    xs = torch.tensor(np.array(xs), dtype=torch.float32).unsqueeze(-1)
    ys = torch.tensor(np.array(ys), dtype=torch.float32).unsqueeze(-1)
    return xs, ys


class LSTMModel(nn.Module):
    def __init__(self, input_size=1, hidden_size=24):
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.fc = nn.Linear(hidden_size, 1)

    def forward(self, x):
        out, (h_n, c_n) = self.lstm(x)
        return self.fc(out[:, -1, :])


t = np.arange(1200)
series = np.sin(0.25 * t) + 0.1 * np.random.randn(len(t))
x, y = create_sequences(series, SEQ_LEN)
x_train, y_train, x_test, y_test = x[:900], y[:900], x[900:], y[900:]
loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)

model = LSTMModel()
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-6)  # faulty: learning-rate-too-low
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)  # fixed: learning-rate-too-low

for epoch in range(15):
    model.train()
    losses = []
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    print(f"Epoch {epoch + 1}/15 Loss: {np.mean(losses):.6f}")

model.eval()
with torch.no_grad():
    pred = model(x_test)
r2 = 1 - ((y_test - pred) ** 2).sum() / ((y_test - y_test.mean()) ** 2).sum()
print("final", r2.item())
