"""What the workers of a machine have had acknowledged last, of each space: a table that all of them map.

It says whether what is here of a space is all that this machine knows of it, or whether another worker is
about to mirror more. It is a hint: written without locks, and of two spaces that share a row the last one is
known.
"""

from __future__ import annotations

import logging
import mmap
import os
from pathlib import Path
from typing import Final

from framekeep.names import REVISION_SIZE, Revision, Space, digest_of

logger = logging.getLogger("framekeep")

GONE: Final = Revision(bytes(REVISION_SIZE))
"""In place of a revision: the space was deleted."""

_ROWS: Final = 1 << 16
_NAME: Final = 8
_ROW: Final = 32


class Latest:
    """The table of one directory.

    Args:
        path: of the file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # All of it: a page that is missing on a full disk would kill who writes to it.
            os.posix_fallocate(file, 0, _ROWS * _ROW)
            self._rows: mmap.mmap | bytearray = mmap.mmap(file, _ROWS * _ROW)
        except OSError as error:  # and without it, others of the machine are not waited for
            logger.warning("Standby: there is no room for %s (%s)", path, error.strerror)
            self._rows = bytearray(_ROWS * _ROW)
        finally:
            os.close(file)

    def note(self, space: Space, revision: Revision | None) -> None:
        """Write down the revision that a space has now; None: it was deleted."""
        start, name = _row(space)
        self._rows[start : start + _NAME + REVISION_SIZE] = name + (revision or GONE)

    def get(self, space: Space) -> Revision | None:
        """Return the revision, ``GONE``, or None where it is not known."""
        start, name = _row(space)
        row = self._rows[start : start + _NAME + REVISION_SIZE]
        return Revision(bytes(row[_NAME:])) if row.startswith(name) else None

    def forget(self, space: Space) -> None:
        """Know nothing of a space."""
        start, name = _row(space)
        if self._rows[start : start + _NAME] == name:
            self._rows[start : start + _NAME] = bytes(_NAME)

    def close(self) -> None:
        """Let go of the file, and know nothing. Idempotent."""
        self._rows = bytearray(_ROWS * _ROW)  # whoever looks at the mapped one just now still may


def _row(space: Space) -> tuple[int, bytes]:
    name = digest_of(space.encode())[:_NAME]
    return int.from_bytes(name[:2], "little") % _ROWS * _ROW, name
