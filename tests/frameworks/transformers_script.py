import sys

import torch
from _ending import tell
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)


class Sequences(torch.utils.data.Dataset):
    def __len__(self):
        return 256

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        words = torch.randint(5, 100, (16,), generator=generator)
        mask = torch.ones(16, dtype=torch.long)
        return {"input_ids": words, "attention_mask": mask, "labels": (words[0] > 50).long()}


def main(how, out):
    set_seed(0)
    callbacks = []
    if how == "watched":
        import chainrule.callbacks

        callbacks = [chainrule.callbacks.transformers()]
    config = BertConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=32,
    )  # fmt: skip
    net = BertForSequenceClassification(config)
    arguments = TrainingArguments(
        output_dir="out", per_device_train_batch_size=16, num_train_epochs=2, report_to=[],
        save_strategy="no", disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    Trainer(net, arguments, train_dataset=Sequences(), callbacks=callbacks).train()
    tell(callbacks, out, net)


if __name__ == "__main__":
    main(*sys.argv[1:])
