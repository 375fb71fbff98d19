"""PyTorch Lightning: a LightningModule, its Trainer, a CSV log, the same DataLoader."""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings

import torch
import torch.nn.functional as F
from benchmarks.speed.case import MOMENTUM, RATE, Stopwatch, given_case, network
from benchmarks.speed.pictures import loader  # first, since Lightning imports torchvision
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger


class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = network(given_case())

    def training_step(self, batch, _):
        inputs, labels = batch
        scores = self.network(inputs)
        loss = F.cross_entropy(scores, labels)
        self.log("train_loss", loss)
        self.log("train_accuracy", (scores.argmax(1) == labels).float().mean())
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), RATE, MOMENTUM, nesterov=True)


class Ticks(Callback):
    def __init__(self) -> None:
        self.watch = Stopwatch(given_case())

    def on_train_batch_end(self, *_: object) -> None:
        self.watch.step()


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=100,
            logger=CSVLogger(folder),
            callbacks=[Ticks()],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Module(), loader(given_case(), int(sys.argv[2])))


if __name__ == "__main__":
    main()
