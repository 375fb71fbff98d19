"""Learn the inverse dynamics of a simulated arm: joint angles and speeds to six torques.

style: research code, dataclass of hyperparameters, simulator in NumPy, cosine schedule
faults: capacity-too-small
"""
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn, optim


@dataclass(frozen=True)
class HParams:
    joints: int = 6
    samples: int = 3000
    hidden: int = 2  # faulty: capacity-too-small
    hidden: int = 96  # fixed: capacity-too-small
    batch: int = 64
    epochs: int = 40
    lr: float = 3e-3
    seed: int = 5


def simulate(hp: HParams):
    """Gravity acts on the angles, friction on the speeds, and neighbouring joints couple."""
    rng = np.random.default_rng(hp.seed)
    q = rng.uniform(-np.pi / 2, np.pi / 2, (hp.samples, hp.joints))
    dq = rng.normal(size=(hp.samples, hp.joints))
    load = np.linspace(2.0, 0.8, hp.joints)
    gravity = load * np.sin(q)
    friction = 0.6 * np.tanh(2 * dq)
    coupling = 0.3 * np.roll(dq, 1, axis=1) * np.cos(q)
    tau = gravity + friction + coupling + 0.02 * rng.normal(size=q.shape)
    states = np.concatenate([q, dq], axis=1)
    tau = (tau - tau.mean(0)) / tau.std(0)
    states = (states - states.mean(0)) / states.std(0)
    return torch.as_tensor(states, dtype=torch.float32), torch.as_tensor(tau, dtype=torch.float32)


class InverseDynamics(nn.Module):
    def __init__(self, hp: HParams):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(2 * hp.joints, hp.hidden), nn.Tanh(),  # near: capacity-too-small
            nn.Linear(hp.hidden, hp.hidden), nn.Tanh(),  # near: capacity-too-small
        )
        self.torques = nn.Linear(hp.hidden, hp.joints)  # near: capacity-too-small

    def forward(self, state):
        return self.torques(self.body(state))


def r2(pred, target):
    return 1 - ((pred - target) ** 2).sum().item() / ((target - target.mean(0)) ** 2).sum().item()


def main(hp=HParams()):
    torch.manual_seed(hp.seed)
    states, tau = simulate(hp)
    split = int(0.8 * len(states))
    net = InverseDynamics(hp)
    opt = optim.Adam(net.parameters(), lr=hp.lr)
    sched = optim.lr_scheduler.CosineAnnealingLR(opt, hp.epochs)
    for epoch in range(hp.epochs):
        for idx in torch.randperm(split).split(hp.batch):
            loss = (net(states[idx]) - tau[idx]).pow(2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
        sched.step()
        if epoch % 5 == 4:
            with torch.no_grad():
                print(f"[{epoch + 1:3d}] mse {loss.item():.4f}  r2 {r2(net(states[split:]), tau[split:]):.3f}")
    with torch.no_grad():
        print("final", round(r2(net(states[split:]), tau[split:]), 4))


if __name__ == "__main__":
    main()
