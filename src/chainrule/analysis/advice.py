"""Advice: what an engineer wants to know of a network before training it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log

import numpy as np
from torch import nn

from chainrule.analysis.description import LayerDescription
from chainrule.analysis.graph import Graph
from chainrule.analysis.layers import Layers, unseen
from chainrule.analysis.rows import Row
from chainrule.analysis.traced import Traced
from chainrule.analysis.walk import Fields
from chainrule.finding import Finding


def findings_of(
    found: Traced,
    layers: Layers,
    rows: tuple[LayerDescription, ...],
    fields: Fields,
) -> tuple[Finding, ...]:
    """All remarks, the gravest first."""
    return (
        *_not_in_training(found),
        *_hidden_parameters(found),
        *_useless_parameters(found),
        *_unused_modules(found),
        *_unused_results(layers),
        *_unseen_input(layers, fields),
        *_lost_sizes(layers.rows),
        *_misaligned(rows),
        *_wide_fields(rows, fields),
        *_shares(rows),
        *_initial_loss(rows),
    )


def reaching(graph: Graph) -> set[int]:
    """Storages that some output of the network depends on."""
    needed = {view.storage for view in graph.outputs}
    for operation in reversed(graph.operations):
        touched = {view.storage for view in (*operation.outputs, *operation.written)}
        if touched & needed:
            needed |= {view.storage for view in operation.inputs}
    return needed


def _not_in_training(found: Traced) -> tuple[Finding, ...]:
    if not found.only_evaluation:
        return ()
    meaning = f"in training mode it cannot take this input: {found.only_evaluation}"
    remedy = "give the input it is trained on"
    return (Finding("not-in-training-mode", "", {}, meaning, remedy),)


def _hidden_parameters(found: Traced) -> tuple[Finding, ...]:
    """Trainable tensors that the module does not list: no optimizer will find them."""
    hidden = {
        view.storage: view.count
        for operation in found.evaluation.operations
        for view in operation.inputs
        if view.requires_grad and found.evaluation.storages[view.storage].origin == "constant"
    }
    if not hidden:
        return ()
    return (
        Finding(
            "hidden-parameters",
            "",
            {"numbers": sum(hidden.values()), "tensors": len(hidden)},
            f"{len(hidden)} trainable tensors ({sum(hidden.values()):,} numbers) take part that "
            "the module does not list: no optimizer will find them",
            "keep modules in nn.ModuleList or nn.ModuleDict and tensors as nn.Parameter",
        ),
    )


def _useless_parameters(found: Traced) -> tuple[Finding, ...]:
    """Parameters that no output depends on, in either mode."""
    used: set[str] = set()
    for graph in (found.evaluation, found.training):
        needed = reaching(graph)
        used |= {graph.storages[number].name for number in needed}
    idle = {name: item.numel() for name, item in found.parameters.items() if name not in used}
    if not idle:
        return ()
    names = _listed(list(idle))
    return (
        Finding(
            "parameters-without-effect",
            next(iter(idle)),
            {"parameters": sum(idle.values()), "tensors": len(idle)},
            f"no output depends on {names} ({sum(idle.values()):,} parameters): they get no "
            "gradient",
            "use them in forward, or take them out",
        ),
    )


def _unused_modules(found: Traced) -> tuple[Finding, ...]:
    in_training = {call.path for call in found.training.calls}
    evaluated = {call.path for call in found.evaluation.calls}
    called, modules = in_training | evaluated, found.layers
    opaque = {path for path in called if path and _opaque(modules.get(path))}
    silent = [
        path
        for path, layer in modules.items()
        if path
        and path not in called
        and next(layer.children(), None) is None
        and not _idle_by_nature(layer)
        and not any(parent in opaque for parent in _parents(path))
    ]
    only_training = sorted(
        path
        for path in in_training - evaluated
        if path.rpartition(".")[0] not in in_training - evaluated
    )
    never = (
        Finding(
            "unused-layer",
            silent[0],
            {"layers": len(silent)},
            f"{_listed(silent)} {'are' if len(silent) > 1 else 'is'} never called",
            "call it in forward, or take it out",
        )
        for _ in silent[:1]
    )
    meaning = "runs in training mode only, so its work is not in the table"
    sometimes = (
        Finding("only-in-training", path, {}, f"'{path}' {meaning}") for path in only_training
    )
    return (*never, *sometimes)


def _idle_by_nature(layer: nn.Module) -> bool:
    """Layers that would do nothing anyway."""
    dropped = isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p == 0
    return dropped or isinstance(layer, nn.Identity)


def _listed(names: Sequence[str], most: int = 4) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _parents(path: str) -> Iterator[str]:
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def _opaque(layer: nn.Module | None) -> bool:
    """Layers of PyTorch's that use the weights of modules inside without calling them."""
    holder = isinstance(layer, nn.Sequential | nn.ModuleList | nn.ModuleDict)
    return type(layer).__module__.startswith("torch.nn.") and not holder


def _unused_results(layers: Layers) -> tuple[Finding, ...]:
    needed = reaching(layers.graph)
    idle = [
        row.name
        for row in layers.rows
        if row.operations
        and row.allocated(layers.graph)
        and not any(number in needed for number in row.allocated(layers.graph))
        and not any(v.storage in needed for o in row.operations for v in o.written)
    ]
    return tuple(
        Finding(
            "unused-result",
            idle[0],
            {"layers": len(idle)},
            f"nothing uses what {_listed(idle)} {'compute' if len(idle) > 1 else 'computes'}",
            "use it, or save its work",
        )
        for _ in idle[:1]
    )


