"""Forks workers that have everything imported: reads orders from stdin, a line of JSON each.

``{"task": "crowd", "out": FILE, ...}`` runs clients (see ``crowd_worker.py``), ``{"task": "create", ...}``
creates large sessions for ever, ``{"task": "commit", "session": ID, ...}`` commits large frames for ever.
Prints the process id of each. When stdin is closed it lets all end what they are at, and waits for them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from itertools import count
from typing import Any

import crowd_worker
import numpy as np
import pandas as pd

from framekeep import DataManager, Settings

ROWS = 1_000_000


def large(number: int) -> pd.DataFrame:
    """Return a frame of 32 MB that does not compress."""
    base = np.random.default_rng(number).integers(0, 1 << 52, ROWS)
    return pd.DataFrame({name: base + i for i, name in enumerate("abcd")})


def work(order: dict[str, Any]) -> None:
    if order["task"] == "crowd":
        crowd_worker.main(order)
        return
    threading.Thread(target=lambda: os._exit(len(sys.stdin.read())), daemon=True).start()
    with DataManager(Settings(storage_backend="redis", _env_file=None, **order["settings"])) as manager:
        for number in count(1):
            if order["task"] == "create":
                manager.create_session(large(number))
            else:
                manager.commit_dataframe(order["session"], large(number), f"large {number}")


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that are killed are gone at once
    alive = []
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()  # a worker ends when its stdin is closed: with this process
        child = os.fork()
        if child == 0:
            os.close(writing)
            for each in alive:
                os.close(each)
            os.dup2(reading, 0)
            out = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(out, 1)
            sys.stdin = os.fdopen(0)
            work(order)
            os._exit(0)
        os.close(reading)
        alive.append(writing)
        print(child, flush=True)
    for each in alive:
        os.close(each)
    with suppress(ChildProcessError):
        os.wait()  # returns when the last has ended


if __name__ == "__main__":
    main()
