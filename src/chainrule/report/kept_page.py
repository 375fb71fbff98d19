"""Kept page: the page of a watched run, beside its record."""

from __future__ import annotations

from pathlib import Path

from chainrule.diagnosis.watch import Watching
from chainrule.errors import ChainruleError
from chainrule.report.page import write_page


def keep_page(watching: Watching) -> str:
    """Write the page of a watch that is over; gives why it could not be written, "" where it was.

    Args:
        watching: learns where its page is; nothing is written where no run was kept.
    """
    folder = watching.result.folder
    if not folder:
        return ""
    path = Path(folder) / "report.html"
    watching.note_report(str(path))
    try:
        write_page(watching.result, path)
    except ChainruleError as error:
        watching.note_report("")
        return str(error)
    return ""
