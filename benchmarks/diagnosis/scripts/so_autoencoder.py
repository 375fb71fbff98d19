"""Compress images of digits with a deep autoencoder.

style: beginner class, Dataset of images
faults: vanishing-gradients
"""
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader

torch.manual_seed(16)
SIZES = [64, 60, 56, 52, 48, 40]


class AutoEncoder(nn.Module):
    def __init__(self):
        super(AutoEncoder, self).__init__()
        encoder, decoder = [], []
        for a, b in zip(SIZES[:-1], SIZES[1:]):
            encoder += [nn.Linear(a, b), self.activation()]  # near: vanishing-gradients
        for a, b in zip(SIZES[:0:-1], SIZES[-2::-1]):
            decoder += [nn.Linear(a, b), self.activation()]  # near: vanishing-gradients
        self.encoder = nn.Sequential(*encoder)
        self.decoder = nn.Sequential(*decoder[:-1])  # no activation after the last layer

    def activation(self):
        return nn.Sigmoid()  # faulty: vanishing-gradients
        return nn.LeakyReLU(0.1)  # fixed: vanishing-gradients

    def forward(self, x):
        return self.decoder(self.encoder(x))


images = torch.tensor(load_digits().data, dtype=torch.float32) / 16
images = images[torch.randperm(len(images))]
mean_image = images[:1500].mean(0)
train_images = images[:1500] - mean_image
test_images = images[1500:] - mean_image

model = AutoEncoder()
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

for epoch in range(25):
    running = 0.0
    for batch in DataLoader(train_images, batch_size=32, shuffle=True):
        reconstruction = model(batch)
        loss = criterion(reconstruction, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running += loss.item() * len(batch)
    print('[%d] loss: %.5f' % (epoch + 1, running / len(train_images)))

with torch.no_grad():
    out = model(test_images)
print("first image, middle row:", (out[0] + mean_image).view(8, 8)[4])
explained = 1 - ((out - test_images) ** 2).sum() / ((test_images - test_images.mean(0)) ** 2).sum()
print("final", explained.item())
