"""The Redis engine in step with the memory engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from framekeep.engines.base import Engine
from framekeep.engines.redis import RedisEngine
from framekeep.errors import SessionDamagedError
from framekeep.names import Revision, Space
from framekeep.testing import engine_machine, redis_keyspace

UNIT = 100.0
"""Seconds: an example takes a few, so Redis is ahead of the model by less than the smallest step."""

SHORT = settings(
    max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
LONG = settings(SHORT, max_examples=200, stateful_step_count=50)


def machine(places: Any, place: str, engine_class: type[RedisEngine] = RedisEngine) -> Any:
    def make(directory: Path, clock: Callable[[], float]) -> Engine:
        return engine_class(places.options(place), prefix=f"m.{directory.name}")

    def reopen(engine: Engine, directory: Path, clock: Callable[[], float]) -> Engine:
        engine.close()
        return make(directory, clock)

    return engine_machine(make, reopen=reopen, advance=redis_keyspace.age, unit=UNIT)  # type: ignore[arg-type]


def test_redis_is_in_step(places: Any) -> None:
    run_state_machine_as_test(machine(places, "valkey"), settings=SHORT)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("place", ["valkey", "redis", "cluster"])
def test_redis_is_in_step_for_long(places: Any, place: str) -> None:
    run_state_machine_as_test(machine(places, place), settings=LONG)


class TouchForgets(RedisEngine):
    """Says that it moved an expiry, and did not."""

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        head = self.load(space)
        return None if head is None else head.revision


class ExpiryIsOfTheHeadOnly(RedisEngine):
    """Lets blobs and log go an hour after the first commit, however often the head is touched."""

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        head = self.load(space)
        if head is not None:
            self._opened().client.pexpire(self._keys.of(space).head, round(ttl * 1000))
        return None if head is None else head.revision


@pytest.mark.parametrize("broken", [TouchForgets, ExpiryIsOfTheHeadOnly])
def test_a_broken_engine_is_out_of_step(places: Any, broken: type[RedisEngine]) -> None:
    many = settings(
        SHORT,
        max_examples=40,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=[Phase.generate],
        print_blob=False,
    )
    with pytest.raises((AssertionError, SessionDamagedError)):
        run_state_machine_as_test(machine(places, "valkey", broken), settings=many)
