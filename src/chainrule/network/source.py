"""Source: a network by any name."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

from torch import nn

from chainrule.errors import NetworkError, NotationError, ShapeError, suggestion
from chainrule.network.build import build
from chainrule.network.explain import LAYERS
from chainrule.network.imported import load_attribute
from chainrule.network.notation import parse
from chainrule.network.shapes import words
from chainrule.network.spec import NetworkSpec, Shape
from chainrule.network.zoo import ZOO, in_zoo, zoo_entry

_TEXT_FILES = (".txt", ".net")
_LIBRARIES = {"torchvision": "chainrule[vision]", "timm": "chainrule[timm]"}
_ATTRIBUTE = re.compile(r"^(?P<where>[^\s:,\[]+):(?P<what>[A-Za-z_][\w.]*)(?P<call>\(.*\))?$", re.S)
_BARE = re.compile(r"^[A-Za-z][\w.-]*$")


def network(
    anything: str | Path | NetworkSpec | nn.Module,
    *,
    input: Shape | None = None,  # noqa: A002 - the notation's own word
    classes: int | None = None,
) -> nn.Module:
    """A module from notation, zoo name, file, import path, spec, or a module itself.

    Args:
        anything: notation ("CONV5-10, RELU, FC-10"), a text file of it (.txt, .net), a zoo name
            ("vgg16"), ``package.module:attribute``, ``file.py:Class`` or
            ``file.py:Class(hidden=64)`` with literal arguments, a torchvision or timm name
            ("torchvision:resnet50"), a NetworkSpec, or a module, which is returned as it is.
        input: shape of one example, (C, H, W) or (features,), for notation without INPUT and
            for networks of the zoo.
        classes: number of scores, for networks of the zoo and libraries.

    Raises:
        NotationError: the notation cannot be read; shows the place.
        NetworkError: nothing of that name, or it cannot be loaded.
        ShapeError: the layers do not fit together, or ``input`` contradicts INPUT.

    Examples:
        >>> network("INPUT 4, FC-3")
        Network(
          (fc1): Linear(in_features=4, out_features=3, bias=True)
        )
    """
    if isinstance(anything, nn.Module):
        return anything
    if isinstance(anything, NetworkSpec):
        return build(_fitted(anything, input))
    text = str(anything).strip()
    if in_zoo(text):
        return build(_from_zoo(text, input, classes))
    if Path(text).suffix in _TEXT_FILES and "\n" not in text:
        return build(_fitted(parse(_read(Path(text))), input))
    found = _ATTRIBUTE.match(text)
    if found is not None and found["where"] in _LIBRARIES:
        return _from_library(found["where"], found["what"], classes)
    if found is not None:
        return load_attribute(found["where"], found["what"], found["call"])
    return _from_text(text, input, classes)


def spec_of(module: nn.Module) -> NetworkSpec | None:
    """The spec that ``module`` was built from, None for other modules."""
    found = getattr(module, "spec", None)
    return found if isinstance(found, NetworkSpec) else None


def describe_name(anything: str | Path | NetworkSpec | nn.Module) -> str:
    """A short name for records: the text itself, or the class of a module.

    Examples:
        >>> describe_name(nn.Linear(2, 2))
        'Linear'
    """
    if isinstance(anything, nn.Module):
        found = spec_of(anything)
        return str(found) if found is not None else type(anything).__name__
    return str(anything)


def _fitted(network: NetworkSpec, shape: Shape | None) -> NetworkSpec:
    if network.input is None:
        if shape is None:
            raise NetworkError(
                f"network '{network}' does not say its input: begin with INPUT, such as "
                "INPUT 32x32x3"
            )
        return network.with_input(shape)
    if shape is not None and network.input.shape != shape:
        raise ShapeError(
            f"{network.input} is not the data's {words(shape)}: leave INPUT out, the data say it"
        )
    return network


def _from_zoo(name: str, shape: Shape | None, classes: int | None) -> NetworkSpec:
    found = parse(zoo_entry(name).text)
    if shape is not None:
        found = found.with_input(shape)
    return found if classes is None else found.with_outputs(classes)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NetworkError(f"network file '{path}' cannot be read: {error}") from None


def _from_text(text: str, shape: Shape | None, classes: int | None) -> nn.Module:
    """Notation, or the bare name of a library's network."""
    try:
        return build(_fitted(parse(text), shape))
    except NotationError:
        bare = _BARE.match(text) and not _looks_like_a_layer(text)
        if not bare:
            raise
    for library in _LIBRARIES:
        if importlib.util.find_spec(library) is not None and _knows(library, text):
            return _from_library(library, text, classes)
    raise NetworkError(
        f"no network '{text}'{suggestion(text, ZOO)}; wants notation (CONV5-10, RELU, FC-10), one "
        f"of the zoo ({', '.join(ZOO)}), package.module:attribute or file.py:Class"
    )


def _looks_like_a_layer(text: str) -> bool:
    """ "RELUU" is a misspelt layer; "resnet81" is a misspelt name."""
    letters = re.match(r"[A-Za-z]*", text)
    word = letters.group().upper() if letters else ""
    close = word in LAYERS or (bool(suggestion(word, LAYERS)) and not suggestion(text, ZOO))
    return close or word == "SOFTMAX"


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module("torchvision.models" if name == "torchvision" else name)
    except (ImportError, RuntimeError) as error:
        raise NetworkError(
            f"{name} cannot be imported ({str(error).splitlines()[0]}): pip install "
            f"'{_LIBRARIES[name]}'"
        ) from None


def _knows(library: str, name: str) -> bool:
    try:
        return name in _library(library).list_models()
    except NetworkError:
        return False


def _from_library(library: str, name: str, classes: int | None) -> nn.Module:
    module = _library(library)
    names = module.list_models()
    if name not in names:
        raise NetworkError(f"{library} has no '{name}'{suggestion(name, names)}")
    count = {} if classes is None else {"num_classes": classes}
    make = module.get_model if library == "torchvision" else module.create_model
    made = make(name, **count)
    if not isinstance(made, nn.Module):
        raise NetworkError(f"{library}:{name} gives a {type(made).__name__}, not a module")
    return made
