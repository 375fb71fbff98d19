"""Teach a tiny network the XOR function.

style: beginner script, no functions
faults: missing-nonlinearity, learning-rate-too-low
"""
import torch
import torch.nn as nn

torch.manual_seed(1)

X = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float32)
Y = torch.tensor([[0], [1], [1], [0]], dtype=torch.float32)


class XORNet(nn.Module):
    def __init__(self):
        super(XORNet, self).__init__()
        self.fc1 = nn.Linear(2, 16)  # near: missing-nonlinearity
        self.fc2 = nn.Linear(16, 1)  # near: missing-nonlinearity

    def forward(self, x):
        x = self.fc1(x)  # faulty: missing-nonlinearity
        x = torch.tanh(self.fc1(x))  # fixed: missing-nonlinearity
        x = self.fc2(x)
        return torch.sigmoid(x)


net = XORNet()
criterion = nn.BCELoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.00001)  # faulty: learning-rate-too-low
optimizer = torch.optim.SGD(net.parameters(), lr=0.5)  # fixed: learning-rate-too-low

for epoch in range(4000):
    optimizer.zero_grad()
    output = net(X)
    loss = criterion(output, Y)
    loss.backward()
    optimizer.step()
    if epoch % 500 == 0:
        print("epoch", epoch, "loss", loss.item())

with torch.no_grad():
    output = net(X)
for x, y, o in zip(X, Y, output):
    print(x.tolist(), "expected", y.item(), "got", round(o.item(), 3))

print("final", ((output > 0.5).float() == Y).float().mean().item())
