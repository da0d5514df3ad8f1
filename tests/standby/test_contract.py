"""A standby keeps the contract of what it wraps: in normal times, and when all that is done is done here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from framekeep.engines.base import Buffer, Change, Engine, Health, Visit
from framekeep.engines.guarded import GuardedEngine
from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import BreakerOpenError, StorageUnavailableError
from framekeep.frames import FrameCodec
from framekeep.names import Digest, Revision, Space, new_revision
from framekeep.sessions import SessionBackend
from framekeep.standby import StandbyEngine
from framekeep.testing import EngineContract, ManualClock
from framekeep.testing.backend import BackendContract
from framekeep.testing.backend_base import Backend


class Empty(MemoryEngine):
    """Has nothing, and takes nothing."""

    def commit(self, space: Space, change: Change) -> None:
        self._opened()
        raise BreakerOpenError("nobody is asked")

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        raise BreakerOpenError("nobody is asked")

    def discard(self, space: Space) -> bool:
        raise BreakerOpenError("nobody is asked")

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        self._opened()
        raise BreakerOpenError("nobody is asked")

    def _opened(self) -> None:
        self.load(Space("session:nothing"))


class Silent:
    """Answers nothing at all, but whether a space is absent: what is not here is an error otherwise."""

    def __init__(self, local: Callable[[], LmdbEngine]) -> None:
        self._local = local

    def _unanswered(self, space: Space) -> None:
        if self._local().load(space) is not None:
            raise BreakerOpenError("nobody is asked")

    def load(self, space: Space) -> None:
        self._unanswered(space)

    def glance(self, space: Space) -> None:
        return None

    def guess(self, space: Space) -> None:
        return None

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        return self._unanswered(space)  # type: ignore[func-returns-value]

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        self._unanswered(space)
        return []

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        self._local().read(space, digests, visit)

    def commit(self, space: Space, change: Change) -> None:
        raise BreakerOpenError("nobody is asked")

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        raise BreakerOpenError("nobody is asked")

    def discard(self, space: Space) -> bool:
        self._unanswered(space)
        return False

    def spaces(self, prefix: str = "") -> object:
        raise BreakerOpenError("nobody is asked")

    def count(self, prefix: str = "") -> int:
        raise BreakerOpenError("nobody is asked")

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        raise BreakerOpenError("nobody is asked")

    def health(self) -> Health:
        return Health("silent", False, 0.0, "nobody is asked")

    def close(self) -> None:
        pass


def on_memory(directory: Path, clock: Callable[[], float]) -> StandbyEngine:
    return StandbyEngine(MemoryEngine(clock=clock), directory / "standby", clock=clock)


def on_lmdb(directory: Path, clock: Callable[[], float]) -> StandbyEngine:
    primary = LmdbEngine(directory / "primary", clock=clock)
    return StandbyEngine(GuardedEngine(primary), directory / "standby", clock=clock)


def on_empty(directory: Path, clock: Callable[[], float]) -> StandbyEngine:
    return StandbyEngine(Empty(clock=clock), directory / "standby", clock=clock)


def on_silent(directory: Path, clock: Callable[[], float]) -> StandbyEngine:
    made: StandbyEngine = StandbyEngine(
        Silent(lambda: made.local),  # type: ignore[arg-type]
        directory / "standby",
        clock=clock,
    )
    return made


# --- the engine's contract -----------------------------------------------------------------------------


class TestEngineOnMemory(EngineContract):
    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return on_memory(self.directory, clock)


class TestEngineOnLmdb(EngineContract):
    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return on_lmdb(self.directory, clock)

    def reopen(self, engine: Engine) -> Engine:
        engine.close()
        return self.make_engine(self.clock)


class Local(EngineContract):
    def test_expecting_a_revision_of_an_absent_space_conflicts(self) -> None:
        """It may be there: nobody can say."""
        with pytest.raises(StorageUnavailableError):
            self.put(expected=new_revision())
        assert self.revision() is None


class TestEngineWhileNothingIsTaken(Local):
    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return on_empty(self.directory, clock)

    def reopen(self, engine: Engine) -> Engine:
        engine.close()
        return self.make_engine(self.clock)


class TestEngineWhileNobodyAnswers(Local):
    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return on_silent(self.directory, clock)

    def test_health_of_an_open_engine(self) -> None:
        assert self.engine.health().details["standby"]["pending"] == 0
        self.put()
        health = self.engine.health()
        assert (health.reachable, health.details["standby"]["pending"]) == (False, 1)


# --- the backend's -------------------------------------------------------------------------------------


class OnStandby(BackendContract):
    make: Callable[[Path, Callable[[], float]], StandbyEngine]

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path

    def make_backend(self, clock: ManualClock) -> SessionBackend:
        return SessionBackend(type(self).make(self.directory, clock), FrameCodec(), clock=clock)


@pytest.mark.long
class TestBackendOnMemory(OnStandby):
    make = staticmethod(on_memory)


class TestBackendOnLmdb(OnStandby):
    make = staticmethod(on_lmdb)


@pytest.mark.long
class TestBackendWhileNothingIsTaken(OnStandby):
    make = staticmethod(on_empty)


class TestBackendWhileNobodyAnswers(OnStandby):
    make = staticmethod(on_silent)

    def test_a_healthy_backend_says_so(self, backend: Backend, session: str) -> None:
        health = backend.health_check()
        assert (health["status"], health["reachable"], health["active_sessions"]) == (
            "unhealthy",
            False,
            None,
        )
