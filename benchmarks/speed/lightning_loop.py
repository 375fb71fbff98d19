"""PyTorch Lightning: a LightningModule, its Trainer, a CSV log, the same DataLoader."""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings

import torch
import torch.nn.functional as F
from benchmarks.speed.case import (
    MOMENTUM,
    RATE,
    Samples,
    Stopwatch,
    declare_operations,
    given_case,
    network,
)

declare_operations()  # Lightning's metrics import torchvision
import pytorch_lightning as pl  # noqa: E402
from pytorch_lightning.loggers import CSVLogger  # noqa: E402


class Module(pl.LightningModule):
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


class Ticks(pl.Callback):
    def __init__(self) -> None:
        self.watch = Stopwatch(given_case())

    def on_train_batch_end(self, *_: object) -> None:
        self.watch.step()


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    case = given_case()
    loader = torch.utils.data.DataLoader(
        Samples(case, pictures=True),
        case.batch,
        shuffle=True,
        drop_last=True,
        num_workers=int(sys.argv[2]),
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=100,
            logger=CSVLogger(folder),
            callbacks=[Ticks()],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Module(), loader)


if __name__ == "__main__":
    main()
