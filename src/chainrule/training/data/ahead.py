"""Ahead: the next item is made by a thread while this one is used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_SECONDS = 0.1  # between two looks whether anybody still wants what is made


def ahead(made: Iterator[T]) -> Generator[T, None, None]:
    """The items of ``made``, one of which is always being made already.

    What goes wrong there is raised here; the thread ends with the generator (``close``).

    Examples:
        >>> list(ahead(iter("abc")))
        ['a', 'b', 'c']
    """
    items: queue.Queue[tuple[bool, Any]] = queue.Queue(maxsize=1)
    unwanted = threading.Event()
    arguments = (made, items, unwanted)
    thread = threading.Thread(target=_make, args=arguments, name="chainrule-ahead", daemon=True)
    thread.start()
    try:
        while True:
            more, item = items.get()
            if more:
                yield item
            elif item is not None:
                raise item
            else:
                return
    finally:
        unwanted.set()
        thread.join()


def _make(
    made: Iterator[T], items: queue.Queue[tuple[bool, Any]], unwanted: threading.Event
) -> None:
    try:
        for item in made:
            _offer((True, item), items, unwanted)
            if unwanted.is_set():
                return
        _offer((False, None), items, unwanted)
    except BaseException as error:  # noqa: BLE001 - raised again where the item is waited for
        _offer((False, error), items, unwanted)


def _offer(
    item: tuple[bool, Any], items: queue.Queue[tuple[bool, Any]], unwanted: threading.Event
) -> None:
    while not unwanted.is_set():
        try:
            items.put(item, timeout=_SECONDS)
        except queue.Full:
            continue
        return
