"""Field: what the units of one tensor see of the network's input.

``reach`` holds the exact box of every unit, ``lattices`` the pattern without borders, and
``layout`` says along which axis of the tensor each input axis runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from chainrule.analysis.lattice import AxisMap, Lattice, start
from chainrule.analysis.reach import (
    Reach,
    combined,
    identity,
    nothing,
    regrouped,
    whole,
)
from chainrule.analysis.reach import (
    concatenated as behind_one_another,
)

PLAIN, TANGLED = -1, -2  # a piece of an axis with no input axis, or with no order to follow
Piece = tuple[int, int]  # (input axis, PLAIN or TANGLED; size)
Layout = tuple[tuple[Piece, ...], ...]  # per tensor axis its pieces, the outermost first


@dataclass(frozen=True)
class Field:
    """What the units of a tensor see.

    Attributes:
        reach: the exact box of each unit.
        layout: pieces of each axis of the tensor.
        lattices: per input axis the local field; None where there is no pattern to follow.
        sees_all: a global operation (attention, a gate, a fully-connected layer) lies behind it.
        guessed: an operation without a rule lies behind it, so the box is only an upper bound.
        offset: largest distance between the centres of branches that met, in input positions.
    """

    reach: Reach
    layout: Layout
    lattices: tuple[Lattice | None, ...]
    sees_all: bool = False
    guessed: bool = False
    offset: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.reach.shape

    def axis_of(self, input_axis: int) -> int | None:
        """The tensor axis along which an input axis runs, alone."""
        for axis, pieces in enumerate(self.layout):
            if len(pieces) == 1 and pieces[0][0] == input_axis:
                return axis
        return None

    def units(self, input_axis: int) -> int:
        """How many places the tensor has along an input axis; 1 where it cannot be told."""
        sizes = [p[1] for pieces in self.layout for p in pieces if p[0] == input_axis]
        return sizes[0] if sizes else 1

    def without(self, axes: Sequence[int]) -> tuple[Lattice | None, ...]:
        """The lattices, but none for input axes that run along these axes of the tensor."""
        lost = {piece[0] for axis in axes for piece in self.layout[axis]}
        if TANGLED in lost:
            carried = {
                p[0] for axis, pieces in enumerate(self.layout) for p in pieces if axis not in axes
            }
            lost |= set(range(len(self.lattices))) - carried
        return tuple(None if axis in lost else item for axis, item in enumerate(self.lattices))

    def carries(self, axes: Sequence[int]) -> bool:
        """Whether any input axis runs along these axes of the tensor."""
        return any(
            piece[0] != PLAIN and piece[1] > 1 for axis in axes for piece in self.layout[axis]
        )


_SAME = AxisMap(1, 1, ((0,),))  # a window of one, one step at a time


def plain(size: int) -> tuple[Piece, ...]:
    """The layout of an axis that no input axis runs along."""
    return ((PLAIN, size),)


def input_field(shape: Sequence[int], axes: Sequence[int]) -> Field:
    """The field of the input itself."""
    layout = tuple(
        ((axes.index(axis), size),) if axis in axes else plain(size)
        for axis, size in enumerate(shape)
    )
    return Field(identity(shape, axes), layout, tuple(start() for _ in axes))


def whole_field(shape: Sequence[int], extents: Sequence[int], *, guessed: bool = False) -> Field:
    """Every unit sees the whole input."""
    layout = tuple(plain(size) for size in shape)
    lattices = (None,) * len(extents)
    return Field(whole(shape, extents), layout, lattices, sees_all=True, guessed=guessed)


def empty_field(shape: Sequence[int], axes: int) -> Field:
    """No unit sees anything of the input."""
    layout = tuple(plain(size) for size in shape)
    return Field(nothing(shape, axes), layout, (None,) * axes)


# -- axes ----------------------------------------------------------------------------------


def permuted(field: Field, order: Sequence[int]) -> Field:
    """Axes in another order."""
    layout = tuple(field.layout[axis] for axis in order)
    return replace(field, reach=field.reach.permuted(order), layout=layout)


def viewed(field: Field, shape: Sequence[int]) -> Field:
    """The same elements in another shape."""
    layout: list[tuple[Piece, ...]] = [()] * len(shape)
    for before, after in regrouped(field.shape, tuple(shape)):
        pieces = [piece for axis in before for piece in field.layout[axis] if piece[1] != 1]
        for axis, made in zip(after, _split(pieces, [shape[a] for a in after]), strict=True):
            layout[axis] = made
    made_field = replace(field, reach=field.reach.viewed(shape), layout=tuple(layout))
    return replace(made_field, lattices=_followed(field, made_field.layout))


def _split(pieces: list[Piece], sizes: list[int]) -> list[tuple[Piece, ...]]:
    """Pieces dealt out to axes of the given sizes; a piece that must be cut is tangled."""
    left, made = list(pieces), []
    for size in sizes:
        mine: list[Piece] = []
        while prod(piece[1] for piece in mine) < size and left:
            kind, length = left.pop(0)
            room = size // max(prod(piece[1] for piece in mine), 1)
            if length > room or size % (length * prod(piece[1] for piece in mine)):
                kind = PLAIN if kind == PLAIN else TANGLED
                left.insert(0, (kind, max(length // room, 1)))
                length = room
            mine.append((kind, length))
        made.append(tuple(mine) if prod(p[1] for p in mine) == size and mine else plain(size))
    return made


def _followed(field: Field, layout: Layout) -> tuple[Lattice | None, ...]:
    """Lattices of input axes that still run along some axis, or had gone before."""
    before = {piece[0] for pieces in field.layout for piece in pieces if piece[1] > 1}
    after = {piece[0] for pieces in layout for piece in pieces}
    cut = before - after
    return tuple(
        item if axis not in cut or TANGLED in after else None
        for axis, item in enumerate(field.lattices)
    )


def inserted(field: Field, axis: int) -> Field:
    """A new axis of length 1."""
    layout = (*field.layout[:axis], plain(1), *field.layout[axis:])
    return replace(field, reach=field.reach.inserted(axis), layout=layout)


def expanded(field: Field, shape: Sequence[int]) -> Field:
    """Broadcast to a larger shape."""
    if tuple(shape) == field.shape:
        return field
    missing = len(shape) - len(field.shape)
    old = tuple(plain(1) for _ in range(missing)) + field.layout
    layout = tuple(
        pieces if prod(p[1] for p in pieces) == size else plain(size)
        for pieces, size in zip(old, shape, strict=True)
    )
    return replace(field, reach=field.reach.expanded(shape), layout=layout)


def reduced(field: Field, axes: Sequence[int], keep: bool) -> Field:
    """Each unit sees what any unit along the axes sees, as after a mean."""
    layout = tuple(
        plain(1) if axis in axes else pieces
        for axis, pieces in enumerate(field.layout)
        if keep or axis not in axes
    )
    return replace(
        field,
        reach=field.reach.reduced(axes, keep),
        layout=layout,
        lattices=field.without(axes),
        sees_all=field.sees_all or field.carries(axes),
    )


def mixed(field: Field, axes: Sequence[int]) -> Field:
    """As ``reduced``, the axes keeping their size; the local field stays (softmax, norms)."""
    seen = field.sees_all or field.carries(axes)
    return replace(field, reach=field.reach.mixed(axes), sees_all=seen)


def selected(field: Field, axis: int, index: int) -> Field:
    """One index of an axis, which goes."""
    layout = field.layout[:axis] + field.layout[axis + 1 :]
    lattices = field.without([axis]) if field.carries([axis]) else field.lattices
    return replace(field, reach=field.reach.selected(axis, index), layout=layout, lattices=lattices)


def sliced(field: Field, axis: int, where: slice) -> Field:
    """Some indices of an axis."""
    begin, _, step = where.indices(field.shape[axis])
    reach = field.reach.sliced(axis, where)
    size = reach.shape[axis]
    if size == field.shape[axis]:
        return field
    moved = AxisMap(1, step, ((begin,),))
    layout, lattices = _along(field, axis, moved, size)
    return replace(field, reach=reach, layout=layout, lattices=lattices)


def shuffled(field: Field, axis: int, indices: object) -> Field:
    """Indices of an axis in another order (flip, roll): no pattern to follow any more."""
    reach = field.reach.taken(axis, indices)  # type: ignore[arg-type]
    size = reach.shape[axis]
    kind = TANGLED if field.carries([axis]) else PLAIN
    layout = (*field.layout[:axis], ((kind, size),), *field.layout[axis + 1 :])
    lattices = field.without([axis]) if field.carries([axis]) else field.lattices
    return replace(field, reach=reach, layout=layout, lattices=lattices)


# -- windows -------------------------------------------------------------------------------


def windowed(field: Field, axis: int, moved: AxisMap, size: int) -> Field:
    """Each unit sees what the units in its window along ``axis`` see."""
    if moved == _SAME and size == field.shape[axis]:
        return field
    reach = field.reach.windowed(axis, moved, size)
    layout, lattices = _along(field, axis, moved, size)
    return replace(field, reach=reach, layout=layout, lattices=lattices)


def _along(
    field: Field, axis: int, moved: AxisMap, size: int
) -> tuple[Layout, tuple[Lattice | None, ...]]:
    """Layout and lattices after a window operation along one axis of the tensor."""
    pieces = [piece for piece in field.layout[axis] if piece[1] != 1] or [field.layout[axis][0]]
    kind, lattices = pieces[0][0], list(field.lattices)
    plain_rest = all(piece[0] == PLAIN for piece in pieces[1:])
    if kind >= 0 and plain_rest:
        lattice = lattices[kind]
        times = prod(piece[1] for piece in pieces[1:])
        if lattice is not None:
            lattices[kind] = lattice.repeated(times).through(moved)
        made: tuple[Piece, ...] = ((kind, size),)
    elif all(piece[0] == PLAIN for piece in pieces):
        made = plain(size)
    else:
        lattices, made = list(field.without([axis])), ((TANGLED, size),)
    return (*field.layout[:axis], made, *field.layout[axis + 1 :]), tuple(lattices)


# -- several -------------------------------------------------------------------------------


def joined(shape: Sequence[int], fields: Sequence[Field]) -> Field:
    """Branches that meet element by element, broadcast where needed."""
    if len(fields) == 1:
        return expanded(fields[0], shape)
    parts = [expanded(field, shape) for field in fields]
    reach = combined(shape, [part.reach for part in parts])
    return _met(reach, parts, _common_layout(shape, parts))


def _common_layout(shape: Sequence[int], parts: Sequence[Field]) -> Layout:
    layout = []
    for axis, size in enumerate(shape):
        found = [part.layout[axis] for part in parts if part.carries([axis])]
        layout.append(found[0] if found else plain(size))
    return tuple(layout)


def _met(reach: Reach, parts: Sequence[Field], layout: Layout) -> Field:
    """The field of branches that met: a branch that sees all leaves the local field alone."""
    lattices, offset = [], max(part.offset for part in parts)
    for axis in range(len(parts[0].lattices)):
        local = [p.lattices[axis] for p in parts if p.lattices[axis] is not None or not p.sees_all]
        places = {p.axis_of(axis) for p in parts if p.lattices[axis] is not None}
        meet = _meet(local) if len(places - {None}) <= 1 else None
        lattices.append(meet)
        offset = max(offset, _distance(local))
    return Field(
        reach,
        layout,
        tuple(lattices),
        any(part.sees_all for part in parts),
        any(part.guessed for part in parts),
        offset,
    )


def _meet(lattices: Sequence[Lattice | None]) -> Lattice | None:
    made = lattices[0] if lattices else None
    for lattice in lattices[1:]:
        if made is None or lattice is None:
            return None
        made = made if lattice == made else made.joined(lattice)
    return made


def _distance(lattices: Sequence[Lattice | None]) -> float:
    """Largest distance between the centres of the first units of branches."""
    spans = [item.span(0) for item in lattices if item is not None]
    centres = [(low + high) / 2 for low, high in spans if high >= low]
    return max(centres) - min(centres) if centres else 0.0


def concatenated(shape: Sequence[int], axis: int, fields: Sequence[Field]) -> Field:
    """Branches behind one another along ``axis``."""
    reach = behind_one_another(shape, axis, [field.reach for field in fields])
    carried = any(field.carries([axis]) for field in fields)
    seeing = [field for field in fields if field.layout and _sees(field)] or list(fields[:1])
    layout = list(_common_layout(shape, seeing))
    layout[axis] = ((TANGLED, shape[axis]),) if carried else plain(shape[axis])
    return _met(reach, seeing, tuple(layout))


def _sees(field: Field) -> bool:
    return any(
        bool((low <= high).any())
        for low, high in zip(field.reach.low, field.reach.high, strict=True)
    )
