"""torch.func: gradients of a function of the parameters, per example ones too."""

import torch
from _digest import report
from torch import nn
from torch.func import functional_call, grad, vmap

torch.manual_seed(8)
x, y = torch.randn(32, 5), torch.randint(0, 3, (32,))
net = nn.Sequential(nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 3))
parameters = {name: p.detach().clone() for name, p in net.named_parameters()}


def loss_of(parameters, inputs, targets):
    return nn.functional.cross_entropy(functional_call(net, parameters, (inputs,)), targets)


def loss_of_one(parameters, one, target):
    return loss_of(parameters, one.unsqueeze(0), target.unsqueeze(0))


for step in range(30):
    if step % 3:
        slopes = grad(loss_of)(parameters, x, y)
    else:
        each = vmap(grad(loss_of_one), in_dims=(None, 0, 0))(parameters, x, y)
        slopes = {name: item.mean(0) for name, item in each.items()}
    parameters = {name: p - 0.2 * slopes[name] for name, p in parameters.items()}
print(loss_of(parameters, x, y).item())
report(net, parameters)
