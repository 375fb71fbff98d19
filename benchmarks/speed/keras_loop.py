"""Keras 3 on torch: the same layers as a functional model, augmentation as layers, fit()."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
from benchmarks.speed.case import MOMENTUM, PADDING, RATE, Case, Stopwatch, given_case, images
from benchmarks.speed.case import network as torch_network
from keras import layers
from torch import nn

from chainrule.nn.global_average_pool import GlobalAveragePool
from chainrule.nn.residual import Residual


def layer_of(module: nn.Module, values):
    """What ``module`` does, in Keras (images are H x W x C there)."""
    if isinstance(module, nn.Sequential):
        for child in module:
            values = layer_of(child, values)
        return values
    if isinstance(module, Residual):
        return layers.Add()([layer_of(module.shortcut, values), layer_of(module.branch, values)])
    if isinstance(module, nn.Conv2d):
        if module.padding[0]:
            values = layers.ZeroPadding2D(module.padding)(values)
        bias = module.bias is not None
        size, stride = module.kernel_size, module.stride
        return layers.Conv2D(module.out_channels, size, stride, use_bias=bias)(values)
    simple = {
        nn.BatchNorm2d: lambda: layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
        nn.ReLU: lambda: layers.ReLU(),
        nn.Tanh: lambda: layers.Activation("tanh"),
        nn.Dropout: lambda: layers.Dropout(module.p),
        nn.Flatten: lambda: layers.Flatten(),
        nn.Linear: lambda: layers.Dense(module.out_features),
        nn.MaxPool2d: lambda: layers.MaxPooling2D(module.kernel_size, module.stride),
        nn.AvgPool2d: lambda: layers.AveragePooling2D(module.kernel_size, module.stride),
        GlobalAveragePool: lambda: layers.GlobalAveragePooling2D(),
        nn.Identity: lambda: layers.Identity(),
    }
    return simple[type(module)]()(values)


class Augmented(keras.Model):
    """The network behind augmentation in training."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        channels, height, width = case.shape
        entry = layers.Input((height, width, channels))
        values = layers.Rescaling(1 / 255)(entry)
        values = layers.Normalization(mean=0.286, variance=0.353**2)(values)
        self.network = keras.Model(entry, layer_of(torch_network(case), values))
        self.changes = [
            # its RandomCrop crops a whole minibatch alike; this one moves each image
            layers.RandomTranslation(
                PADDING / height, PADDING / width, "constant", "nearest", fill_value=0.0
            ),
            layers.RandomFlip("horizontal"),
        ]

    def call(self, values, training=None):
        for change in self.changes if training else ():
            values = change(values, training=True)
        return self.network(values, training=training)


class Ticks(keras.callbacks.Callback):
    def __init__(self, case: Case) -> None:
        super().__init__()
        self.watch = Stopwatch(case)

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.watch.step()


def main() -> None:
    case = given_case()
    inputs, labels = images(case)
    model = Augmented(case)
    model(inputs[:2].permute(0, 2, 3, 1).numpy())  # built, before it is compiled
    model.compile(
        keras.optimizers.SGD(RATE, MOMENTUM, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    pixels = inputs.permute(0, 2, 3, 1).numpy()
    model.fit(pixels, labels.numpy(), case.batch, epochs=100, verbose=0, callbacks=[Ticks(case)])


if __name__ == "__main__":
    main()
