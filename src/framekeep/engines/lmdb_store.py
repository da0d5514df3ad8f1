"""The files of an embedded store, opened once per process.

Owns the two LMDB environments (the durable one and the one of touched expiries), the locks between
processes, map growth, forks, truncation checks and compaction. Knows nothing of heads, blobs or expiry.

Locks, in the order they are taken: gate (this process) -> directory lock (flock: shared while open,
exclusive while compacting) -> write lock of the durable environment -> write lock of the touched one.
Only a touch that need not be durable takes the last without the one before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from framekeep.engines import lmdb_pages as pages
from framekeep.engines import lmdb_records as records
from framekeep.engines.filesystems import make_directory, refuse_network, sync_directory
from framekeep.engines.lmdb_errors import translated
from framekeep.engines.lmdb_gate import Gate
from framekeep.errors import (
    ForeignStoreError,
    FramekeepError,
    NewerFormatError,
    SessionDamagedError,
    StorageBusyError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    StoreDamagedError,
)

T = TypeVar("T")

FILE = "framekeep.mdb"
LOCK_FILE = "framekeep.lock"
NEW_FILE = "framekeep.mdb.new"
TOUCHED_FILE = "touched-{boot}.mdb"

MAX_READERS = 2048
TOUCHED_MAP_SIZE = 16 << 20
BUSY_SECONDS = 5.0
FORK_SECONDS = 30.0
SETTLE_SECONDS = 0.05

_MODE = 0o600  # what a session holds is its user's, not every account's on the machine
_LOCK_BYTES = MAX_READERS * 64 + pages.PAGE_SIZE
_GROW_AHEAD = 1 << 20
_POLL_SECONDS = 0.005
_LOOKS = 20


class TouchedFull(Exception):
    """The map of touched expiries is too small; raised by work inside ``Store.run``, handled there."""


class Store:
    """The open files of one directory; one object per process and directory."""

    def __init__(self, directory: Path, *, durable: bool, map_size: int) -> None:
        self.directory = directory
        self.path = str(directory / FILE)
        self.real_path = os.path.realpath(self.path)
        self.durable = durable
        self.gate = Gate()
        self.users = 0
        self.closed = False
        self.main: lmdb.Environment | None = None
        self.touched: lmdb.Environment | None = None
        self.dbs: dict[bytes, Any] = {}
        self._map_size = map_size
        self._touched_map_size = TOUCHED_MAP_SIZE
        self._lock_fd = -1
        self._data_fd = -1
        self._needed = 2 * pages.PAGE_SIZE
        self._harmless = (0, 0)
        self._unusable = ""
        self._page_size = pages.PAGE_SIZE
        self._shut_for_fork = False
        self._opened_before = False

    # --- running work ---------------------------------------------------------------------------

    def run(self, work: Callable[[], T], need: int = 0) -> T:
        """Return what ``work`` returns; grow the map and call it again as often as it takes.

        Args:
            work: opens and ends its own transactions on ``main`` and ``touched``.
            need: about how many bytes it adds.

        Raises:
            FramekeepError: never an ``lmdb.Error`` or ``OSError``.
        """
        ahead = need > _GROW_AHEAD
        while True:
            fatal: FramekeepError | None = None
            self.gate.enter()
            try:
                if self.main is None or self.touched is None:
                    mend: Callable[[], None] = self.open_files
                else:
                    self._refuse_cut_file(self.main)
                    if not (ahead and self._short_of(self.main, need)):
                        return work()
                    ahead = False
                    mend = self._growing_ahead(self.main, need)
            except lmdb.MapFullError:
                assert self.main is not None
                mend = self._growing(self.main, need)
            except TouchedFull:
                assert self.touched is not None
                mend = self._growing(self.touched, 0)
            except lmdb.MapResizedError:
                mend = self._adopt_sizes
            except lmdb.PanicError as e:
                # The environment refuses everything from now on; a new one can go on.
                mend, fatal = self.close_files, translated(e, self.path)
                fatal.__cause__ = e
            except (lmdb.Error, OSError) as e:
                raise translated(e, self.path) from e
            finally:
                self.gate.leave()
            with self.gate.alone():
                mend()
            if fatal is not None:
                raise fatal

    def run_at_once(self, work: Callable[[], T]) -> T | None:
        """Return what ``work``, which only reads, returns; None where ``run`` would wait, mend or fail."""
        if not self.gate.enter_at_once():
            return None
        try:
            if self.main is None or self.touched is None or not self._whole(self.main):
                return None
            return work()
        except (lmdb.Error, OSError, SessionDamagedError):
            return None
        finally:
            self.gate.leave()

    def _growing(self, env: lmdb.Environment, need: int) -> Callable[[], None]:
        seen = env.info()["map_size"]
        return lambda: self._grow(env, seen, need)

    def _short_of(self, env: lmdb.Environment, need: int) -> bool:
        info = env.info()
        return info["last_pgno"] * self._page_size + need + need // 64 > info["map_size"]

    def _growing_ahead(self, env: lmdb.Environment, need: int) -> Callable[[], None]:
        """Grow before the work, so as not to do it twice; if that fails, free pages may do."""
        grow = self._growing(env, need)

        def mend() -> None:
            with contextlib.suppress(StorageFullError):
                grow()

        return mend

    def _grow(self, env: lmdb.Environment, seen: int, need: int) -> None:
        if env is not self.main and env is not self.touched:
            return  # closed by somebody else meanwhile
        if env.info()["map_size"] > seen:
            return
        size = _whole_mib(max(2 * seen, seen + 2 * need))
        try:
            env.set_mapsize(size)
        except lmdb.Error as e:
            # py-lmdb gives the environment up when it cannot map it again.
            self.close_files()
            raise StorageFullError(
                f"The store {self.path}: its map cannot grow from {seen} to {size} bytes of address space; "
                "raise the limit (ulimit -v) or remove sessions; nothing was stored."
            ) from e
        if env is self.main:
            self._map_size = size
        else:
            self._touched_map_size = size

    def _adopt_sizes(self) -> None:
        for env in (self.main, self.touched):
            if env is not None:
                try:
                    env.set_mapsize(0)
                except lmdb.Error as e:
                    self.close_files()
                    raise translated(e, self.path) from e

    def _refuse_cut_file(self, main: lmdb.Environment) -> None:
        """Raise StoreDamagedError if the file is shorter than its pages: reading it would kill us."""
        if self._whole(main):
            return
        if os.fstat(self._data_fd).st_nlink == 0:
            raise StoreDamagedError(f"The store {self.path} was deleted or replaced while it was open.")
        self._judge_short_file(main)

    def _whole(self, main: lmdb.Environment) -> bool:
        """Say whether the file is there, and long enough for its pages as far as that is seen at once."""
        status = os.fstat(self._data_fd)
        size = status.st_size
        if size >= self._needed:
            self._needed = max(self._needed, (main.info()["last_pgno"] + 1) * self._page_size)
            if size < self._needed:
                size = os.fstat(self._data_fd).st_size  # another process has committed in between
        return status.st_nlink > 0 and (size >= self._needed or (size, self._needed) == self._harmless)

    def _judge_short_file(self, main: lmdb.Environment) -> None:
        """Make a file long enough that is short only by unused pages at its end.

        LMDB does not write pages that were taken and given back in one transaction, so its files may end
        before their last page number. Whoever commits that sets the length at once; if he was killed in
        between, whether it is all that is missing is seen by walking the file.

        Raises:
            StoreDamagedError: pages in use are missing.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        while (size := os.fstat(self._data_fd).st_size) < self._needed:
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        else:
            return
        if size < 2 * self._page_size or self._does_not_hold(main):
            raise pages.cut_off(self.path, size, self._needed)
        pages.extend(self._data_fd, self._needed)
        self._harmless = (size, self._needed)  # should there have been no room

    def _does_not_hold(self, main: lmdb.Environment) -> bool:
        try:
            return bool(self.problems(main))
        except StoreDamagedError:
            return True

    def problems(self, main: lmdb.Environment) -> list[str]:
        """Walk the file's pages without mapping them; return what does not hold.

        Raises:
            StoreDamagedError: it cannot even be begun with.
        """
        # While this reads, no page of this state or of a later one is used for anything else.
        with contextlib.suppress(StoreDamagedError), main.begin():
            if not (found := pages.problems(self.path)):
                return found
        # Real, or a commit while the walk began: that is certain only when nobody commits.
        with main.begin(write=True):
            return pages.problems(self.path)

    def settle(self) -> None:
        """Give the file the length its last page number says (LMDB leaves out unused pages at the end)."""
        assert self.main is not None
        needed = (self.main.info()["last_pgno"] + 1) * self._page_size
        if os.fstat(self._data_fd).st_size < needed:
            pages.extend(self._data_fd, needed)

    # --- opening and closing --------------------------------------------------------------------

    def open_files(self) -> None:
        """Open the files if they are not, creating what is missing; the caller is alone in the gate.

        Raises:
            StorageError: of the kind that says what is wrong.
        """
        if self.closed:
            raise StorageUnavailableError(f"The engine on {self.directory} is closed.")
        if self._unusable:
            raise StorageError(self._unusable)
        while self.main is None or self.touched is None:
            # Another process may grow a file between its being mapped and its first transaction.
            with contextlib.suppress(lmdb.MapResizedError):
                self._open_files()

    def _open_files(self) -> None:
        self.close_files()
        try:
            if self._opened_before and not os.path.exists(self.path):
                # A new one in its place would look as if nothing had ever been stored.
                raise StoreDamagedError(
                    f"The store {self.path} was deleted or moved while it was open. Put it back, "
                    "or start the program again for a new one."
                )
            refuse_network(self.directory)
            make_directory(self.directory)
            self._lock_fd = os.open(self.directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, _MODE)
            self._enter_directory()
            pages.needed_size(self.path)  # what is no store is not even mapped
            self.main = self._open_env(self.path, self._map_size, sync=self.durable, max_dbs=8)
            self._data_fd = os.open(self.path, os.O_RDWR)
            self._page_size = self.main.stat()["psize"]
            self._needed = 2 * self._page_size
            self._refuse_cut_file(self.main)
            self.dbs = self._opened_dbs(self.main)
            self.main.reader_check()
            self.touched = self._open_touched()
            self._opened_before = True
        except lmdb.MapResizedError:
            self.close_files()
            raise
        except (lmdb.Error, OSError) as e:
            self.close_files()
            raise translated(e, self.path if isinstance(e, lmdb.Error) else str(self.directory)) from e
        except BaseException:
            self.close_files()
            raise

    def close_files(self) -> None:
        """Close the files; the caller is alone in the gate."""
        for env in (self.main, self.touched):
            if env is not None:
                env.close()
        self.main = self.touched = None
        self.dbs = {}
        for fd in (self._data_fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._data_fd = self._lock_fd = -1

    def _open_env(
        self, path: str, map_size: int, *, sync: bool, max_dbs: int, lock: bool = True
    ) -> lmdb.Environment:
        return lmdb.open(
            path,
            map_size=map_size,
            subdir=False,
            mode=_MODE,
            sync=sync,
            metasync=sync,
            max_readers=MAX_READERS,
            max_dbs=max_dbs,
            lock=lock,
            lib_version=0,  # the format of LMDB 0.9, which every LMDB reads
        )

    def _opened_dbs(self, env: lmdb.Environment) -> dict[bytes, Any]:
        # A write transaction even to open: py-lmdb keeps no handle that a reading one has opened.
        with env.begin(write=True) as txn:
            self._refuse_others(env, txn)
            return {name: env.open_db(name, txn=txn, create=False) for name in records.DATABASES}

    def _make_file(self) -> None:
        """Make the store; the caller has the directory for himself.

        It gets its name when it is whole, so that a file without its first pages is always one that was cut.
        """
        new = str(self.directory / NEW_FILE)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        try:
            env = self._open_env(new, self._map_size, sync=self.durable, max_dbs=8, lock=False)
            try:
                with env.begin(write=True) as txn:
                    for name in records.DATABASES:
                        env.open_db(name, txn=txn)
                    meta = env.open_db(records.META, txn=txn)
                    txn.put(records.META_KIND, records.KIND, db=meta)
                    txn.put(records.META_FORMAT, str(records.FORMAT).encode(), db=meta)
                    txn.put(records.META_WRITER, _library_version().encode(), db=meta)
            finally:
                env.close()
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            raise
        os.replace(new, self.path)
        sync_directory(self.directory)

    def _refuse_others(self, env: lmdb.Environment, txn: lmdb.Transaction[bytes]) -> None:
        foreign = ForeignStoreError(
            f"The file {self.path} is an LMDB file that Framekeep did not make; choose another directory."
        )
        try:
            meta = env.open_db(records.META, txn=txn, create=False)
        except (lmdb.NotFoundError, lmdb.IncompatibleError) as e:
            raise foreign from e
        if txn.get(records.META_KIND, db=meta) != records.KIND:
            raise foreign
        stored = txn.get(records.META_FORMAT, b"", db=meta)
        if not stored.isdigit():
            raise StoreDamagedError(f"The store {self.path} does not say which format it has.")
        if int(stored) > records.FORMAT:
            writer = txn.get(records.META_WRITER, b"?", db=meta).decode(errors="replace")
            raise NewerFormatError(
                f"The store {self.path} has format {int(stored)}, made by Framekeep {writer}; this version, "
                f"{_library_version()}, reads up to format {records.FORMAT}: upgrade it."
            )

    def _touched_path(self) -> Path:
        return self.directory / TOUCHED_FILE.format(boot=_boot_id() or "unknown")

    def _open_touched(self) -> lmdb.Environment:
        """Open the file of touched expiries: never synced, so it counts only until the machine restarts."""
        sync = _boot_id() is None  # nothing tells a restart here, so it has to be durable
        return self._open_env(str(self._touched_path()), self._touched_map_size, sync=sync, max_dbs=0)

    def _drop_touched_of_other_boots(self) -> None:
        mine = self._touched_path().name
        for other in self.directory.glob(TOUCHED_FILE.format(boot="*") + "*"):
            if not other.name.startswith(mine):
                other.unlink(missing_ok=True)

    def _drop_unreadable_touched(self) -> None:
        """Remove the file of touched expiries when it is none.

        It holds nothing that may not be lost; but two processes must not have different ones, so the caller
        has the directory for himself.
        """
        path = self._touched_path()
        try:
            pages.refuse_short_file(str(path))
            self._open_touched().close()
        except (lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.CorruptedError, StorageError):
            path.unlink(missing_ok=True)

    def _reserve_lock_files(self) -> None:
        """Give LMDB's lock files all their pages; the caller has the directory for himself.

        They are written through a map: on a full disk a page that is missing kills the process.
        """
        for path in (self.path, str(self._touched_path())):
            fd = os.open(path + "-lock", os.O_RDWR | os.O_CREAT, _MODE)
            try:
                os.posix_fallocate(fd, 0, _LOCK_BYTES)
            finally:
                os.close(fd)

    def _enter_directory(self) -> None:
        """Take the directory's lock as one user of many; the first one makes what is missing.

        He also notes from where he came. LMDB knows readers by their process ids, so all processes have to
        see the same ones: two containers with namespaces of their own would take each other's readers for
        dead, and reuse pages being read.
        """
        here, looks = _pid_namespace(), 0
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            if self._locked(fcntl.LOCK_EX):
                os.pwrite(self._lock_fd, here, 0)
                self._drop_touched_of_other_boots()
                self._reserve_lock_files()
                if not os.path.exists(self.path):
                    self._make_file()
                self._drop_unreadable_touched()
            if self._locked(fcntl.LOCK_SH):
                refusal = self._refusal(here)
                if refusal is None:
                    return
                # Or the first one was killed before all was there: then one of those who waited is the first.
                looks += 1
                if looks > _LOOKS:
                    raise refusal
                fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
            elif time.monotonic() > deadline:
                raise StorageBusyError(
                    f"The store {self.path} is being compacted by another process; try again."
                )
            time.sleep(_POLL_SECONDS)

    def _refusal(self, here: bytes) -> StorageError | None:
        """Return why what is in the directory must not be used together with those who have it open."""
        if os.pread(self._lock_fd, len(here), 0) != here:
            return StorageBusyError(
                f"The store {self.path} is open in another container. Let the containers share one PID "
                "namespace, or use Redis to share sessions between them."
            )
        if not os.path.exists(self.path):
            return StoreDamagedError(
                f"The store {self.path} was deleted or moved while another process has it open. Put it back, "
                "or stop the others to start anew."
            )
        return None

    def _locked(self, how: int) -> bool:
        try:
            fcntl.flock(self._lock_fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    # --- compaction -----------------------------------------------------------------------------

    def compact(self) -> tuple[int, int]:
        """Rewrite the file without its free pages; return its size in bytes before and after.

        Waits for what this process is doing. A crash at any instant leaves the old file or the new one.

        Raises:
            StorageBusyError: another process has the store open.
            StorageFullError: there is no room for the second file meanwhile.
        """
        self.run(lambda: None)  # refuses a file that was cut or deleted
        with self.gate.alone():
            try:
                self.close_files()
                return self._compact_alone()
            except (lmdb.Error, OSError) as e:
                raise translated(e, self.path) from e
            finally:
                self.close_files()
                self.open_files()

    def _compact_alone(self) -> tuple[int, int]:
        self._lock_fd = os.open(self.directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, _MODE)
        if not self._locked(fcntl.LOCK_EX):
            raise StorageBusyError(
                f"The store {self.path} is open in another process; stop the others, then compact it."
            )
        pages.refuse_short_file(self.path)
        before = os.stat(self.path).st_size
        copy = str(self.directory / NEW_FILE)
        fd = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
        try:
            env = self._open_env(self.path, self._map_size, sync=self.durable, max_dbs=8)
            try:
                self._opened_dbs(env)
                env.copyfd(fd, compact=True)
            finally:
                env.close()
            os.fsync(fd)
        except BaseException:
            os.unlink(copy)
            raise
        finally:
            os.close(fd)
        os.replace(copy, self.path)
        sync_directory(self.directory)
        return before, os.stat(self.path).st_size

    # --- forks ----------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Close the files, so that the child inherits none: LMDB forbids their use there, even closing.

        Both sides open them again at the next call. When a call does not end in time, or the fork happens
        inside one, the child's copy is given up.
        """
        self._shut_for_fork = self.gate.shut(timeout=FORK_SECONDS)
        if self._shut_for_fork:
            self.close_files()

    def after_fork_in_parent(self) -> None:
        """Let the parent go on."""
        if self._shut_for_fork:
            self.gate.open()

    def after_fork_in_child(self) -> None:
        """Start with fresh locks; nobody but this thread exists here."""
        if not self._shut_for_fork:
            _graveyard.extend((self.main, self.touched))
            self.main = self.touched = None
            os.close(self._lock_fd)  # the parent keeps its own; the child must not hold the lock for it
            self._lock_fd = -1
            self._unusable = (
                f"The process was forked inside a call on the store {self.path}: the child cannot use it. "
                "Fork elsewhere, or start children with spawn."
            )
        self.gate = Gate()


_graveyard: list[lmdb.Environment | None] = []
"""What a child inherited inside a call: kept for ever, since closing would end the parent's readers."""


def _pid_namespace() -> bytes:
    """Return 32 bytes that differ between containers which do not see each other's processes."""
    try:
        name = os.readlink("/proc/self/ns/pid")
    except OSError:
        name = ""
    return name.encode().ljust(32)[:32]


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() or None
    except OSError:
        return None


def _library_version() -> str:
    try:
        return version("framekeep")
    except PackageNotFoundError:
        return "unknown"


def _whole_mib(size: int) -> int:
    return -(-size >> 20) << 20
