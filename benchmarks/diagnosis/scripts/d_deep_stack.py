"""Train a deep stack of narrow layers on a four-class problem.

style: function that builds layers, config dict
faults: vanishing-gradients, gradients-clipped-too-hard
"""
import torch
from torch import nn
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

config = {
    "depth": 7,
    "width": 40,
    "activation": nn.Sigmoid,  # faulty: vanishing-gradients
    "activation": nn.ReLU,  # fixed
    "lr": 0.03,
    "momentum": 0.9,
    "clip": 0.001,  # faulty: gradients-clipped-too-hard
    "clip": 1.0,  # fixed
    "epochs": 30,
    "batch": 50,
}


def build(inputs, outputs, depth, width, activation):
    layers = []
    for _ in range(depth):
        layer = nn.Linear(inputs, width)
        nn.init.xavier_normal_(layer.weight, gain=nn.init.calculate_gain("relu"))
        nn.init.zeros_(layer.bias)
        layers += [layer, activation()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(width, outputs))


torch.manual_seed(3)
x, y = make_classification(n_samples=2000, n_features=16, n_informative=10, n_redundant=2, n_classes=4,
                           n_clusters_per_class=1, class_sep=2.0, flip_y=0.0, random_state=7)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=0)
mean, std = x_train.mean(0), x_train.std(0)
x_train = torch.tensor((x_train - mean) / std, dtype=torch.float32)
x_test = torch.tensor((x_test - mean) / std, dtype=torch.float32)
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)

model = build(16, 4, config["depth"], config["width"], config["activation"])
optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=config["momentum"])
loss_fn = nn.CrossEntropyLoss()
for epoch in range(config["epochs"]):
    losses = []
    for idx in torch.randperm(len(x_train)).split(config["batch"]):
        optimizer.zero_grad()
        loss = loss_fn(model(x_train[idx]), y_train[idx])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config["clip"])  # near: gradients-clipped-too-hard
        optimizer.step()
        losses.append(loss.item())
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1:2d} | loss {sum(losses) / len(losses):.4f}")

with torch.no_grad():
    print("final", (model(x_test).argmax(1) == y_test).float().mean().item())
