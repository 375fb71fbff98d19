"""The zoo: well-known networks, written in the notation."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.errors import NetworkError, suggestion


@dataclass(frozen=True)
class ZooEntry:
    """One network of the zoo.

    Attributes:
        name: its name.
        text: the network in the notation.
        parameters: number of parameters, as published where it was.
        source: where the architecture and the number come from.
    """

    name: str
    text: str
    parameters: int
    source: str


def _vgg(stages: tuple[int, ...], normalized: bool) -> str:
    """Stages of 3x3 convolutions with a pooling after each (Simonyan & Zisserman 2015)."""
    norm = "BN, " if normalized else ""
    widths = (64, 128, 256, 512, 512)
    body = ", ".join(
        f"[CONV3-{width}, {norm}RELU] x {count}, POOL2"
        for count, width in zip(stages, widths, strict=True)
    )
    head = "FC-4096, RELU, DROPOUT(0.5), FC-4096, RELU, DROPOUT(0.5), FC-1000"
    return f"INPUT 224x224x3, {body}, {head}"


def _resnet(stages: tuple[int, ...]) -> str:
    """Stages of residual blocks, the first of each later stage with stride 2 (He et al. 2016)."""
    blocks = []
    for stage, count in enumerate(stages):
        width = 64 * 2**stage
        plain = f"RES[CONV3-{width} b0, BN, RELU, CONV3-{width} b0, BN], RELU"
        first = plain if stage == 0 else plain.replace(f"{width} b0", f"{width}/2 b0", 1)
        blocks.append(f"{first}, [{plain}] x {count - 1}")
    stem = "INPUT 224x224x3, CONV7-64/2 b0, BN, RELU, POOL3/2 p1"
    return f"{stem}, {', '.join(blocks)}, GAP, FC-1000"


_ALEXNET = (
    "INPUT 224x224x3, CONV11-64/4 p2, RELU, POOL3/2, CONV5-192, RELU, POOL3/2, CONV3-384, RELU, "
    "[CONV3-256, RELU] x 2, POOL3/2, DROPOUT(0.5), FC-4096, RELU, DROPOUT(0.5), FC-4096, RELU, "
    "FC-1000"
)
_LENET = (
    "INPUT 28x28x1, CONV5-6, TANH, AVGPOOL2, CONV5-16 p0, TANH, AVGPOOL2, FC-120, TANH, FC-84, "
    "TANH, FC-10"
)
_ALLCONV = (
    "INPUT 32x32x3, DROPOUT(0.2), [CONV3-96, RELU] x 2, CONV3-96/2, RELU, DROPOUT(0.5), "
    "[CONV3-192, RELU] x 2, CONV3-192/2, RELU, DROPOUT(0.5), CONV3-192 p0, RELU, CONV1-192, RELU, "
    "CONV1-10, RELU, GAP"
)
_DIGITS = (
    "INPUT 8x8x1, [CONV3-32 b0, BN, RELU] x 2, POOL2, [CONV3-64 b0, BN, RELU] x 2, POOL2, "
    "DROPOUT(0.3), FC-10"
)
_VGG_SMALL = (
    "INPUT 28x28x1, [CONV3-24 b0, BN, RELU] x 2, POOL2, [CONV3-48 b0, BN, RELU] x 2, POOL2, "
    "[CONV3-96 b0, BN, RELU] x 2, POOL2, DROPOUT(0.3), FC-10"
)
_VGG = "Simonyan & Zisserman 2015; parameters as torchvision's"
_RESNET = "He et al. 2016; parameters as torchvision's"

_ENTRIES = (
    ZooEntry("lenet5", _LENET, 61_706, "LeCun et al. 1998, its C3 fully connected"),
    ZooEntry("alexnet", _ALEXNET, 61_100_840, "Krizhevsky 2014, the form in torchvision"),
    ZooEntry("vgg11", _vgg((1, 1, 2, 2, 2), False), 132_863_336, _VGG),
    ZooEntry("vgg13", _vgg((2, 2, 2, 2, 2), False), 133_047_848, _VGG),
    ZooEntry("vgg16", _vgg((2, 2, 3, 3, 3), False), 138_357_544, _VGG),
    ZooEntry("vgg19", _vgg((2, 2, 4, 4, 4), False), 143_667_240, _VGG),
    ZooEntry("vgg11-bn", _vgg((1, 1, 2, 2, 2), True), 132_868_840, _VGG),
    ZooEntry("vgg13-bn", _vgg((2, 2, 2, 2, 2), True), 133_053_736, _VGG),
    ZooEntry("vgg16-bn", _vgg((2, 2, 3, 3, 3), True), 138_365_992, _VGG),
    ZooEntry("vgg19-bn", _vgg((2, 2, 4, 4, 4), True), 143_678_248, _VGG),
    ZooEntry("resnet18", _resnet((2, 2, 2, 2)), 11_689_512, _RESNET),
    ZooEntry("resnet34", _resnet((3, 4, 6, 3)), 21_797_672, _RESNET),
    ZooEntry("allconv", _ALLCONV, 1_369_738, "Springenberg et al. 2015, All-CNN-C"),
    ZooEntry("mlp", "INPUT 784, FC-128, RELU, FC-64, RELU, FC-10", 109_386, "chainrule"),
    ZooEntry("digits", _DIGITS, 67_754, "chainrule"),
    ZooEntry("vgg-small", _VGG_SMALL, 170_242, "chainrule, after VGG with batch normalization"),
)


def _key(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


ZOO: dict[str, ZooEntry] = {entry.name: entry for entry in _ENTRIES}
_BY_KEY = {_key(entry.name): entry for entry in _ENTRIES}


def zoo_names() -> tuple[str, ...]:
    """The names of the zoo."""
    return tuple(ZOO)


def zoo_entry(name: str) -> ZooEntry:
    """The entry of that name; case, hyphens and underscores do not matter.

    Raises:
        NetworkError: there is none.

    Examples:
        >>> zoo_entry("VGG_16").parameters
        138357544
    """
    entry = _BY_KEY.get(_key(name))
    if entry is None:
        raise NetworkError(f"the zoo has no '{name}'{suggestion(name, ZOO)}")
    return entry


def in_zoo(name: str) -> bool:
    """Whether the zoo has a network of that name."""
    return _key(name) in _BY_KEY
