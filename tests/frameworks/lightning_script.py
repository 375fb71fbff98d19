import sys

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from _ending import tell
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class Digits(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)
        )

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, _index):
        x, y = batch
        return F.cross_entropy(self(x), y)

    def validation_step(self, batch, _index):
        x, y = batch
        self.log("loss", F.cross_entropy(self(x), y))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-3)


def main(how, out):
    torch.manual_seed(0)
    data = load_digits()
    whole = TensorDataset(torch.tensor(data.data).float() / 16, torch.tensor(data.target))
    train, rest = torch.utils.data.random_split(whole, [1500, 297])
    callbacks = []
    if how == "watched":
        import chainrule.callbacks

        callbacks = [chainrule.callbacks.lightning()]
    trainer = pl.Trainer(
        max_epochs=3, callbacks=callbacks, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    net = Digits()
    trainer.fit(net, DataLoader(train, 64, shuffle=True), DataLoader(rest, 128))
    tell(callbacks, out, net)


if __name__ == "__main__":
    main(*sys.argv[1:])
