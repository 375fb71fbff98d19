"""Forecast tomorrow's demand for electricity from the last two weeks.

style: time-series tutorial, sliding windows in NumPy, LSTM, sklearn r2_score
faults: output-activation-wrong
"""
import numpy as np
import torch
import torch.nn as nn
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

np.random.seed(1)
torch.manual_seed(1)

LOOK_BACK = 14


def load_demand(days=1400):
    t = np.arange(days)
    weekly = np.where(t % 7 >= 5, -9.0, 3.0)
    yearly = 12.0 * np.cos(2 * np.pi * t / 365)
    slow = np.zeros(days)
    for i in range(1, days):
        slow[i] = 0.9 * slow[i - 1] + np.random.normal(0, 1.2)
    return 60.0 + weekly + yearly + slow


def create_dataset(series, look_back=LOOK_BACK):
    xs, ys = [], []
    for i in range(len(series) - look_back):
        xs.append(series[i:i + look_back])
        ys.append(series[i + look_back])
    return torch.from_numpy(np.array(xs)).float(), torch.from_numpy(np.array(ys)).float()


class DemandLSTM(nn.Module):
    def __init__(self, hidden_dim=32):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden_dim, batch_first=True)
        self.fc = nn.Linear(hidden_dim, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        out = self.fc(out[:, -1, :])
        out = torch.relu(out)  # demand is never below zero  # faulty: output-activation-wrong
        return out  # near: output-activation-wrong


demand = load_demand().reshape(-1, 1)
train_size = int(len(demand) * 0.75)
scaler = StandardScaler().fit(demand[:train_size])
train_series, test_series = scaler.transform(demand[:train_size]), scaler.transform(demand[train_size:])
trainX, trainY = create_dataset(train_series)
testX, testY = create_dataset(test_series)

model = DemandLSTM()
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.005)

num_epochs, batch_size = 30, 32
for epoch in range(num_epochs):
    idx = np.random.permutation(len(trainX))
    for start in range(0, len(idx), batch_size):
        batch = idx[start:start + batch_size]
        outputs = model(trainX[batch])
        loss = criterion(outputs, trainY[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print("Epoch: %d, loss: %1.5f" % (epoch, loss.item()))

model.eval()
with torch.no_grad():
    forecast = scaler.inverse_transform(model(testX).numpy())
truth = scaler.inverse_transform(testY.numpy())
print("mean absolute error: %.2f" % np.abs(forecast - truth).mean())
print("final", r2_score(truth, forecast))
