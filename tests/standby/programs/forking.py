"""``forking.py DIR`` forks while its mirror is in the middle of something; the child goes on, and replays."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from framekeep.engines.base import Change, Head
from framekeep.engines.lmdb import LmdbEngine
from framekeep.errors import StorageUnavailableError
from framekeep.frames import FrameCodec
from framekeep.names import Space, new_revision
from framekeep.standby import Replayer, StandbyEngine

S, T = Space("temp:s"), Space("temp:t")
BODY = b'{"format":1,"filename":"f","created":0,"sheets":[]}'


class Slow(LmdbEngine):
    """Is in the middle of a load for ever, or does not answer."""

    down = False
    hang = threading.Event()
    hanging = threading.Event()

    def load(self, space: Space) -> Head | None:
        if self.down:
            raise StorageUnavailableError("down")
        if self.hang.is_set() and threading.current_thread().name == "framekeep-mirror":
            self.hanging.set()
            time.sleep(3600.0)
        return super().load(space)

    def commit(self, space: Space, change: Change) -> None:
        if self.down:
            raise StorageUnavailableError("down")
        super().commit(space, change)


def child(engine: StandbyEngine, primary: Slow) -> None:
    primary.down = True
    head = engine.load(S)  # waits for nobody's mirror
    assert head is not None
    engine.commit(S, Change(head.revision, new_revision(), BODY, ttl=60.0))
    print("made", flush=True)
    primary.down = False
    deadline = time.monotonic() + 20.0
    while engine.markers.count():  # by a thread of its own
        assert time.monotonic() < deadline
        time.sleep(0.01)
    print("replayed", flush=True)


def main(directory: Path) -> int:
    primary = Slow(directory / "primary")
    engine: Any = StandbyEngine(primary, directory / "standby")
    Replayer(engine, FrameCodec()).start()
    engine.commit(S, Change(None, new_revision(), BODY, ttl=60.0))
    engine.mirror.wait()
    primary.hang.set()
    engine.mirror.gone(S)
    primary.hanging.wait()
    pid = os.fork()
    if not pid:
        primary.hang.clear()
        child(engine, primary)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    os._exit(main(Path(sys.argv[1])))
