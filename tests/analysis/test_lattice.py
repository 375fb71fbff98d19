"""Lattices: the theoretical field, against a brute-force walk over sets of positions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.analysis.lattice import (
    AxisMap,
    Lattice,
    adaptive_map,
    interpolation_map,
    nearest_map,
    slice_map,
    start,
    transposed_map,
    window_map,
)

SIZE = st.integers(1, 5)
MAPS = st.one_of(
    st.builds(
        window_map, st.integers(1, 5), st.integers(1, 4), st.integers(0, 4), st.integers(1, 3)
    ),
    st.builds(transposed_map, st.integers(1, 5), st.integers(1, 4), st.integers(0, 3), st.just(1)),
    st.builds(adaptive_map, st.integers(2, 9), st.integers(2, 9)),
    st.builds(nearest_map, st.fractions(Fraction(1, 4), 3, max_denominator=5), st.booleans()),
    st.builds(interpolation_map, st.fractions(Fraction(1, 4), 3, max_denominator=5), st.booleans()),
    st.builds(slice_map, st.integers(-3, 3), st.integers(1, 3)),
)


def seen_by_walking(maps: list[AxisMap], unit: int) -> set[int]:
    """The input positions that a unit sees, by following every tap back to the input."""
    seen = {unit}
    for moved in reversed(maps):
        seen = {tap for position in seen for tap in moved.at(position)}
    return seen


def positions(lattice: Lattice, unit: int) -> set[int]:
    low, _ = lattice.span(unit)
    bits = lattice.seen[unit % lattice.period]
    return {low + place for place in range(bits.bit_length()) if bits >> place & 1}


@settings(max_examples=150, deadline=None)
@given(maps=st.lists(MAPS, min_size=1, max_size=5))
def test_a_chain_of_windows_sees_what_a_walk_finds(maps: list[AxisMap]) -> None:
    lattice = start()
    for moved in maps:
        lattice = lattice.through(moved)
    for unit in (-3, 0, 1, 2, 7, lattice.period):
        assert positions(lattice, unit) == seen_by_walking(maps, unit)


@settings(max_examples=80, deadline=None)
@given(one=st.lists(MAPS, max_size=3), other=st.lists(MAPS, max_size=3))
def test_branches_that_meet_see_the_union(one: list[AxisMap], other: list[AxisMap]) -> None:
    left, right = start(), start()
    for moved in one:
        left = left.through(moved)
    for moved in other:
        right = right.through(moved)
    both = left.joined(right)
    if left.jump != right.jump:
        assert both is None
        return
    assert both is not None
    for unit in (-2, 0, 1, 5, 11):
        assert positions(both, unit) == positions(left, unit) | positions(right, unit)


@pytest.mark.parametrize(
    ("maps", "width", "jump"),
    [
        ([window_map(3)] * 3, 7, 1),  # Simonyan and Zisserman 2015, section 2.3
        ([window_map(7, 2, 3), window_map(3, 2, 1)], 11, 4),
        ([window_map(3, dilation=1), window_map(3, dilation=2), window_map(3, dilation=4)], 15, 1),
    ],
)
def test_published_recursions(maps: list[AxisMap], width: int, jump: float) -> None:
    lattice = start()
    for moved in maps:
        lattice = lattice.through(moved)
    assert (lattice.width, lattice.jump) == (width, jump)


def test_dilation_leaves_holes_and_says_so() -> None:
    lattice = start().through(window_map(3, dilation=4))
    assert (lattice.width, lattice.holes) == (9, 6)
    assert start().through(window_map(3)).holes == 0


def test_the_period_is_the_shortest() -> None:
    halved = start().through(window_map(2, 2))
    assert halved.through(transposed_map(2, 2, 0, 1)).period == 2
    assert halved.period == 1
