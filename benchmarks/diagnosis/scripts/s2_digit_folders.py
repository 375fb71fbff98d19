"""Train on digits that are stored in one folder per class.

style: custom Dataset, class, Conv2d
faults: data-not-shuffled
"""
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, Dataset


class DigitFolders(Dataset):
    """The images of class 0, then those of class 1, and so on, as folders are listed."""

    def __init__(self, images, labels):
        order = np.argsort(labels, kind="stable")  # near: data-not-shuffled
        self.images = torch.tensor(images[order] / 8.0 - 1.0, dtype=torch.float32).unsqueeze(1)
        self.labels = torch.tensor(labels[order])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.images[i], self.labels[i]


class Classifier:
    def __init__(self):
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(128, 10),
        )
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.02, momentum=0.9)
        self.criterion = nn.CrossEntropyLoss()

    def fit(self, dataset, epochs):
        loader = DataLoader(dataset, batch_size=10)  # faulty: data-not-shuffled
        loader = DataLoader(dataset, batch_size=10, shuffle=True)  # fixed: data-not-shuffled
        for epoch in range(epochs):
            losses = []
            for images, labels in loader:  # near: data-not-shuffled
                loss = self.criterion(self.net(images), labels)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                losses.append(loss.item())
            print(f"pass {epoch + 1}: mean loss {np.mean(losses):.4f}, last loss {losses[-1]:.4f}")

    @torch.no_grad()
    def score(self, dataset):
        return (self.net(dataset.images).argmax(1) == dataset.labels).float().mean().item()


torch.manual_seed(77)
digits = load_digits()
x_train, x_test, y_train, y_test = train_test_split(digits.images, digits.target, test_size=0.25, random_state=5)
classifier = Classifier()
classifier.fit(DigitFolders(x_train, y_train), epochs=6)
print("final", classifier.score(DigitFolders(x_test, y_test)))
