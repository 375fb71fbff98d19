"""Segment bright discs in noisy images with a small convolutional network.

style: custom Dataset, functions, Conv2d
faults: labels-wrongly-encoded
"""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIZE = 16


class Discs(Dataset):
    """Pictures of 8 bits and their masks, as an annotation tool exports them (white is the object)."""

    def __init__(self, n, generator):
        grid = torch.arange(SIZE).float()
        cy, cx = (4 + 8 * torch.rand(2, n, generator=generator)).unsqueeze(-1).unbind(0)
        radius = 2 + 3 * torch.rand(n, 1, 1, generator=generator)
        inside = (grid.view(1, SIZE, 1) - cy.unsqueeze(-1)) ** 2 + (grid.view(1, 1, SIZE) - cx.unsqueeze(-1)) ** 2 < radius ** 2
        noise = 40 * torch.randn(n, SIZE, SIZE, generator=generator)
        self.pictures = (90 + 70 * inside.float() + noise).clamp(0, 255).byte()
        self.masks = (inside * 255).byte()  # near: labels-wrongly-encoded

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, i):
        picture = self.pictures[i].float().unsqueeze(0) / 255 - 0.5
        mask = self.masks[i].float().unsqueeze(0)  # faulty: labels-wrongly-encoded
        mask = self.masks[i].float().unsqueeze(0) / 255  # fixed: labels-wrongly-encoded
        return picture, mask


def iou(model, dataset):
    model.eval()
    inter = union = 0
    with torch.no_grad():
        for picture, mask in DataLoader(dataset, batch_size=100):
            guess, truth = model(picture) > 0, mask > 0
            inter += (guess & truth).sum().item()
            union += (guess | truth).sum().item()
    return inter / union


def main():
    torch.manual_seed(13)
    generator = torch.Generator().manual_seed(0)
    train, val = Discs(600, generator), Discs(200, generator)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, 5, padding=2), nn.ReLU(),
        nn.Conv2d(8, 1, 3, padding=1),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(10):
        model.train()
        for picture, mask in DataLoader(train, batch_size=20, shuffle=True):
            optimizer.zero_grad()
            loss = criterion(model(picture), mask)  # near: labels-wrongly-encoded
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1} loss {loss.item():.4f} iou {iou(model, val):.3f}")
    print("final", iou(model, val))


if __name__ == "__main__":
    main()
