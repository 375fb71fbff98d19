"""skorch: a NeuralNetClassifier fitted on the same Dataset."""

from __future__ import annotations

import torch
from benchmarks.speed.case import MOMENTUM, RATE, Stopwatch, given_case, network
from benchmarks.speed.pictures import samples_of
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback


class Ticks(Callback):
    def initialize(self) -> Ticks:
        self.watch = Stopwatch(given_case())
        return self

    def on_batch_end(self, net: object, training: bool = False, **_: object) -> None:
        if training:
            self.watch.step()


def main() -> None:
    case = given_case()
    samples = samples_of(case)
    net = NeuralNetClassifier(
        network(case),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=RATE,
        optimizer__momentum=MOMENTUM,
        optimizer__nesterov=True,
        batch_size=case.batch,
        iterator_train__shuffle=True,
        iterator_train__drop_last=True,
        train_split=None,
        max_epochs=100,
        callbacks=[("ticks", Ticks())],
        verbose=0,
    )
    net.fit(samples, samples.labels)


if __name__ == "__main__":
    main()
