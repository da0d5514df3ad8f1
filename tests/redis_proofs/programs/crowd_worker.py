"""A worker with clients: ``crowd_worker.py ORDER``, ORDER in JSON; works until its stdin is closed.

Each client makes one change after the other in sessions it shares with all others, and prints a line of JSON
for each that was acknowledged or failed: ``[client, number, session, verb, begin, end, outcome, detail]``.
Times are of the machine's monotonic clock. The ``outcome`` is "ok", "refused" (nothing to undo or redo),
"failed" (``detail``: the error's name, whether it is retryable, its text) or "wrong" (``detail``: what).
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from typing import Any

import stamped

from framekeep import DataManager, Settings
from framekeep.errors import ConflictError, FramekeepError, NothingToRedoError, NothingToUndoError

PAUSE = 0.02  # seconds until a client goes on after a failure
ATTEMPTS = 50


class Client(threading.Thread):
    """One client; ``number`` among all clients of all workers."""

    def __init__(self, manager: DataManager, order: dict[str, Any], number: int, stop: threading.Event):
        super().__init__(name=f"client {number}")
        self.manager = manager
        self.sessions: list[str] = order["sessions"]
        self.sees_own: bool = order["sees_own"]
        self.number = number
        self.before: int = order.get("before", {}).get(str(number), 0)  # its last change in an earlier life
        self.stop = stop
        self.dice = random.Random(f"{order['seed']}.{number}")
        self.entered: dict[int, list[str]] = {}

    def run(self) -> None:
        made = self.before
        while not self.stop.is_set():
            made += 1
            session = self.dice.randrange(len(self.sessions))
            verbs = ["metadata", "audit", "commit", "edit", "look"]
            verbs += ["undo", "redo", "undo"] if stamped.steps_back(session) else ["marks", "marks"]
            if stamped.rows_of(session) == stamped.SMALL:
                verbs.append("operations")
            verb = self.dice.choice(verbs)
            begin = time.monotonic()
            detail: Any = None
            try:
                outcome, detail = "ok", getattr(self, verb)(session, made)
            except (NothingToUndoError, NothingToRedoError):
                outcome = "refused"
            except FramekeepError as error:
                outcome, detail = "failed", [type(error).__name__, error.retryable, str(error)]
            except Exception as error:  # whatever it is, the test must hear of it
                outcome, detail = "wrong", repr(error)
            line = [self.number, made, session, verb, begin, time.monotonic(), outcome, detail]
            os.write(1, json.dumps(line).encode() + b"\n")
            if outcome in ("failed", "wrong"):
                self.stop.wait(PAUSE)

    def token(self, made: int) -> str:
        return stamped.token_for(self.number, made)

    def stamp(self, made: int) -> int:
        return stamped.stamp_for(self.token(made))

    # --- verbs -----------------------------------------------------------------------------------

    def metadata(self, session: int, made: int) -> None:
        self.manager.update_metadata(self.sessions[session], {self.token(made): made})

    def audit(self, session: int, made: int) -> None:
        self.manager.add_audit_entry(self.sessions[session], f"entry {self.token(made)}")
        self.entered.setdefault(session, []).append(self.token(made))

    def marks(self, session: int, made: int) -> None:
        column = stamped.own(self.number)
        self.manager.set_intentional_missing(self.sessions[session], column, stamped.marked(made))

    def undo(self, session: int, made: int) -> None:
        self.manager.undo(self.sessions[session])

    def redo(self, session: int, made: int) -> None:
        self.manager.redo(self.sessions[session])

    def edit(self, session: int, made: int) -> int | None:
        def attempt() -> int | None:
            step = self.manager.edit(self.sessions[session], self.token(made))
            with step as frame:
                stamped.stamp_of(frame)
                stamped.stamp(frame, self.stamp(made), self.number, made)
            return step.version_id

        return self._until_first(attempt)

    def commit(self, session: int, made: int) -> int | None:
        def attempt() -> int:
            revision = self.manager.revision(self.sessions[session])
            frame = self.manager.get_dataframe(self.sessions[session])
            stamped.stamp_of(frame)
            stamped.stamp(frame, self.stamp(made), self.number, made)
            return self.manager.commit_dataframe(
                self.sessions[session], frame, self.token(made), expected_revision=revision
            )

        return self._until_first(attempt)

    def operations(self, session: int, made: int) -> int | None:
        cells = stamped.cells(self.stamp(made), self.number, made, stamped.SMALL)

        def attempt() -> int | None:
            operation = {"op": "set_cells", "cells": cells}
            return self.manager.apply_operations(
                self.sessions[session], [operation], self.token(made)
            ).version_id

        return self._until_first(attempt)

    def look(self, session: int, made: int) -> None:
        id = self.sessions[session]
        stamped.stamp_of(self.manager.get_dataframe(id))
        page = self.manager.get_page(id, 0, stamped.SMALL)
        del page
        ids = [version["version_id"] for version in self.manager.get_history(id)]
        assert ids == sorted(set(ids)), f"versions {ids}"
        if self.sees_own:
            mine = f"entry c{self.number}."
            log = [line.partition("] entry ")[2] for line in self.manager.get_audit_log(id) if mine in line]
            assert log == self.entered.get(session, []), f"own entries are {log}"

    def _until_first(self, attempt: Any) -> int | None:
        for _ in range(ATTEMPTS):
            try:
                return attempt()  # type: ignore[no-any-return]
            except ConflictError:
                if self.stop.is_set():
                    raise
        raise ConflictError(f"somebody else was faster {ATTEMPTS} times")


def main(order: dict[str, Any]) -> None:
    settings = Settings(storage_backend="redis", _env_file=None, **order["settings"])
    with DataManager(settings) as manager:
        stop = threading.Event()
        clients = [Client(manager, order, number, stop) for number in order["clients"]]
        for client in clients:
            client.start()
        sys.stdin.read()
        stop.set()
        for client in clients:
            client.join()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
