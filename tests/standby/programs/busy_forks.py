"""``busy_forks.py URL DIRECTORY PREFIX CHILDREN`` forks children while its threads change sessions.

Each child makes a session, edits it and undoes that, and has ``PATIENCE`` seconds for it. Prints how many
did; what the threads of one that did not were at goes to stderr.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from itertools import count

import pandas as pd

from framekeep import DataManager, Settings

PATIENCE = 60.0
THREADS = 4


def use(manager: DataManager, frame: pd.DataFrame) -> str:
    session = manager.create_session(frame)
    with manager.edit(session, "Double") as found:
        found["a"] *= 2
    manager.backend.undo(session)
    pd.testing.assert_frame_equal(manager.backend.get_dataframe(session), frame)
    assert len(manager.backend.get_audit_log(session)) == 3
    return session


def busy(manager: DataManager, number: int, over: threading.Event) -> None:
    for turn in count():
        if over.is_set():
            return
        session = use(manager, pd.DataFrame({"a": [turn, number, 3]}))
        if turn % 2:
            manager.backend.delete_session(session)


def forked(manager: DataManager, number: int) -> bool:
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        try:
            use(manager, pd.DataFrame({"a": [number, 2, 3]}))
            manager.backend.engine.mirror.wait()  # type: ignore[attr-defined]
        except BaseException:
            faulthandler.dump_traceback(all_threads=False)
            sys.excepthook(*sys.exc_info())
            os._exit(2)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main(url: str, directory: str, prefix: str, children: int) -> None:
    settings = Settings(
        _env_file=None,
        storage_backend="redis",
        redis_url=url,
        redis_key_prefix=prefix,
        redis_socket_timeout=30.0,
        storage_dir=directory,
        local_cache_mb=16,
    )
    with DataManager(settings) as manager:
        over = threading.Event()
        threads = [threading.Thread(target=busy, args=(manager, number, over)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        done = sum(forked(manager, number) for number in range(children))
        over.set()
        for thread in threads:
            thread.join()
        print(done)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
