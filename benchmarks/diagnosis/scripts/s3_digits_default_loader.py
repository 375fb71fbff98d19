"""Digits from scikit-learn with a two-layer net, my first PyTorch program after the 60 minute blitz.

style: Stack Overflow question, everything at module level, DataLoader over a list of tuples
faults: batch-size-unsuited
also: learning-rate-too-high, momentum-too-high, optimizer-unsuited
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn import datasets
from sklearn.model_selection import train_test_split

digits = datasets.load_digits()
X_train, X_test, y_train, y_test = train_test_split(digits.data / 16., digits.target, test_size=0.3)

trainset = [(torch.Tensor(a), int(b)) for a, b in zip(X_train, y_train)]
testset = [(torch.Tensor(a), int(b)) for a, b in zip(X_test, y_test)]

trainloader = torch.utils.data.DataLoader(trainset, shuffle=True)  # faulty: batch-size-unsuited
trainloader = torch.utils.data.DataLoader(trainset, batch_size=32, shuffle=True)  # fixed: batch-size-unsuited
testloader = torch.utils.data.DataLoader(testset, batch_size=100)


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.fc1 = nn.Linear(64, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


net = Net()
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

for epoch in range(8):  # loop over the dataset multiple times

    running_loss = 0.0
    for i, data in enumerate(trainloader, 0):
        inputs, labels = data

        # zero the parameter gradients
        optimizer.zero_grad()

        # forward + backward + optimize
        outputs = net(inputs)  # near: batch-size-unsuited
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()

        running_loss += loss.item()
    print('[%d] loss: %.3f' % (epoch + 1, running_loss / len(trainloader)))

print('Finished Training')

correct = 0
total = 0
with torch.no_grad():
    for data in testloader:
        images, labels = data
        outputs = net(images)
        _, predicted = torch.max(outputs.data, 1)
        total += labels.size(0)
        correct += (predicted == labels).sum().item()

print('final', correct / total)
