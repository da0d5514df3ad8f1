"""``killed_replay.py URL PREFIX DIR N`` brings back what waits in DIR, and is killed at its Nth point.

The points are before and after each call of Redis and each change of the local store. Prints
"done" when there was no such point.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.frames import FrameCodec
from framekeep.standby import Replayer, StandbyEngine

VERBS = ("load", "commit", "stage", "read", "log", "touch", "discard")


class Points:
    """Counts, and kills."""

    def __init__(self, last: int) -> None:
        self._left = last

    def one(self) -> None:
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1

    def around(self, verb: Any) -> Any:
        def counted(*args: Any, **more: Any) -> Any:
            self.one()
            found = verb(*args, **more)
            self.one()
            return found

        return counted


def main(url: str, prefix: str, directory: str, last: str) -> None:
    points = Points(int(last))
    primary: Any = RedisEngine(RedisOptions(url), prefix=prefix)
    engine: Any = StandbyEngine(primary, Path(directory))
    for each, verbs in ((primary, VERBS), (engine.local, ("commit", "discard"))):
        for verb in verbs:
            setattr(each, verb, points.around(getattr(each, verb)))
    engine.mirror._run = lambda: None  # its calls are not of the replay
    Replayer(engine, FrameCodec()).replay()
    print("done", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
