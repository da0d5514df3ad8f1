"""One open store per process and directory, shared by all engines on it, and what a fork does to them.

LMDB forbids opening a file twice in one process, and using an environment on both sides of a fork.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from framekeep.engines.lmdb_store import Store
from framekeep.errors import ConfigurationError

_stores: dict[str, Store] = {}
_registry = threading.Lock()


def acquire(directory: Path, *, durable: bool, map_size: int) -> Store:
    """Return the process's store for ``directory``, opened; pair with ``release``.

    Raises:
        ConfigurationError: it is open here with another ``durable``.
        StorageError: of the kind that says what is wrong.
    """
    key = os.path.realpath(directory)
    with _registry:
        store = _stores.get(key)
        if store is None:
            store = Store(Path(key), durable=durable, map_size=map_size)
            store.open_files()
            _stores[key] = store
        elif store.durable != durable:
            raise ConfigurationError(
                f"The store in {directory} is open in this process with durable={store.durable} already."
            )
        store.users += 1
        return store


def release(store: Store) -> None:
    """Give up one use; the last one closes the files.

    Raises:
        RuntimeError: this thread is inside a call on the store; nothing is given up.
    """
    with _registry:
        if store.users == 1:
            with store.gate.alone():
                store.close_files()
                store.closed = True
            del _stores[str(store.directory)]
        store.users -= 1


def _before_fork() -> None:
    _registry.acquire()
    for store in _stores.values():
        store.before_fork()


def _after_fork_in_parent() -> None:
    for store in _stores.values():
        store.after_fork_in_parent()
    _registry.release()


def _after_fork_in_child() -> None:
    global _registry
    _registry = threading.Lock()
    for store in _stores.values():
        store.after_fork_in_child()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
