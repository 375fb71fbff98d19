"""A main that is called by a decorator, which takes the arguments and changes the folder."""

import functools
import os
import sys
import tempfile

import torch
from _digest import report


def configured(main):
    @functools.wraps(main)
    def run():
        config = dict(word.split("=") for word in sys.argv[1:])
        before = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                main(config)
            finally:
                os.chdir(before)

    return run


@configured
def main(config):
    torch.manual_seed(int(config["seed"]))
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Softplus(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.Adadelta(net.parameters(), float(config["lr"]))
    for _ in range(20):
        x = torch.rand(16, 4)
        optimizer.zero_grad()
        torch.nn.functional.smooth_l1_loss(net(x).squeeze(1), x.prod(1)).backward()
        optimizer.step()
        torch.save(net.state_dict(), "last.pt")
    report(net, optimizer)


if __name__ == "__main__":
    main()
