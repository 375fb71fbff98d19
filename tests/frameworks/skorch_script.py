import sys

import torch
from _ending import tell
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier
from torch import nn


def main(how, out):
    torch.manual_seed(0)
    data = load_digits()
    callbacks = []
    if how == "watched":
        import chainrule.callbacks

        callbacks = [chainrule.callbacks.skorch()]
    net = NeuralNetClassifier(
        nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
        criterion=nn.CrossEntropyLoss, lr=0.1, max_epochs=3, callbacks=callbacks, verbose=0,
    )  # fmt: skip
    net.fit((data.data / 16).astype("float32"), data.target)
    tell(callbacks, out, net.module_)


if __name__ == "__main__":
    main(*sys.argv[1:])
