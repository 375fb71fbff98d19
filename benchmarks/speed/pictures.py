"""Pictures: the images as a Dataset with torchvision's per-sample transforms, and its DataLoader.

torchvision's compiled operations do not load beside this build of torch, and the transforms need
none of them. Their names are declared here, so that whoever imports this can import torchvision,
or what imports it, afterwards.
"""

from __future__ import annotations

import torch
from benchmarks.speed.case import PADDING, Case, images
from PIL import Image
from torch import Tensor

_OPERATIONS = torch.library.Library("torchvision", "DEF")  # gone with its last reference
_OPERATIONS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_OPERATIONS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_OPERATIONS.define(
    "roi_align(Tensor input, Tensor rois, float a, SymInt b, SymInt c, int d, bool e) -> Tensor"
)


def transforms(side: int, padding: int, flip: bool, mean: list[float], std: list[float]) -> object:
    """Per-sample transforms as in torchvision's own reference scripts."""
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.ToImage(),
            v2.RandomCrop(side, padding=padding),
            *([v2.RandomHorizontalFlip()] if flip else []),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )


class Samples(torch.utils.data.Dataset):
    """Images as a Dataset whose transforms run example by example.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) class indices.
        transform: of one image.
        pictures: hand each image to the transforms as a PIL picture, as torchvision's own
            datasets do; else as a tensor.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, transform: object, pictures: bool = True
    ) -> None:
        self.images, self.labels = images, labels
        self.transform, self.pictures = transform, pictures

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index]
        if self.pictures:
            image = Image.fromarray(image.movedim(0, -1).squeeze(-1).numpy())
        return self.transform(image), int(self.labels[index])


def samples_of(case: Case, pictures: bool = True) -> Samples:
    """The images of a case, cropped, mirrored and normalized one by one."""
    inputs, labels = images(case)
    values = inputs[:5000].float() / 255
    mean, std = [float(values.mean())], [float(values.std())]
    return Samples(inputs, labels, transforms(case.shape[1], PADDING, True, mean, std), pictures)


def loader(case: Case, workers: int, pictures: bool = True) -> torch.utils.data.DataLoader:
    """Shuffled minibatches, the last one dropped, since chainrule's are counted whole."""
    samples = samples_of(case, pictures)
    return torch.utils.data.DataLoader(
        samples, case.batch, shuffle=True, drop_last=True, num_workers=workers
    )
