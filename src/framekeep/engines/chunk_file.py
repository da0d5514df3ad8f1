"""The file of a machine's chunk cache: opened once per process, shared by all, thrown away when in doubt.

Owns the LMDB environment ``chunks.lmdb``, the locks between processes, forks, and what happens when the file
is damaged, cut, foreign or from before a restart. Knows nothing of what is in it. Nothing here raises for the
state of the file: whoever asks gets his default back, and the cache is out of use for a while.

``chunks.lock`` is held (flock) by whoever changes the file or its name, never by readers, and nobody waits
for it for long: LMDB's own write lock, which cannot be given up waiting for, is only taken under it. The file
itself is held shared by every process that has it open, so that one who opens it knows whether he is alone.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import lmdb

from framekeep.engines import lmdb_pages as pages
from framekeep.engines.filesystems import refuse_network
from framekeep.engines.lmdb_errors import BY_CLASS, translated
from framekeep.engines.lmdb_gate import Gate
from framekeep.engines.lmdb_store import MAX_READERS, _boot_id, _pid_namespace
from framekeep.errors import (
    ForeignStoreError,
    FramekeepError,
    StorageBusyError,
    StorageError,
    StorageReadOnlyError,
    StoreDamagedError,
)

T = TypeVar("T")

logger = logging.getLogger("framekeep")

FILE: Final = "chunks.lmdb"
LOCK_FILE: Final = "chunks.lock"
NEW_FILE: Final = "chunks.lmdb.new"

INDEX: Final = b"index"
BLOBS: Final = b"blobs"
DATABASES: Final = (INDEX, BLOBS)

FORMAT: Final = 1
RETRY_SECONDS: Final = 60.0
"""How long a cache that could not be opened is left alone."""

_OPEN_SECONDS = 5.0
_CLOSE_SECONDS = 0.25
_FORK_SECONDS = 5.0
_POLL_SECONDS = 0.001
_MODE = 0o600
_GRAIN = 64 << 10  # the largest page a system has
_RECORD_BYTES = 512

_DAMAGE: Final = (
    StoreDamagedError,
    struct.error,  # a number that is none
    SystemError,  # what LMDB's binding makes of pages that contradict each other while it deletes
    *(
        getattr(lmdb, name)
        for name, (kind, _) in BY_CLASS.items()
        if kind in (StoreDamagedError, ForeignStoreError, StorageError) and hasattr(lmdb, name)
    ),
)
"""Errors that a new file cures: in one that is well LMDB has no reason for them."""


class _Record(NamedTuple):
    """What ``chunks.lock`` says of the file: who may use it, and that it is ours whatever its bytes are."""

    format: int
    boot: str
    namespace: str
    inode: int


class Full(Exception):
    """No page is free in the file: something has to go, or somebody reads what went long ago."""


class ChunkFile:
    """The open file of one directory; one object per process and directory."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self.directory = directory
        self.path = str(directory / FILE)
        self.size = max(_GRAIN, limit_bytes // _GRAIN * _GRAIN)
        self.gate = Gate()
        self.users = 0
        self.failures = 0
        self.error: str | None = None
        self.env: lmdb.Environment | None = None
        self.dbs: dict[bytes, Any] = {}
        self._writing = threading.Lock()
        self._lock_fd = -1
        self._data_fd = -1
        self._map_size = 0
        self._stale = False
        self._closed = False
        self._retry_at = 0.0
        self._warned = False
        self._shut_for_fork = False

    # --- using it --------------------------------------------------------------------------------

    def run(self, work: Callable[[lmdb.Environment], T], default: T) -> T:
        """Return what ``work`` returns; ``default`` where the file cannot be used now. Waits for nobody.

        Args:
            work: opens and ends its own transactions; must not raise exceptions of others as ``OSError``.
            default: the answer of a cache that has nothing.
        """
        for _ in range(2):  # the second time on the new file of somebody who replaced or enlarged it
            if not self.ready() or not self.gate.enter_at_once():
                return default
            trouble: Exception | None = None
            try:
                if self.env is None:
                    return default
                status = os.fstat(self._data_fd)
                if status.st_nlink == 0:
                    self._stale = True
                elif status.st_size < self._map_size:
                    # Pages beyond the end kill whoever looks at them, so they are not looked at.
                    trouble = StoreDamagedError(f"The file {self.path} was cut off.")
                else:
                    return work(self.env)
            except lmdb.MapResizedError:
                self._stale = True
            except (lmdb.Error, OSError, struct.error, SystemError) as e:
                trouble = e
            finally:
                self.gate.leave()
            if trouble is not None:
                self._failed(trouble)
                if isinstance(trouble, _DAMAGE):
                    self.throw_away()
                return default
        return default

    def change(self, work: Callable[[lmdb.Transaction[Any]], T], default: T, *, patience: float) -> T:
        """Return what ``work`` returns on a write transaction, which is committed.

        ``default`` also where others write for longer than ``patience`` seconds.

        Raises:
            Full: nothing was changed.
        """

        def begin(env: lmdb.Environment) -> T:
            with self._locked(patience) as locked:
                if not locked:
                    return default
                try:
                    with env.begin(write=True, buffers=True) as txn:
                        return work(txn)
                except lmdb.MapFullError as e:
                    raise Full from e

        return self.run(begin, default)

    def throw_away(self) -> None:
        """Remove the file, so that everybody opens a new one; those inside go on with the old one."""
        if not self.gate.enter_at_once():
            return
        try:
            if self.env is None:
                return
            with self._locked(_CLOSE_SECONDS) as locked:
                if locked and os.fstat(self._data_fd).st_nlink and self._is_in_place():
                    self._unlink()
            self._stale = True
        except OSError as e:
            self._failed(e)
        finally:
            self.gate.leave()

    def _is_in_place(self) -> bool:
        try:
            return os.stat(self.path).st_ino == os.fstat(self._data_fd).st_ino
        except FileNotFoundError:
            return False

    def _unlink(self) -> None:
        # LMDB's lock file too: the readers and the transaction number in it are those of this file.
        for path in (self.path, self.path + "-lock", str(self.directory / NEW_FILE)):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, (lmdb.Error, OSError)):
            error = translated(error, self.path)
        self.failures += 1
        self.error = str(error)
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        logger.log(level, "The local chunk cache is passed over: %s", error)

    # --- opening and closing ---------------------------------------------------------------------

    def ready(self) -> bool:
        """Open the file if it is not; return whether it is open."""
        if self.env is not None and not self._stale:
            return True
        if self._closed or time.monotonic() < self._retry_at:
            return False
        if not self.gate.shut(timeout=_CLOSE_SECONDS):
            return False  # threads still look at the old one, or this one does
        try:
            if self.env is not None and self._stale:
                self._close_files()
            if self.env is None and not self._closed:
                self._open_files()
        except (lmdb.Error, OSError, FramekeepError) as e:
            self._close_files()
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._failed(e)
        finally:
            self.gate.open()
        return self.env is not None

    def close(self) -> None:
        """Close the file for good.

        Raises:
            RuntimeError: this thread is inside.
        """
        with self.gate.alone():
            self._close_files()
            self._closed = True

    def _open_files(self) -> None:
        refuse_network(self.directory)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._refuse_directory_of_others()
        self._lock_fd = os.open(self.directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, _MODE)
        with self._locked(_OPEN_SECONDS) as locked:
            if not locked:
                raise StorageBusyError(f"The local cache {self.path} is being changed by another process.")
            if not self._usable():
                self._make()
            try:
                self._open_file()
            except _DAMAGE:
                self._make()
                self._open_file()
        self._stale, self.error = False, None

    def _open_file(self) -> None:
        """Open the file that is there; the lock is held."""
        if self._data_fd >= 0:
            os.close(self._data_fd)
        self._data_fd = os.open(self.path, os.O_RDWR)
        fcntl.flock(self._data_fd, fcntl.LOCK_SH)
        if os.fstat(self._data_fd).st_size < self.size:
            os.ftruncate(self._data_fd, self.size)  # the others were given less
        self._map_size = os.fstat(self._data_fd).st_size
        env = self._open_env(self.path, self._map_size)
        try:
            with env.begin(write=True) as txn:
                self.dbs = {name: env.open_db(name, txn=txn, create=False) for name in DATABASES}
            env.reader_check()
        except BaseException:
            env.close()
            raise
        self.env = env

    def _refuse_directory_of_others(self) -> None:
        """Raise unless what is here is this user's: LMDB is not hardened against hostile files."""
        status = os.stat(self.directory)
        if status.st_uid != os.geteuid() or status.st_mode & 0o002:
            raise StorageReadOnlyError(
                f"The directory {self.directory} belongs to somebody else or can be written by everybody: "
                "chunks that others may have put there are not read. Choose another one."
            )

    def _usable(self) -> bool:
        """Return whether there is a file that may be used; False: make one. The lock is held.

        Raises:
            ForeignStoreError: there is one that is not ours.
            StorageBusyError: others use it in a way that excludes us.
        """
        try:
            fd = os.open(self.path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            status, record = os.fstat(fd), self._recorded()
            if record is None or record.inode != status.st_ino:
                raise ForeignStoreError(
                    f"The file {self.path} is not a cache that Framekeep made here; it is left alone. "
                    "Choose another directory, or delete it."
                )
            mine = self._record_of(status.st_ino)
            if not os.path.exists(self.path + "-lock"):
                return False  # whoever has the old one open shares no lock with us
            if not _locked_at_once(fd, fcntl.LOCK_EX):
                if record != mine:
                    raise StorageBusyError(
                        f"The local cache {self.path} is in use by another version of Framekeep or in "
                        "another container. Give each its own directory, or let the containers share one "
                        "PID namespace."
                    )
                return True
            # Alone. What was written before a restart may be torn: it was never synced.
            if record.format != FORMAT or not mine.boot or record.boot != mine.boot:
                return False
            if status.st_size > self.size or pages.problems(self.path):
                return False
            self._write_record(mine)
            return True
        except StoreDamagedError:
            return False
        finally:
            os.close(fd)

    def _make(self) -> None:
        """Put a new file in place; the lock is held, and nobody has the old one or all will let it go."""
        self._unlink()
        new = str(self.directory / NEW_FILE)
        env = self._open_env(new, self.size, lock=False)
        try:
            with env.begin(write=True) as txn:
                for name in DATABASES:
                    env.open_db(name, txn=txn)
        finally:
            env.close()
        os.truncate(new, self.size)  # sparse: so a length that is less says that the file was cut
        self._write_record(self._record_of(os.stat(new).st_ino))
        os.rename(new, self.path)
        fd = os.open(self.path + "-lock", os.O_RDWR | os.O_CREAT, _MODE)
        try:
            # Written through a map: on a full disk a page that is missing kills the process.
            os.posix_fallocate(fd, 0, MAX_READERS * 64 + pages.PAGE_SIZE)
        finally:
            os.close(fd)

    def _open_env(self, path: str, size: int, *, lock: bool = True) -> lmdb.Environment:
        # Not a writable map: on a full disk that kills the process.
        return lmdb.open(
            path,
            map_size=size,
            subdir=False,
            mode=_MODE,
            sync=False,
            metasync=False,
            max_readers=MAX_READERS,
            max_dbs=len(DATABASES),
            lock=lock,
            lib_version=0,
        )

    def _close_files(self) -> None:
        if self.env is not None:
            self.env.close()
        self.env, self.dbs = None, {}
        for fd in (self._data_fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._data_fd = self._lock_fd = -1

    # --- the lock and what it says ---------------------------------------------------------------

    @contextmanager
    def _locked(self, patience: float) -> Iterator[bool]:
        """Hold ``chunks.lock``; give False when others hold it for longer than ``patience`` seconds."""
        deadline = time.monotonic() + patience
        if not self._writing.acquire(timeout=patience):
            yield False
            return
        try:
            while not (held := _locked_at_once(self._lock_fd, fcntl.LOCK_EX)):
                if time.monotonic() > deadline:
                    break
                time.sleep(_POLL_SECONDS)
            try:
                yield held
            finally:
                if held:
                    fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
        finally:
            self._writing.release()

    def _record_of(self, inode: int) -> _Record:
        return _Record(FORMAT, _boot_id() or "", _pid_namespace().decode().strip(), inode)

    def _write_record(self, record: _Record) -> None:
        text = "\n".join(map(str, record)).encode()
        os.pwrite(self._lock_fd, text.ljust(_RECORD_BYTES, b"\n"), 0)

    def _recorded(self) -> _Record | None:
        lines = os.pread(self._lock_fd, _RECORD_BYTES, 0).decode(errors="replace").split("\n")
        if len(lines) < 4 or not (lines[0].isdigit() and lines[3].isdigit()):
            return None
        return _Record(int(lines[0]), lines[1], lines[2], int(lines[3]))

    # --- forks -----------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Close the file, so that the child inherits nothing: both sides open it again when they need it."""
        self._shut_for_fork = self.gate.shut(timeout=_FORK_SECONDS)
        if self._shut_for_fork:
            self._close_files()

    def after_fork_in_parent(self) -> None:
        """Let the parent go on."""
        if self._shut_for_fork:
            self.gate.open()

    def after_fork_in_child(self) -> None:
        """Start with fresh locks; a child that was forked inside a call goes without the cache."""
        if not self._shut_for_fork:
            _graveyard.append(self.env)
            self.env, self._closed = None, True
            for fd in (self._data_fd, self._lock_fd):
                if fd >= 0:
                    os.close(fd)  # the parent keeps its own; the child must not hold the locks for it
            self._data_fd = self._lock_fd = -1
        self.gate = Gate()
        self._writing = threading.Lock()


def _locked_at_once(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_graveyard: list[lmdb.Environment | None] = []
"""What a child inherited inside a call: kept for ever, since closing would end the parent's readers."""

_files: dict[str, ChunkFile] = {}
_registry = threading.Lock()


def acquire(directory: Path, limit_bytes: int) -> ChunkFile:
    """Return the process's file in ``directory``, as large as the first one said; pair with ``release``."""
    key = os.path.realpath(directory)
    with _registry:
        file = _files.setdefault(key, ChunkFile(Path(key), limit_bytes))
        file.users += 1
    return file


def release(file: ChunkFile) -> None:
    """Give up one use; the last one closes the file.

    Raises:
        RuntimeError: this thread is inside a call on it; nothing is given up.
    """
    with _registry:
        if file.users == 1:
            file.close()
            del _files[str(file.directory)]
        file.users -= 1


def _before_fork() -> None:
    _registry.acquire()
    for file in _files.values():
        file.before_fork()


def _after_fork_in_parent() -> None:
    for file in _files.values():
        file.after_fork_in_parent()
    _registry.release()


def _after_fork_in_child() -> None:
    global _registry
    _registry = threading.Lock()
    for file in _files.values():
        file.after_fork_in_child()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
