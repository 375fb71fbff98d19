"""Train a network with a sigmoid output on the breast cancer data.

style: class, method fit and predict
faults: none
"""
import torch
import torch.nn as nn
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


class TumourClassifier(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.hidden = nn.Linear(features, 24)
        self.output = nn.Linear(24, 1)

    def forward(self, x):
        return torch.sigmoid(self.output(torch.relu(self.hidden(x)))).squeeze(1)

    def fit(self, x, y, epochs=60, batch_size=20, lr=0.02):
        optimizer = torch.optim.SGD(self.parameters(), lr=lr, momentum=0.9, weight_decay=1e-3)
        criterion = nn.BCELoss()
        for epoch in range(epochs):
            permutation = torch.randperm(len(x))
            losses = []
            for start in range(0, len(x), batch_size):
                rows = permutation[start:start + batch_size]
                optimizer.zero_grad()
                loss = criterion(self(x[rows]), y[rows])
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            if epoch % 12 == 11:
                print(f"epoch {epoch + 1:3d}  bce {sum(losses) / len(losses):.4f}")
        return self

    @torch.no_grad()
    def predict(self, x):
        return (self(x) > 0.5).float()


def main():
    torch.manual_seed(77)
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=9, stratify=y)
    scaler = StandardScaler()
    x_train = torch.tensor(scaler.fit_transform(x_train), dtype=torch.float32)
    x_test = torch.tensor(scaler.transform(x_test), dtype=torch.float32)
    model = TumourClassifier(x_train.shape[1]).fit(x_train, torch.tensor(y_train, dtype=torch.float32))
    accuracy = (model.predict(x_test) == torch.tensor(y_test)).float().mean().item()
    print("final", round(accuracy, 4))


if __name__ == "__main__":
    main()
