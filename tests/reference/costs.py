"""MACs and bytes the slow, obvious way, from the definition."""

from __future__ import annotations


def convolution_macs(
    inputs: tuple[int, int, int], filters: int, kernel: int, stride: int, padding: int, groups: int
) -> int:
    """Count every product of every window position, one filter at a time; zeros count too."""
    channels, height, width = inputs
    count = 0
    for _ in range(filters):
        for _top in range(-padding, height + padding - kernel + 1, stride):
            for _left in range(-padding, width + padding - kernel + 1, stride):
                count += kernel * kernel * (channels // groups)
    return count


def matrix_macs(rows: int, inner: int, columns: int) -> int:
    """Three nested loops."""
    return sum(1 for _ in range(rows) for _ in range(columns) for _ in range(inner))


def peak(spans: list[tuple[int, int, int]]) -> int:
    """Largest sum of bytes over (first, last, bytes) spans, moment by moment."""
    moments = range(min(s[0] for s in spans), max(s[1] for s in spans) + 1)
    return max(sum(size for first, last, size in spans if first <= t <= last) for t in moments)
