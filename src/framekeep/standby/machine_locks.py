"""Locks among all threads and processes of one machine: each is a byte of a file.

A lock of a file belongs to a process, not to a thread, and goes when the process closes the file anywhere; so
all that a process locks in one file goes through one descriptor, behind locks of its own. It is closed when
nobody uses it any more.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, RLock
from typing import Final

from framekeep.errors import StorageUnavailableError

_AGAIN: Final = 0.001


class MachineLocks:
    """The locks of one file. Not reentrant.

    Args:
        path: of the file; made when missing.
        number: how many there are.
    """

    def __init__(self, path: Path, number: int) -> None:
        self._file = _opened(path, number)
        self._leave = weakref.finalize(self, _left, self._file)
        self._leave.atexit = False

    def close(self) -> None:
        """Need the file no longer; locks that are held are held until they are given back. Idempotent."""
        self._leave()

    @contextmanager
    def held(self, number: int) -> Iterator[None]:
        """Keep all others from one lock for the block.

        Raises:
            StorageUnavailableError: it is closed.
        """
        with self._used() as file, file.mine[number]:
            _wait(file, number)
            try:
                yield
            finally:
                fcntl.lockf(file.descriptor, fcntl.LOCK_UN, 1, number)

    @contextmanager
    def attempted(self, number: int) -> Iterator[bool]:
        """Do so if nobody has it, and say whether."""
        with self._used() as file:
            if not file.mine[number].acquire(blocking=False):
                yield False
                return
            try:
                try:
                    fcntl.lockf(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                except OSError:
                    yield False
                    return
                try:
                    yield True
                finally:
                    fcntl.lockf(file.descriptor, fcntl.LOCK_UN, 1, number)
            finally:
                file.mine[number].release()

    @contextmanager
    def _used(self) -> Iterator[_File]:
        """Give the file, which stays open for the block."""
        with _registry:
            if not self._leave.alive:
                raise StorageUnavailableError("The standby is closed.")
            self._file.holds += 1
        try:
            yield self._file
        finally:
            with _registry:
                self._file.holds -= 1
                _close_unused(self._file)


def _wait(file: _File, number: int) -> None:
    while True:
        try:
            fcntl.lockf(file.descriptor, fcntl.LOCK_EX, 1, number)
            return
        except OSError as error:
            # Threads of two processes that wait for each other's processes look like a deadlock.
            if error.errno != errno.EDEADLK:
                raise
            time.sleep(_AGAIN)


class _File:
    """A file that is open for its users, and what keeps the threads of this process apart."""

    def __init__(self, descriptor: int, key: tuple[int, int]) -> None:
        self.descriptor = descriptor
        self.key = key
        self.users = 1
        self.holds = 0  # locks that are held or waited for
        self.mine: list[Lock] = []

    def grow(self, number: int) -> None:
        self.mine += [Lock() for _ in range(number - len(self.mine))]


_files: dict[tuple[int, int], _File] = {}
_registry = RLock()  # the garbage collector may call _left anywhere, also in _opened


def _opened(path: Path, number: int) -> _File:
    with _registry:
        try:
            known = os.stat(path)  # opened again, and closed, it would lose the locks that are held
            found = _files.get((known.st_dev, known.st_ino))
        except FileNotFoundError:
            found = None
        if found is not None:
            found.users += 1
        if found is None or found.descriptor < 0:  # which was left just now
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            made = os.fstat(descriptor)
            key = (made.st_dev, made.st_ino)
            found = _files[key] = _File(descriptor, key)
        found.grow(number)
        return found


def _left(file: _File) -> None:
    """Close a file that has no users any more."""
    with _registry:
        file.users -= 1
        _close_unused(file)


def _close_unused(file: _File) -> None:
    if not file.users and not file.holds and file.descriptor >= 0:
        del _files[file.key]
        os.close(file.descriptor)
        file.descriptor = -1


def _after_fork_in_child() -> None:
    """Locks of files are not inherited; those of threads that are not here are free."""
    global _registry
    _registry = RLock()
    for file in _files.values():
        file.mine, file.holds = [Lock() for _ in file.mine], 0


os.register_at_fork(after_in_child=_after_fork_in_child)
