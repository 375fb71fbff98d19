"""Benign or malignant: a classifier for the breast cancer data.

style: beginner class, DataLoader
faults: inputs-not-normalized
"""
import torch
import torch.nn as nn
import torch.optim as optim
from sklearn import datasets
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(123)

bc = datasets.load_breast_cancer()
X_train, X_test, y_train, y_test = train_test_split(bc.data, bc.target, test_size=0.2, random_state=1234)
X_train = torch.from_numpy(X_train).float()  # near: inputs-not-normalized
X_test = torch.from_numpy(X_test).float()
y_train = torch.from_numpy(y_train).float().view(-1, 1)
y_test = torch.from_numpy(y_test).float().view(-1, 1)

mu, sigma = X_train.mean(dim=0), X_train.std(dim=0)  # fixed: inputs-not-normalized
X_train = (X_train - mu) / sigma  # fixed: inputs-not-normalized
X_test = (X_test - mu) / sigma  # fixed: inputs-not-normalized

loader = DataLoader(TensorDataset(X_train, y_train), batch_size=32, shuffle=True)


class Classifier(nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.linear1 = nn.Linear(n_features, 24)
        self.linear2 = nn.Linear(24, 12)
        self.linear3 = nn.Linear(12, 1)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.linear1(x))  # near: inputs-not-normalized
        x = self.relu(self.linear2(x))
        return self.linear3(x)


model = Classifier(X_train.shape[1])
criterion = nn.BCEWithLogitsLoss()
optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)

num_epochs = 60
for epoch in range(num_epochs):
    for inputs, labels in loader:  # near: inputs-not-normalized
        y_predicted = model(inputs)
        loss = criterion(y_predicted, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if (epoch + 1) % 10 == 0:
        print(f'epoch: {epoch + 1}, loss = {loss.item():.4f}')

with torch.no_grad():
    predicted = (model(X_test) > 0).float()
print(confusion_matrix(y_test.numpy(), predicted.numpy()))
print("final", predicted.eq(y_test).sum().item() / len(y_test))
