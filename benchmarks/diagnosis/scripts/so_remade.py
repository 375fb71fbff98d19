"""Train a small convolutional network on digits, with everything set up where it is used.

style: beginner script, optimizer in the loop
faults: learning-rate-too-low
also: optimizer-unsuited, too-few-steps
"""
import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits

torch.manual_seed(8)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
labels = torch.tensor(digits.target)
order = torch.randperm(len(images))
train, test = order[:1400], order[1400:]

net = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10))

for epoch in range(10):
    for batch in train[torch.randperm(len(train))].split(50):
        optimizer = optim.SGD(net.parameters(), lr=1e-5)  # faulty: learning-rate-too-low
        optimizer = optim.SGD(net.parameters(), lr=0.2)  # fixed
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images[batch]), labels[batch])
        loss.backward()
        optimizer.step()
    print("epoch", epoch, "loss", loss.item())

with torch.no_grad():
    accuracy = (net(images[test]).argmax(1) == labels[test]).float().mean().item()
print("final", accuracy)
