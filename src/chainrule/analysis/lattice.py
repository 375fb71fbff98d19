"""Lattice: which input positions the units of a layer see along one axis, borders apart.

Window operations repeat: moving the window by some outputs moves what it reads by some inputs.
So the field of every unit follows from that of a few phases, without end in both directions;
the theoretical receptive field (Dumoulin & Visin 2016, section 2; Araujo et al. 2019) is read
off here. What the borders cut away is told by ``reach``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import floor, gcd, lcm
from typing import Literal

# what is read outside the tensor: zeros ("drop"), the edge again ("clamp"), a mirror image
# ("reflect"), or what PyTorch's linear interpolation reads, which moves both taps inside ("pair")
Border = Literal["drop", "clamp", "reflect", "pair"]


@dataclass(frozen=True)
class AxisMap:
    """What a window operation reads along one axis.

    Attributes:
        outputs: after so many outputs the pattern repeats ...
        inputs: ... so many inputs further on.
        taps: for each output of one round the input positions that it reads; positions below 0
            and past the end are outside the tensor.
        border: what is read outside the tensor.
    """

    outputs: int
    inputs: int
    taps: tuple[tuple[int, ...], ...]
    border: Border = "drop"

    def at(self, position: int) -> tuple[int, ...]:
        """Input positions that output ``position`` reads."""
        turn, phase = divmod(position, self.outputs)
        return tuple(tap + turn * self.inputs for tap in self.taps[phase])


@dataclass(frozen=True)
class Lattice:
    """The input positions seen by the units along an axis.

    Attributes:
        period: after so many units the pattern repeats ...
        shift: ... so many input positions further on.
        low: for each unit of a period the first input position it sees.
        seen: for each unit a set of bits: bit i stands for input position ``low + i``.

    Examples:
        >>> field = start().through(window_map(3, stride=2)).through(window_map(3))
        >>> field.width, field.jump
        (7, 2.0)
    """

    period: int
    shift: int
    low: tuple[int, ...]
    seen: tuple[int, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of the field per phase, holes included."""
        return tuple(bits.bit_length() for bits in self.seen)

    @property
    def width(self) -> int:
        """Largest width of a field."""
        return max(self.widths)

    @property
    def jump(self) -> float:
        """Input positions from one unit to the next, on average."""
        return self.shift / self.period

    @property
    def holes(self) -> int:
        """Most input positions that lie within the field of a unit and that it does not see."""
        return max(bits.bit_length() - bits.bit_count() for bits in self.seen)

    def span(self, unit: int) -> tuple[int, int]:
        """First and last input position of a unit; the last before the first when it sees none."""
        turn, phase = divmod(unit, self.period)
        low = self.low[phase] + turn * self.shift
        return low, low + self.seen[phase].bit_length() - 1

    def through(self, moved: AxisMap) -> Lattice:
        """The lattice after a window operation."""
        return _through(self, moved)

    def joined(self, other: Lattice) -> Lattice | None:
        """The lattice where two branches meet; None when they run at different paces."""
        return _joined(self, other)

    def repeated(self, times: int) -> Lattice:
        """Every unit ``times`` times in a row."""
        indices = [unit for unit in range(self.period) for _ in range(times)]
        low = tuple(self.low[unit] for unit in indices)
        seen = tuple(self.seen[unit] for unit in indices)
        return Lattice(self.period * times, self.shift, low, seen)


def start() -> Lattice:
    """The lattice of the input itself: each position sees itself."""
    return Lattice(1, 1, (0,), (1,))


@lru_cache(maxsize=4096)
def _through(lattice: Lattice, moved: AxisMap) -> Lattice:
    rounds = lattice.period // gcd(lattice.period, moved.inputs)
    units = [
        _union([_unit(lattice, tap) for tap in moved.at(position)])
        for position in range(rounds * moved.outputs)
    ]
    shift = rounds * moved.inputs // lattice.period * lattice.shift
    return _reduced(len(units), shift, units)


