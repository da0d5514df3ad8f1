"""The conformance suite of a backend: the 27 methods of ``StorageBackend`` and what goes beyond them.

Subclass ``BackendContract`` in a test module and give it backends::

    class TestMyBackend(BackendContract):
        def make_backend(self, clock):
            return SessionBackend(MyEngine(clock=clock), FrameCodec(), clock=clock)

Each backend starts empty. A backend whose storage has a clock of its own overrides ``advance``, and one that
takes Unicode only says so with ``any_text = False``. Nothing but the verbs of ``StorageBackend`` and of
``SessionBackend`` is used, so a client of a service can be tested too.
"""

from __future__ import annotations

from framekeep.testing.backend_facts import FactTests
from framekeep.testing.backend_parts import PartTests
from framekeep.testing.backend_sessions import SessionTests
from framekeep.testing.backend_versions import VersionTests


class BackendContract(SessionTests, FactTests, VersionTests, PartTests):
    """What every backend does: override ``make_backend``, and ``advance`` if need be."""
