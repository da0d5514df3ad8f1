"""Forks workers that have everything imported; reads orders from stdin, a line of JSON each; prints ids.

An order is ``{"settings": {...}, "worker": NAME, "shared": [ID, ...], "home": [ID, ...], "own": PREFIX,
"seed": N, "out": FILE}``. A worker has CLIENTS threads, each of which makes one change after the other until
the file ``OUT.stop`` is there. Each writes a line of JSON before a change, ``["begin", client, verb, session,
token]``, and one after it: ``["end", token, outcome, detail]``. The outcome is "ok", "refused" (nothing to
undo), "failed" (detail: the error's name, whether it is retryable, its text) or "wrong". What the standby's
log says of coming back, or why not, is there too, and so is what ended it when it should not have. The worker
ends when ``OUT.end`` is there. At SIGUSR1 it writes what its threads are at to ``OUT.stacks``.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import random
import re
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import pandas as pd

from framekeep import DataManager, Settings
from framekeep.errors import ConflictError, FramekeepError, NothingToUndoError

CLIENTS = 2
TTL = 36_000.0
ROWS = 20
PAUSE = 0.01


def stamped(stamp: str) -> pd.DataFrame:
    """Return a frame that no other change makes."""
    return pd.DataFrame({"stamp": [stamp] * ROWS, "n": range(ROWS)})


class Client(threading.Thread):
    """One client.

    It shares sessions with all, in the last of which they undo, and others with those of its machine at home,
    and has some of its own.
    """

    def __init__(self, manager: DataManager, order: dict[str, Any], number: int) -> None:
        super().__init__()
        self.manager, self.backend = manager, manager.backend
        self.shared: list[str] = order["shared"]
        self.home: list[str] = order["home"]
        self.name = f"{order['worker']}.{number}"
        self.dice = random.Random(f"{order['seed']}.{self.name}")
        self.stopping = Path(order["out"] + ".stop")
        self.out: int = order["file"]
        self.prefix: str = order["own"]
        self.own: list[str] = []

    def say(self, *line: object) -> None:
        os.write(self.out, json.dumps(line).encode() + b"\n")

    def run(self) -> None:
        number = 0
        while not self.stopping.exists():
            number += 1
            token = f"{self.name}.{number}"
            verb = self.dice.choice(
                ["audit"] * 4 + ["commit"] * 4 + ["edit"] * 2 + ["metadata"] * 2
                + ["undo", "read", "read", "create", "temp", "delete", "again"]
            )  # fmt: skip
            session = self._session(verb, token)
            self.say("begin", self.name, verb, session, token)
            try:
                getattr(self, verb)(session, token)
                self.say("end", token, "ok", None)
            except NothingToUndoError:
                self.say("end", token, "refused", None)
            except FramekeepError as error:
                told = [type(error).__name__, error.retryable, str(error)]
                self.say("end", token, "failed", told)
            except BaseException as error:  # whatever it is, the test must hear of it
                self.say("end", token, "wrong", repr(error))
            self.stopping_wait()

    def stopping_wait(self) -> None:
        threading.Event().wait(self.dice.random() * 2 * PAUSE)

    def _session(self, verb: str, token: str) -> str:
        match verb:
            case "undo":
                return self.shared[-1]
            case "create" | "temp":
                return f"{self.prefix}{token}"
            case "delete" | "again":
                return self.own.pop(0) if len(self.own) > 1 else f"never-{token}"
            case "audit" | "metadata" | "commit" | "edit" | "read":
                return self.dice.choice([*self.shared, *self.home, *self.own[-1:]])
        raise AssertionError(verb)

    # --- verbs -----------------------------------------------------------------------------------

    def audit(self, session: str, token: str) -> None:
        self.backend.add_audit_entry(session, f"entry <{token}>")

    def commit(self, session: str, token: str) -> None:
        self.manager.commit_dataframe(session, stamped(token), f"<{token}>")

    def edit(self, session: str, token: str) -> None:
        for _ in range(5):
            try:
                with self.manager.edit(session, f"<{token}>") as frame:
                    frame.loc[:, "stamp"] = token
            except ConflictError:
                continue
            return
        raise ConflictError("somebody else was faster each time")

    def metadata(self, session: str, token: str) -> None:
        self.backend.update_metadata(session, {token: token})

    def undo(self, session: str, token: str) -> None:
        self.backend.undo(session)

    def read(self, session: str, token: str) -> None:
        [stamp] = set(self.backend.get_dataframe(session)["stamp"])
        assert isinstance(stamp, str)
        self.backend.get_audit_log(session)

    def create(self, session: str, token: str) -> None:
        self.backend.create_session(session, stamped(token), f"<{token}>", TTL)
        self.own.append(session)

    def temp(self, session: str, token: str) -> None:
        self.backend.create_temp_storage(session, {"one": stamped(token), "two": stamped("x")}, "book", TTL)

    def delete(self, session: str, token: str) -> None:
        if not session.startswith("never-"):
            assert self.backend.delete_session(session), f"{session} was not there"

    def again(self, session: str, token: str) -> None:
        """Delete one and make another of that name."""
        if not session.startswith("never-"):
            assert self.backend.delete_session(session), f"{session} was not there"
            self.backend.create_session(session, stamped(token), f"again <{token}>", TTL)


class Told(logging.Handler):
    """Writes down what came back."""

    def __init__(self, file: int) -> None:
        super().__init__()
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if found := re.search(r"are back in Redis: (\{.*\})", text):
            line = ["back", json.loads(found[1].replace("'", '"'))]
            os.write(self._file, json.dumps(line).encode() + b"\n")
        elif "not replayed yet" in text:
            os.write(self._file, json.dumps(["waits", text]).encode() + b"\n")
        elif record.levelno >= logging.ERROR:
            os.write(self._file, json.dumps(["complaint", text]).encode() + b"\n")


def work(order: dict[str, Any]) -> None:
    order["file"] = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    faulthandler.register(signal.SIGUSR1, os.open(order["out"] + ".stacks", os.O_WRONLY | os.O_CREAT, 0o600))
    logger = logging.getLogger("framekeep")
    logger.addHandler(Told(order["file"]))
    logger.setLevel(logging.DEBUG)
    try:
        serve(order)
    except BaseException:
        os.write(order["file"], json.dumps(["complaint", traceback.format_exc()]).encode() + b"\n")
        os._exit(1)


def serve(order: dict[str, Any]) -> None:
    with DataManager(Settings(storage_backend="redis", _env_file=None, **order["settings"])) as manager:
        clients = [Client(manager, order, number) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        manager.backend.engine.mirror.wait()
        os.write(order["file"], b'["done"]\n')
        while not Path(order["out"] + ".end").exists():  # until all has come back
            threading.Event().wait(0.02)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that are killed are gone at once
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
            work(order)
            os._exit(0)
        print(child, flush=True)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        threading.Event().wait(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