@lru_cache(maxsize=4096)
def _joined(one: Lattice, other: Lattice) -> Lattice | None:
    if one.shift * other.period != other.shift * one.period:
        return None
    period = lcm(one.period, other.period)
    units = [_union([_unit(one, unit), _unit(other, unit)]) for unit in range(period)]
    return _reduced(period, one.shift * period // one.period, units)


def _unit(lattice: Lattice, unit: int) -> tuple[int, int]:
    turn, phase = divmod(unit, lattice.period)
    return lattice.low[phase] + turn * lattice.shift, lattice.seen[phase]


def _union(sets: list[tuple[int, int]]) -> tuple[int, int]:
    held = [(low, bits) for low, bits in sets if bits]
    if not held:
        return 0, 0
    first = min(low for low, _ in held)
    together = 0
    for low, bits in held:
        together |= bits << (low - first)
    return first, together


def _reduced(period: int, shift: int, units: list[tuple[int, int]]) -> Lattice:
    """The same lattice with the shortest period."""
    for shorter in range(1, period):
        if period % shorter or (shift * shorter) % period:
            continue
        step = shift * shorter // period
        again = all(
            units[place]
            == (
                units[place - shorter][0] + (step if units[place][1] else 0),
                units[place - shorter][1],
            )
            for place in range(shorter, period)
        )
        if again:
            period, shift, units = shorter, step, units[:shorter]
            break
    return Lattice(period, shift, tuple(low for low, _ in units), tuple(bits for _, bits in units))


# -- what the window operations read -------------------------------------------------------


@lru_cache(maxsize=1024)
def window_map(
    size: int, stride: int = 1, padding: int = 0, dilation: int = 1, border: Border = "drop"
) -> AxisMap:
    """Convolution and pooling: output o reads ``o s - p + k d`` for k = 0 ... size - 1."""
    taps = tuple(tap * dilation - padding for tap in range(size))
    return AxisMap(1, stride, (taps,), border)


@lru_cache(maxsize=1024)
def transposed_map(size: int, stride: int, padding: int, dilation: int) -> AxisMap:
    """Transposed convolution: output o reads i where ``i s - p + k d = o`` for some k."""
    taps = tuple(
        tuple(
            sorted(
                (output + padding - tap * dilation) // stride
                for tap in range(size)
                if (output + padding - tap * dilation) % stride == 0
            )
        )
        for output in range(stride)
    )
    return AxisMap(stride, 1, taps)


@lru_cache(maxsize=1024)
def adaptive_map(inputs: int, outputs: int) -> AxisMap:
    """Adaptive pooling: output o reads ``floor(o n / m)`` to ``ceil((o + 1) n / m) - 1``."""
    common = gcd(inputs, outputs)
    n, m = inputs // common, outputs // common
    taps = tuple(tuple(range(o * n // m, -(-(o + 1) * n // m))) for o in range(m))
    return AxisMap(m, n, taps)


@lru_cache(maxsize=1024)
def nearest_map(pace: Fraction, exact: bool = False) -> AxisMap:
    """Nearest interpolation: output o reads ``floor(o pace)``, or of its centre when exact.

    ``pace`` is the number of inputs per output.
    """
    half = Fraction(1, 2) if exact else Fraction(0)
    taps = tuple((floor((o + half) * pace),) for o in range(pace.denominator))
    return AxisMap(pace.denominator, pace.numerator, taps, "clamp")


@lru_cache(maxsize=1024)
def interpolation_map(pace: Fraction, align_corners: bool, reach: int = 1) -> AxisMap:
    """Linear (reach 1) and cubic (reach 2) interpolation around the source position.

    A tap whose weight happens to be zero counts as read: a NaN there would arrive.
    """
    half = Fraction(0) if align_corners else Fraction(1, 2)
    places = [floor((o + half) * pace - half) for o in range(pace.denominator)]
    taps = tuple(tuple(range(place - reach + 1, place + reach + 1)) for place in places)
    return AxisMap(pace.denominator, pace.numerator, taps, "pair" if reach == 1 else "clamp")


@lru_cache(maxsize=1024)
def slice_map(begin: int, step: int = 1) -> AxisMap:
    """Output o reads ``begin + o step``; padding is a slice that begins before the start."""
    return AxisMap(1, step, ((begin,),))
