"""Framekeep keeps DataFrames between requests: shared sessions, versions, instant undo, no pickle.

The names are imported when they are first used, so that ``import framekeep`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from framekeep import errors
from framekeep.errors import *  # noqa: F403 - the error tree belongs to the public face

if TYPE_CHECKING:
    from framekeep.client import Client
    from framekeep.config import Settings
    from framekeep.connect import InMemoryBackend, RedisBackend
    from framekeep.manager import DataManager
    from framekeep.sessions import SessionBackend, StorageBackend

    __version__: str

_HOMES = {
    "Client": "framekeep.client",
    "DataManager": "framekeep.manager",
    "InMemoryBackend": "framekeep.connect",
    "RedisBackend": "framekeep.connect",
    "SessionBackend": "framekeep.sessions",
    "Settings": "framekeep.config",
    "StorageBackend": "framekeep.sessions",
}

__all__ = [
    "Client",
    "DataManager",
    "InMemoryBackend",
    "RedisBackend",
    "SessionBackend",
    "Settings",
    "StorageBackend",
    "__version__",
    "errors",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("framekeep")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'framekeep' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})
