"""Find: where the files of a named data set may lie, and what to say when they do not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from chainrule.errors import DataError

VARIABLE = "CHAINRULE_DATA"


def folders_of(name: str, directory: str | Path | None) -> list[Path]:
    """Where to look: ``directory``, CHAINRULE_DATA or ./data, and the subfolder ``name``."""
    given = directory or os.environ.get(VARIABLE) or "data"
    root = Path(given).expanduser()
    plain = name.replace("-", "")
    return list(dict.fromkeys([root / name, root / plain, root / name.replace("-", "_"), root]))


def find_files(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of ``names`` that is a file in ``folder``."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def missing(name: str, files: Sequence[str], folders: Sequence[Path], where: str) -> DataError:
    """The error that names the wanted files, the places looked in and where to get them."""
    looked = ", ".join(f"'{folder}'" for folder in folders if folder.is_dir()) or f"'{folders[-1]}'"
    return DataError(
        f"data '{name}' are not in {looked}; wants {', '.join(files)}, published at {where}; put "
        f"them into one folder and name it with --data-dir or {VARIABLE}"
    )
