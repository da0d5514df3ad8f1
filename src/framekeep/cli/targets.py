"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from framekeep.errors import InvalidInputError
from framekeep.exporting import Format, format_of


class UnusableFileError(InvalidInputError):
    """The file must not, or cannot, be written."""

    code = "unusable_file"


def checked_target(path: Path, *, force: bool) -> Format:
    """Return the format that a file to be written has by its suffix, before any work is done.

    Raises:
        InvalidInputError: the suffix is no format's.
        UnusableFileError: no such directory, or the file exists and ``force`` is false.
    """
    format = format_of(path)
    if path.exists() and not force:
        raise UnusableFileError(f"{path} exists. Give another name, or --force to replace it.")
    if not path.parent.is_dir():
        raise UnusableFileError(f"There is no directory {path.parent}.")
    return format


def write(pieces: Iterable[bytes], path: Path) -> None:
    """Write beside ``path`` and move it there at the end, so that nobody meets half a file.

    Raises:
        UnusableFileError: the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        beside.replace(path)
    except OSError as error:
        raise UnusableFileError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        beside.unlink(missing_ok=True)
