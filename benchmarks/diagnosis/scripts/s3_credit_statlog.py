"""Sort applications for credit into good ones and bad ones.

style: homework assignment in numbered steps, sklearn ColumnTransformer, accuracy through NumPy
faults: labels-wrongly-encoded
"""
# Exercise 4 - neural networks for credit scoring
import numpy as np
import torch
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler

np.random.seed(0)
torch.manual_seed(0)


# Step 1: the data. Columns: duration, amount, age, account (0..3), housing (0..2); class 1 = good, 2 = bad
def read_applications(n=2500):
    duration = np.random.gamma(4.0, 5.0, n)
    amount = duration * 120 + np.random.exponential(900, n)
    age = np.random.uniform(19, 70, n)
    account = np.random.randint(0, 4, n)
    housing = np.random.randint(0, 3, n)
    risk = (0.09 * (duration - 20) + 0.0005 * (amount - 3300) - 0.05 * (age - 44)
            + np.array([1.6, 0.4, -0.4, -1.6])[account] + np.array([0.8, -0.8, 0.0])[housing])
    klass = np.where(risk + 0.4 * np.random.randn(n) > 0, 2, 1)
    return np.column_stack([duration, amount, age, account, housing]), klass


table, klass = read_applications()
print("good:", np.sum(klass == 1), "bad:", np.sum(klass == 2))

# Step 2: preprocessing
prep = ColumnTransformer([
    ("numbers", StandardScaler(), [0, 1, 2]),
    ("categories", OneHotEncoder(), [3, 4]),
])
tab_train, tab_test, y_train, y_test = train_test_split(table, klass, test_size=0.25, random_state=0)
X_train = torch.tensor(prep.fit_transform(tab_train), dtype=torch.float32)
X_test = torch.tensor(prep.transform(tab_test), dtype=torch.float32)
t_train = torch.tensor(y_train, dtype=torch.float32).view(-1, 1)  # faulty: labels-wrongly-encoded
t_train = torch.tensor(y_train - 1, dtype=torch.float32).view(-1, 1)  # fixed: labels-wrongly-encoded

# Step 3: the network
n_features = X_train.shape[1]
model = torch.nn.Sequential(
    torch.nn.Linear(n_features, 20),
    torch.nn.ReLU(),
    torch.nn.Linear(20, 1),
)

# Step 4: training
criterion = torch.nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
batch_size = 25
for epoch in range(20):
    shuffled = np.random.permutation(len(X_train))
    losses = []
    for k in range(len(X_train) // batch_size):
        idx = torch.from_numpy(shuffled[k * batch_size:(k + 1) * batch_size])
        output = model(X_train[idx])
        loss = criterion(output, t_train[idx])  # near: labels-wrongly-encoded
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print("Epoch:", epoch, "Loss:", np.mean(losses))

# Step 5: evaluation
model.eval()
prob = torch.sigmoid(model(X_test)).detach().numpy()[:, 0]
said = np.where(prob > 0.5, 2, 1)
print("final", np.mean(said == y_test))
