"""What the parts of the backend's suite share: hooks, fixtures, sample frames."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np
import pandas as pd
import pytest

from framekeep.testing.clock import ManualClock

if TYPE_CHECKING:
    from framekeep.client import Client
    from framekeep.sessions import SessionBackend

Backend: TypeAlias = "SessionBackend | Client"
"""What the suite is for: a backend, or a client of a service that has one."""

TTL = 3600.0
START = datetime(2026, 11, 25, 8, 44, 32, tzinfo=UTC)


def sample(rows: int = 4) -> pd.DataFrame:
    """Return a small mixed frame."""
    return pd.DataFrame(
        {
            "age": np.arange(rows, dtype="float64"),
            "sex": ["f", "m"] * (rows // 2) + ["f"] * (rows % 2),
            "seen": pd.date_range("2026-01-01", periods=rows),
        }
    )


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Say whether two frames are equal, labels and dtypes included."""
    try:
        pd.testing.assert_frame_equal(a, b, check_freq=False)
    except AssertionError:
        return False
    return True


class BackendTests:
    """The hooks and fixtures of the suite.

    Attributes:
        any_text: whether texts may hold half of a surrogate pair. What goes by way of JSON refuses them.
    """

    any_text: ClassVar[bool] = True

    def make_backend(self, clock: ManualClock) -> Backend:
        """Return an empty backend that goes by ``clock``."""
        raise NotImplementedError

    def advance(self, clock: ManualClock, seconds: float) -> None:
        """Let that much time pass for the backend."""
        clock.advance(seconds)

    @pytest.fixture
    def clock(self) -> ManualClock:
        """A clock that stands at START."""
        return ManualClock(START.timestamp())

    @pytest.fixture
    def backend(self, clock: ManualClock) -> Iterator[Backend]:
        """An empty backend."""
        backend = self.make_backend(clock)
        yield backend
        backend.close()

    @pytest.fixture
    def session(self, backend: Backend) -> str:
        """A session of ``sample()`` that lives for TTL."""
        backend.create_session("s1", sample(), "trial.csv", TTL)
        return "s1"
