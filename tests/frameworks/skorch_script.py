import sys

import torch
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
    if callbacks:
        import json
        from pathlib import Path

        Path(out).write_text(json.dumps(callbacks[0].result.to_dict()))
    total = sum(item.double().sum() for item in net.module_.parameters()).item()
    print("digest", repr(total), torch.rand(1).item())


if __name__ == "__main__":
    main(*sys.argv[1:])
