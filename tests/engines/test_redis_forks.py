"""A child that was forked while a thread of its parent held a lock, whichever: it waits for nobody.

That thread is not in the child, so nobody would ever let the lock go there.
"""

from __future__ import annotations

import faulthandler
import functools
import gc
import os
import re
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep import DataManager, Settings
from framekeep.connect import returning
from framekeep.engines.lmdb_gate import Gate
from framekeep.frames import cache
from framekeep.frames.manifest import Manifest
from framekeep.frames.node import Node
from framekeep.testing import redis_keyspace

PATIENCE = 20.0
FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})
LOCKS = (type(threading.Lock()), type(threading.RLock()))
NOT_INSIDE = (types.ModuleType, type, types.FrameType, threading.Thread, Gate)
"""Modules and classes lead to everything. A fork waits itself until gates and the cache's lock are free."""


def locks_in(root: object) -> Iterator[tuple[str, Any]]:
    """Yield the free locks that can be reached from an object, one of each kind, with whose they are."""
    seen: set[int] = set()
    kinds: set[str] = set()
    todo: list[tuple[str, object]] = [(type(root).__name__, root)]
    while todo:
        path, each = todo.pop()
        if id(each) in seen or isinstance(each, NOT_INSIDE) or each is cache._lock:
            continue
        seen.add(id(each))
        if isinstance(each, LOCKS):
            path = re.sub(r"[\d.]+:\d+|{.*}", "*", path)
            if path not in kinds and each.acquire(timeout=0.5):  # else it is where a thread waits, for ever
                each.release()
                kinds.add(path)
                yield path, each
            continue
        if isinstance(each, types.FunctionType):
            held: list[object] = [*(each.__closure__ or ()), *(each.__defaults__ or ())]
            todo += [(path, one) for one in held]
            continue
        if isinstance(each, dict):
            todo += [(f"{path}.{name}" if isinstance(name, str) else path, one) for name, one in each.items()]
            continue
        todo += [(path, one) for one in (getattr(each, "__dict__", None), *gc.get_referents(each))]


def in_a_child(lock: Any, act: Callable[[], object]) -> bool:
    """Say whether ``act`` ends in a child that is forked while another thread holds a lock."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            let_go.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        try:
            act()
        except BaseException:
            faulthandler.dump_traceback()
            os._exit(2)
        os._exit(0)
    let_go.set()
    thread.join()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def use(backend: Any, name: str) -> None:
    backend.create_session(name, FRAME, "f.csv", 600)
    with backend.edit(name, "Double") as frame:
        frame["a"] *= 2
    backend.undo(name)
    pd.testing.assert_frame_equal(backend.get_dataframe(name), FRAME)
    assert len(backend.get_audit_log(name)) == 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["valkey", "sentinel", "cluster"])
def test_a_child_waits_for_no_lock_of_its_parents_engine(places: Any, tmp_path: Path, kind: str) -> None:
    settings = Settings(
        _env_file=None,
        redis_enabled=True,
        redis_url=places[kind].url,
        redis_key_prefix=f"forks-{kind}",
        storage_dir=str(tmp_path),
        local_cache_mb=16,
    )
    backend = returning(settings, tmp_path / "standby")
    backend.replayer.start()  # type: ignore[union-attr]
    use(backend, "before")
    backend.engine.mirror.wait()
    locks = list(locks_in(backend))
    assert any(path.endswith("._make._lock") for path, _ in locks)
    wrong = [
        path
        for number, (path, lock) in enumerate(locks)
        if not in_a_child(lock, functools.partial(use, backend, f"child-{number}"))
    ]
    use(backend, "after")
    redis_keyspace.remove(backend.engine.primary.inner)
    backend.close()
    assert wrong == []


@pytest.mark.parametrize("kind", [Node, Manifest])
def test_a_child_waits_for_nobody_who_works_out_what_its_parent_keeps(tmp_path: Path, kind: type) -> None:
    """Where a class has one lock for all of its objects, it is held by whoever asks any of them."""
    kept = [each for each in vars(kind).values() if isinstance(each, functools.cached_property)]
    assert kept
    manager = DataManager(Settings(_env_file=None, storage_backend="inmemory", storage_dir=str(tmp_path)))
    with manager:
        for number, each in enumerate(kept):
            if (lock := getattr(each, "lock", None)) is not None:
                assert in_a_child(lock, functools.partial(use, manager.backend, f"s{number}"))
