"""Learn features by telling how an image was turned, then fine-tune the last layers on few labelled digits.

style: two-stage transfer learning, frozen layers by requires_grad, filter in the optimizer
faults: none
"""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.block2 = nn.Sequential(nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))

    def forward(self, x):
        return self.block2(self.block1(x)).flatten(1)


class Classifier(nn.Module):
    def __init__(self, backbone, n_classes):
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(48 * 4, n_classes)

    def forward(self, x):
        return self.fc(self.backbone(x))


def rotated(x):
    turns = torch.randint(0, 4, (len(x),))
    return torch.stack([torch.rot90(image, int(k), dims=(1, 2)) for image, k in zip(x, turns)]), turns


def train_model(model, x, y, num_epochs, lr, batch=32):
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(params, lr=lr, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(num_epochs):
        running_loss = 0.0
        for rows in torch.randperm(len(x)).split(batch):
            inputs, labels = (x[rows], y[rows]) if y is not None else rotated(x[rows])
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item() * len(rows)
        print(f"Epoch {epoch}/{num_epochs - 1} Loss: {running_loss / len(x):.4f}")
    return model


def main():
    torch.manual_seed(8)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16 - 0.3
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x))
    x, y = x[order], y[order]

    backbone = Backbone()
    print("stage 1: rotations, no labels")
    train_model(Classifier(backbone, 4), x[:1000], None, num_epochs=8, lr=0.03)

    print("stage 2: labels, first block frozen")
    for param in backbone.block1.parameters():
        param.requires_grad = False
    model = train_model(Classifier(backbone, 10), x[1000:1300], y[1000:1300], num_epochs=25, lr=0.03)

    model.eval()
    with torch.no_grad():
        preds = model(x[1300:]).argmax(1)
    print("final", (preds == y[1300:]).float().mean().item())


if __name__ == "__main__":
    main()
