"""Directories of the embedded store: which file system they are on, whether it is safe there, making them.

LMDB's locks and shared memory map need all processes on one machine with one page cache.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from framekeep.errors import NetworkFilesystemError

NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs3"}
    | {"nfs4", "smb2", "smb3", "smbfs", "wekafs"}
    | {"fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
)

_ESCAPE = re.compile(r"\\([0-7]{3})")


def filesystem_of(path: str, mounts: str) -> str:
    """Return the type of the file system that holds the absolute ``path``; "" if unknown.

    Args:
        mounts: the text of /proc/mounts (octal escapes for blanks; a later line covers an earlier one).
    """
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[1])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind


def refuse_network(directory: Path, mounts: str | None = None) -> None:
    """Raise NetworkFilesystemError when ``directory`` is on a network file system.

    Args:
        directory: need not exist yet.
        mounts: the text of /proc/mounts; None reads it (and accepts every directory where there is none).
    """
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text(errors="surrogateescape")
        except OSError:
            return
    kind = filesystem_of(os.path.realpath(directory), mounts)
    if kind in NETWORK:
        raise NetworkFilesystemError(
            f"The directory {directory} is on a network file system ({kind}), where the locks of the "
            "embedded engine are not safe. Set STORAGE_DIR to a local disk, or share between machines "
            "with Redis."
        )


def make_directory(directory: Path) -> None:
    """Make a directory with those above it, so that a power cut does not take it away again."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in missing:
        sync_directory(made.parent)


def sync_directory(directory: Path) -> None:
    """Let the names in a directory survive a power cut."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
