"""Why vanilla recurrent networks explode or vanish: python examples/vanilla_rnn_flow.py

The course's network without inputs, h_t = W_hh relu(h_(t-1)) over 50 steps. Going back, the
gradient is multiplied by W_hh^T at each of them, so that it grows at most by the largest singular
value, and in the long run by about the spectral radius (less what ReLU cuts off).
"""

import torch
from torch import nn

import chainrule

STEPS, UNITS = 50, 64


class VanillaRNN(nn.Module):
    def __init__(self, scale):
        super().__init__()
        torch.manual_seed(0)
        self.relu = nn.ReLU()
        self.recurrent = nn.Linear(UNITS, UNITS, bias=False)
        nn.init.normal_(self.recurrent.weight, std=scale / UNITS**0.5)

    def forward(self, h):
        for _ in range(STEPS):
            h = self.recurrent(self.relu(h))
        return h


if __name__ == "__main__":
    start = torch.randn(32, UNITS, generator=torch.Generator().manual_seed(1))
    print("scale  largest  radius  gradient at step 50, 40, 30, 20, 10, 1           per step")
    for scale in (0.5, 2**0.5, 2.5):
        found = chainrule.flow(VanillaRNN(scale), start)
        (matrix,) = found.recurrent
        norms = found["recurrent"].gradient_by_call
        growth = (norms[0] / norms[-1]) ** (1 / (STEPS - 1))
        shown = "  ".join(f"{norms[step - 1]:.1e}" for step in (50, 40, 30, 20, 10, 1))
        print(
            f"{scale:5.2f}  {matrix.largest:7.3f}  {matrix.spectral_radius:6.3f}  {shown}"
            f"  {growth:8.3f}"
        )
        for finding in found.findings:
            print(f"       {finding.code} ({finding.place}): {finding.meaning}")
        assert growth < matrix.largest
        assert len(norms) == matrix.steps == STEPS
        if scale == 2.5:
            assert growth > 1
            assert "exploding-gradients" in {item.code for item in found.findings}
        if scale == 0.5:
            assert growth < 1
            assert "vanishing-gradients" in {item.code for item in found.findings}
