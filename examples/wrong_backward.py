"""A hand-written backward with a slip, and the line that finds it.

chainrule check examples/wrong_backward.py:Net --input 4
"""

import torch
from torch import nn

import chainrule


class Cube(torch.autograd.Function):
    """x^3, whose gradient is 3 x^2."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return 2 * upstream * x**2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return Cube.apply(self.fc(x))


if __name__ == "__main__":
    found = chainrule.check_gradients(Net(), (4,))
    print(found)
    assert found.culprit.operation == "Cube"
