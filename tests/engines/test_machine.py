"""Every engine in step with the memory engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from framekeep.engines.base import Engine
from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.memory import MemoryEngine
from framekeep.testing import engine_machine

SHORT = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
LONG = settings(SHORT, max_examples=600, stateful_step_count=60)


def make_lmdb(directory: Path, clock: Callable[[], float]) -> Engine:
    return LmdbEngine(directory, clock=clock, durable=False, map_size=1 << 20)


def reopen_lmdb(engine: Engine, directory: Path, clock: Callable[[], float]) -> Engine:
    engine.close()
    return make_lmdb(directory, clock)


def make_memory(directory: Path, clock: Callable[[], float]) -> Engine:
    return MemoryEngine(clock=clock)


TestMemoryMachine = engine_machine(make_memory).TestCase
TestMemoryMachine.settings = settings(SHORT, max_examples=10)

TestLmdbMachine = engine_machine(make_lmdb, reopen=reopen_lmdb).TestCase
TestLmdbMachine.settings = SHORT


@pytest.mark.long
class TestLmdbMachineLong(engine_machine(make_lmdb, reopen=reopen_lmdb).TestCase):  # type: ignore[misc]
    settings = LONG
