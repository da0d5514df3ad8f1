"""Sessions of DataFrames: the 27 methods of ``StorageBackend``, written once for every engine."""

from framekeep.sessions.backend import SessionBackend
from framekeep.sessions.edit import Edit
from framekeep.sessions.heads import Told
from framekeep.sessions.operations import Outcome
from framekeep.sessions.protocol import StorageBackend

__all__ = ["Edit", "Outcome", "SessionBackend", "StorageBackend", "Told"]