def _lost_sizes(rows: list[Row]) -> tuple[Finding, ...]:
    lost = [row.name for row in rows if any(any(unseen(item)) for item in row.operations)]
    if not lost:
        return ()
    names = _listed(lost)
    return (
        Finding(
            "size-not-whole",
            lost[0],
            {"layers": len(lost)},
            f"the output size of {names} is rounded down: windows never reach the last rows or "
            "columns of the input",
            "choose size, stride and padding such that (w + 2p - k) / s is whole, or ceil_mode",
        ),
    )


def _unseen_input(layers: Layers, fields: Fields) -> tuple[Finding, ...]:
    """Input positions that no output sees."""
    if not fields.axes:
        return ()
    known = [field for view in layers.graph.outputs if (field := fields.get(view)) is not None]
    if not known:
        meaning = "no output depends on the input"
        return (Finding("input-without-effect", "", {}, meaning),)
    lost = []
    for axis, extent in enumerate(fields.extents):
        low = min(int(field.reach.low[axis].min()) for field in known)
        high = max(int(field.reach.high[axis].max()) for field in known)
        lost.append(max(low, 0) + max(extent - 1 - high, 0))
    if not any(lost):
        return ()
    text = " and ".join(
        f"{count} of {extent} {name}"
        for count, extent, name in zip(lost, fields.extents, _axis_names(len(lost)), strict=True)
        if count
    )
    return (
        Finding(
            "input-not-seen",
            "",
            {"positions": tuple(lost)},
            f"no output sees {text} of the input",
            "pad, or crop the input on purpose",
        ),
    )


def _axis_names(axes: int) -> tuple[str, ...]:
    return {1: ("positions",), 2: ("rows", "columns"), 3: ("planes", "rows", "columns")}.get(
        axes, tuple(f"positions along axis {axis}" for axis in range(axes))
    )


def _misaligned(rows: tuple[LayerDescription, ...]) -> tuple[Finding, ...]:
    offset, where = 0.0, ""
    for row in rows:
        field = row.receptive_field
        if field is not None and field.offset > offset:
            offset, where = (offset, where) if where else (field.offset, row.name)
    if not where:
        return ()
    most = max(row.receptive_field.offset for row in rows if row.receptive_field is not None)
    return (
        Finding(
            "centres-misaligned",
            where,
            {"positions": most},
            f"branches that meet at '{where}' look at places {offset:g} input positions apart "
            f"(at most {most:g} in the network)",
            "give the branches the same padding per stride, or crop them alike",
        ),
    )


def _wide_fields(rows: tuple[LayerDescription, ...], fields: Fields) -> tuple[Finding, ...]:
    for row in rows:
        field = row.receptive_field
        if field is None or field.size is None or not field.size:
            continue
        if all(size > extent for size, extent in zip(field.size, fields.extents, strict=True)):
            sizes = "x".join(str(size) for size in field.size)
            extents = "x".join(str(extent) for extent in fields.extents)
            return (
                Finding(
                    "field-wider-than-input",
                    row.name,
                    {"field": field.size, "input": fields.extents},
                    f"from '{row.name}' on, the receptive field ({sizes}) is wider than the input "
                    f"({extents}): the rest is padding",
                ),
            )
    return ()


def _shares(rows: tuple[LayerDescription, ...]) -> tuple[Finding, ...]:
    """Where the parameters, the memory and the work sit."""
    made = []
    for code, word, name in (
        ("parameters-where", "parameters", "parameters"),
        ("memory-where", "activation memory", "activation_bytes"),
        ("work-where", "multiply-accumulates", "macs"),
    ):
        values = np.array([getattr(row, name) for row in rows], np.float64)
        if (values > 0).sum() < 3:
            continue
        share = values / values.sum()
        best = int(share.argmax())
        kinds: dict[str, float] = {}
        for row, part in zip(rows, share, strict=True):
            kind = row.operation.split()[0].split(",")[0]
            kinds[kind] = kinds.get(kind, 0.0) + float(part)
        kind = max(kinds, key=lambda name: kinds[name])
        half = int((share.cumsum() < 0.5).sum())
        made.append(
            Finding(
                code,
                rows[best].name,
                {
                    "share": float(share[best]),
                    "kind": kind,
                    "kind_share": kinds[kind],
                    "half_by": rows[half].name,
                },
                f"{kind} layers hold {100 * kinds[kind]:.1f} % of the {word}; '{rows[best].name}' "
                f"alone {100 * share[best]:.1f} %; half is reached at '{rows[half].name}'",
            )
        )
    return tuple(made)


def _initial_loss(rows: tuple[LayerDescription, ...]) -> tuple[Finding, ...]:
    """What the loss should be before the first step, if the output is class scores."""
    row = next((row for row in reversed(rows) if row.output is not None), None)
    if row is None or row.output is None or len(row.output) != 1 or row.output[0] < 2:
        return ()
    classes = row.output[0]
    return (
        Finding(
            "expected-initial-loss",
            row.name,
            {"softmax": log(classes), "svm": float(classes - 1)},
            f"with small scores for {classes:,} classes the loss begins at ln {classes} = "
            f"{log(classes):.4g} (softmax) or {classes - 1} (SVM, margin 1)",
            "compare with the loss of the first minibatch",
        ),
    )
