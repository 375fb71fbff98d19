"""Words: numbers and shapes as people write them, the same in every medium."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_BLOCKS = "▁▂▃▄▅▆▇█"


def volume(shape: Sequence[int] | None) -> str:
    """A shape as the course writes it.

    Examples:
        >>> volume((3, 32, 16)), volume((10,)), volume(None)
        ('32x16x3', '10', '?')
    """
    if shape is None:
        return "?"
    if not shape:
        return "scalar"
    if len(shape) == 3:
        return f"{shape[1]}x{shape[2]}x{shape[0]}"
    return "x".join(str(size) for size in shape)


def percent(share: float | None) -> str:
    """A share in per cent; a dash where there is none.

    Examples:
        >>> percent(0.98765), percent(None)
        ('98.77 %', '-')
    """
    return "-" if share is None else f"{100 * share:.2f} %"


def number(value: object) -> str:
    """A number short enough to read, anything else as it is.

    Examples:
        >>> number(0.000123456), number(12345), number(None), number("x")
        ('0.0001235', '12,345', '-', 'x')
    """
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def metric(value: float) -> str:
    """A count with a metric prefix, three significant digits.

    Examples:
        >>> metric(15_470_264_320), metric(1_814_073), metric(999), metric(0)
        ('15.5 G', '1.81 M', '999', '0')
    """
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scale = 1e3 if letter == "k" else size
            return f"{value / scale:.3g} {letter}" if value < 1000 * scale else f"{value:.3g}"
    return f"{value:,.0f}"


def size_in_bytes(value: float) -> str:
    """Bytes with a metric prefix (1 MB = 10^6 bytes).

    Examples:
        >>> size_in_bytes(12_845_056), size_in_bytes(512)
        ('12.8 MB', '512 B')
    """
    text = metric(value)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def duration(seconds: float) -> str:
    """Seconds as seconds, minutes or hours.

    Examples:
        >>> duration(12.34), duration(754), duration(7300)
        ('12.3 s', '12 min 34 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def sparkline(values: Sequence[float], width: int = 30) -> str:
    """A curve in one line of blocks, values averaged into ``width`` columns.

    Examples:
        >>> sparkline([0, 1, 2, 3])
        '▁▃▆█'
    """
    finite = [value for value in values if value == value and abs(value) != float("inf")]
    if not finite:
        return ""
    columns = min(width, len(finite))
    cuts = [round(place * len(finite) / columns) for place in range(columns + 1)]
    means = [sum(finite[start:end]) / (end - start) for start, end in pairwise(cuts)]
    low, high = min(means), max(means)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((mean - low) * scale)] for mean in means)


def shortened(text: str, width: int = 40) -> str:
    """The text, cut with an ellipsis when it is longer than ``width``.

    Examples:
        >>> shortened("CONV5-10, RELU", 8)
        'CONV5-1…'
    """
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}…"
