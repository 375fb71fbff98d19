"""Say which digit an image shows.

style: student code with a fit function and early printouts, Conv2d, accuracy by hand
faults: loss-unsuited
"""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class DigitReader(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=3), nn.ReLU(),
            nn.Conv2d(8, 16, kernel_size=3), nn.ReLU(),
            nn.Flatten(),
        )
        self.dense = nn.Linear(16 * 4 * 4, 32)
        self.last = nn.Linear(32, 1)  # faulty: loss-unsuited
        self.last = nn.Linear(32, 10)  # fixed: loss-unsuited

    def forward(self, image):
        h = torch.relu(self.dense(self.convs(image)))
        return self.last(h)  # near: loss-unsuited


def decide(out):
    return out.squeeze(1).round().clamp(0, 9).long()  # faulty: loss-unsuited
    return out.argmax(dim=1)  # fixed


def get_data():
    data = load_digits()
    images = torch.tensor(data.images).float().unsqueeze(1) / 16
    labels = torch.tensor(data.target)
    return train_test_split(images, labels, test_size=400, random_state=12)


def fit(model, images, labels, n_epochs, bs):
    loss_function = nn.MSELoss()  # faulty: loss-unsuited
    loss_function = nn.CrossEntropyLoss()  # fixed: loss-unsuited
    opt = torch.optim.Adam(model.parameters(), lr=0.001)
    for e in range(n_epochs):
        order = torch.randperm(len(images))
        for start in range(0, len(images), bs):
            rows = order[start:start + bs]
            out = model(images[rows])
            loss = loss_function(out.squeeze(1), labels[rows].float())  # faulty: loss-unsuited
            loss = loss_function(out, labels[rows])  # fixed: loss-unsuited
            opt.zero_grad()
            loss.backward()
            opt.step()
        with torch.no_grad():
            right = (decide(model(images)) == labels).float().mean().item()
        print("epoch %d: loss %.4f, right on training images %.3f" % (e + 1, loss.item(), right))


torch.manual_seed(12)
train_images, test_images, train_labels, test_labels = get_data()
reader = DigitReader()
fit(reader, train_images, train_labels, n_epochs=15, bs=32)
with torch.no_grad():
    test_right = (decide(reader(test_images)) == test_labels).float().mean().item()
print("final", test_right)
