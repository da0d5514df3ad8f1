"""The demo's story: a whole session on a real table, each step checked and timed as it is told.

Nothing here is prepared: each figure is measured while the reader waits, and each claim ("as it was") is a
comparison that fails the demo when it does not hold.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.panel import Panel

from framekeep.cli.demo_voice import Voice
from framekeep.cli.demo_worker import settings
from framekeep.cli.run import size, table
from framekeep.cli.versions import sentence
from framekeep.errors import ConflictError, SessionNotFoundError
from framekeep.manager import DataManager

if TYPE_CHECKING:
    from rich.console import Console

SHORT_TTL = 0.25  # seconds
PATIENCE = 10.0  # seconds to wait for an expiry before calling it broken


class BrokenPromiseError(AssertionError):
    """A step of the demo did not do what it is said to do."""


class Story:
    """One telling.

    Args:
        console: where it is told.
        directory: where its store goes.
        frame: the flights.
    """

    def __init__(self, console: Console, directory: Path, frame: pd.DataFrame) -> None:
        self.voice = Voice(console)
        self.figures = self.voice.figures
        self.directory = directory
        self.frame = frame
        self.session = ""

    def tell(self) -> dict[str, Any]:
        """Tell it, and return the figures: milliseconds under ``*_ms``, bytes under ``*_bytes``.

        Raises:
            BrokenPromiseError: a step did not do what is said of it.
        """
        rows, columns = self.frame.shape
        memory = int(self.frame.memory_usage(index=True, deep=True).sum())
        self.figures |= {"rows": rows, "columns": columns, "frame_bytes": memory}
        self.voice.console.print(
            Panel(
                f"[bold]{rows:,} flights[/bold] left New York in 2013: {columns} columns, {size(memory)}.\n"
                "A worker keeps them in a session, a second one joins in, and every step can be taken back.",
                title="Framekeep",
                title_align="left",
                border_style="cyan",
                width=min(100, self.voice.console.width),
            )
        )
        self.directory.mkdir(parents=True, exist_ok=True)
        self._pickle()
        with DataManager(settings(self.directory)) as manager:
            for chapter in (
                self._create, self._read, self._edit, self._history, self._travel, self._marks,
                self._second_process, self._race, self._look, self._audit, self._expiry, self._sum,
            ):  # fmt: skip
                chapter(manager)
        return self.figures

    def _pickle(self) -> None:
        """Measure the design that is replaced: the whole frame in a file, synced to disk, for each state."""
        path = self.directory / "whole-frame.pkl"
        with self.voice.timed("pickle_write_ms"), path.open("wb") as file:
            pickle.dump(self.frame, file, protocol=5)
            file.flush()
            os.fsync(file.fileno())
        self.figures["pickle_bytes"] = path.stat().st_size
        path.unlink()

    def _create(self, manager: DataManager) -> None:
        voice = self.voice
        voice.chapter("Keep it")
        voice.code('session = manager.create_session(flights, "flights.csv")')
        with voice.timed("create_ms"):
            self.session = manager.create_session(self.frame, "flights.csv")
        self.figures["create_bytes"] = _used(manager)
        voice.says(
            f"Safe on disk in {voice.ms('create_ms')}, {size(self.figures['create_bytes'])}.",
            f"Pickled and synced, the same table takes {voice.ms('pickle_write_ms')} and",
            f"{size(self.figures['pickle_bytes'])}.",
        )

    def _read(self, manager: DataManager) -> None:
        voice = self.voice
        voice.code("manager.get_dataframe(session)  # twice")
        with voice.timed("read_ms"):
            frame = manager.get_dataframe(self.session)
        _same(frame, self.frame, "the table read back")
        with voice.timed("read_again_ms"):
            manager.get_dataframe(self.session)
        voice.says(
            f"Back in {voice.ms('read_ms')}, exactly as it went in; again in {voice.ms('read_again_ms')},",
            "over columns that this process has already.",
        )

    def _edit(self, manager: DataManager) -> None:
        voice, figures = self.voice, self.figures
        voice.chapter("Change it, three times")
        voice.code(
            'with manager.edit(session, "Unknown delays are none") as df:',
            '    df["dep_delay"] = df["dep_delay"].fillna(0)',
        )
        before = _used(manager)
        with voice.timed("edit_ms"), manager.edit(self.session, "Unknown delays are none") as df:
            df["dep_delay"] = df["dep_delay"].fillna(0)
        figures["edit_bytes"] = _used(manager) - before
        pickles = 2 * figures["pickle_write_ms"]  # the current state and the version, each the whole frame
        figures["edit_ratio"] = pickles / figures["edit_ms"]
        voice.says(
            f"A version in {voice.ms('edit_ms')} and {size(figures['edit_bytes'])} more on disk: only the",
            f"column that changed. Two whole pickles (state and version) take {pickles:,.0f} ms",
            f"and {size(2 * figures['pickle_bytes'])}: {figures['edit_ratio']:,.0f} times as long.",
        )
        voice.code(
            "df = manager.get_dataframe(session)",
            'df = df.assign(speed=df["distance"] / df["air_time"] * 60)',
            'manager.commit_dataframe(session, df, "Speed in mph")',
        )
        df = manager.get_dataframe(self.session)
        df = df.assign(speed=df["distance"] / df["air_time"] * 60)
        with voice.timed("commit_ms"):
            manager.commit_dataframe(self.session, df, "Speed in mph")
        voice.says(f"The whole table handed over, the new column found and stored: {voice.ms('commit_ms')}.")
        voice.code(
            'manager.commit_dataframe(session, df.dropna(subset="air_time"), "Only flights that landed")'
        )
        landed = df.dropna(subset="air_time")
        with voice.timed("commit_all_ms"):
            manager.commit_dataframe(self.session, landed, "Only flights that landed")
        voice.says(f"Other rows, so every column is another one, and written: {voice.ms('commit_all_ms')}.")

    def _history(self, manager: DataManager) -> None:
        self.voice.chapter("What was done")
        self.voice.code("manager.get_history(session)")
        rows = table(
            "version", "action that followed", "rows", "columns", right=("version", "rows", "columns")
        )
        for version in manager.get_history(self.session):
            number, summary = str(version["version_id"]), version["action_summary"]
            rows.add_row(number, summary, f"{version['rows']:,}", f"{version['columns']}")
        self.voice.console.print(rows)

    def _travel(self, manager: DataManager) -> None:
        voice = self.voice
        last = manager.get_dataframe(self.session)
        voice.chapter("Take it back, and forth")
        voice.code("manager.undo(session)  # three times")
        times = []
        for _ in range(3):
            with voice.timed("undo_ms"):
                manager.undo(self.session)
            times.append(self.figures["undo_ms"])
        self.figures["undo_ms"] = sorted(times)[1]
        _same(manager.get_dataframe(self.session), self.frame, "the table after three undos")
        voice.says(
            f"{', '.join(f'{each:.2f}' for each in times)} ms: undo moves a pointer.",
            "The table is exactly as it came.",
        )
        voice.code("manager.redo(session)  # three times")
        for _ in range(3):
            with voice.timed("redo_ms"):
                manager.redo(self.session)
        _same(manager.get_dataframe(self.session), last, "the table after three redos")
        voice.says(f"{voice.ms('redo_ms')} each, and all the changes are back.")
        second = manager.get_history(self.session)[1]["version_id"]
        voice.code(f"manager.restore(session, {second})")
        with voice.timed("restore_ms"):
            manager.restore(self.session, second)
        voice.says(
            f"Straight to version {second} in {voice.ms('restore_ms')}; redo still leads forward again."
        )

    def _marks(self, manager: DataManager) -> None:
        voice = self.voice
        departures = manager.get_dataframe(self.session)["dep_time"]
        cancelled = [int(row) for row in departures.isna().to_numpy().nonzero()[0]]
        voice.chapter("Empty on purpose")
        voice.code('manager.set_intentional_missing(session, "dep_time", cancelled)')
        with voice.timed("marks_ms"):
            manager.set_intentional_missing(self.session, "dep_time", cancelled)
        self.figures["marks"] = len(cancelled)
        with manager.edit(self.session, "Short airport names") as df:
            df["origin"] = df["origin"].str.lower()
        manager.set_intentional_missing(self.session, "dep_time", [])
        manager.undo(self.session)
        _same(manager.get_intentional_missing(self.session), {"dep_time": cancelled}, "the marks after undo")
        voice.says(
            f"{len(cancelled):,} flights were cancelled: no departure time is a fact of theirs, not a gap.",
            f"Marked in {voice.ms('marks_ms')}, removed after the next change, and brought back by undo,",
            "together with the table of that time.",
        )

    def _second_process(self, manager: DataManager) -> None:
        voice = self.voice
        voice.chapter("A second process")
        worker = [sys.executable, "-m", "framekeep.cli.demo_worker", str(self.directory), self.session]
        ran = subprocess.run(worker, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise BrokenPromiseError(f"the second process failed: {ran.stderr.strip().splitlines()[-1:]}")
        said = json.loads(ran.stdout)
        self.figures |= {"other_read_ms": said["read_ms"], "other_edit_ms": said["edit_ms"]}
        seen = float(manager.get_dataframe(self.session)["distance"].sum())
        _same(seen, said["kilometres"], "what the other process wrote")
        voice.says(
            f"Process {said['pid']} opened the directory, read all {said['rows']:,} rows in",
            f"{voice.ms('other_read_ms')} (its first read) and turned miles into kilometres in",
            f"{voice.ms('other_edit_ms')}. This process sees it at once.",
        )

    def _race(self, manager: DataManager) -> None:
        voice = self.voice
        voice.chapter("Nobody is overwritten")
        voice.code("with manager.edit(session, …) as df:  # and somebody else commits meanwhile")
        try:
            with manager.edit(self.session, "Slow work") as slow:
                slow["hour"] = slow["hour"] + 1
                with manager.edit(self.session, "Quick work") as quick:
                    quick["minute"] = quick["minute"] + 1
        except ConflictError as error:
            voice.says("The quick one is stored; the slow one is told, and nothing is lost:")
            voice.quotes(f"ConflictError: {error}")
        else:
            raise BrokenPromiseError("two writers on one state, and none was told")

    def _look(self, manager: DataManager) -> None:
        voice = self.voice
        first = manager.get_history(self.session)[0]["version_id"]
        voice.chapter("Look closer")
        voice.code(f'manager.diff_versions(session, {first}, "current")')
        with voice.timed("diff_ms"):
            diff = manager.diff_versions(self.session, first, "current")
        voice.says(
            sentence(diff),
            f"Found in {voice.ms('diff_ms')}: equal columns have equal names, and are not looked at.",
        )
        middle = len(self.frame) // 2
        voice.code(f"manager.get_page(session, {middle}, 100)")
        with voice.timed("page_ms"):
            page = manager.get_page(self.session, middle, 100)
        voice.says(f"{len(page)} rows from the middle, all columns: {voice.ms('page_ms')}.")

    def _audit(self, manager: DataManager) -> None:
        self.voice.chapter("What happened, and when")
        self.voice.code("manager.get_audit_log(session)")
        entries = manager.get_audit_log(self.session)
        self.figures["audit_entries"] = len(entries)
        for entry in (*entries[:3], f"… {len(entries) - 5} more …", *entries[-2:]):
            self.voice.quotes(entry)

    def _expiry(self, manager: DataManager) -> None:
        voice = self.voice
        voice.chapter("Gone when it should be")
        voice.code(f'short = manager.create_session(flights, "flights.csv", ttl_seconds={SHORT_TTL})')
        short = manager.create_session(self.frame.head(1000), "flights.csv", ttl_seconds=SHORT_TTL)
        started = time.perf_counter()
        while manager.session_exists(short):  # which does not keep it alive
            if time.perf_counter() - started > PATIENCE:
                raise BrokenPromiseError("a session did not expire")
            time.sleep(0.002)
        self.figures["expired_after_ms"] = (time.perf_counter() - started) * 1000
        try:
            manager.get_dataframe(short)
        except SessionNotFoundError:
            freed = manager.cleanup_expired_sessions()
        else:
            raise BrokenPromiseError("an expired session was read")
        voice.says(
            f"There, and {voice.ms('expired_after_ms')} later gone, for every reader at once.",
            f"The clean-up freed {freed}.",
        )

    def _sum(self, manager: DataManager) -> None:
        figures = self.figures
        states = len(manager.get_history(self.session)) + 1
        held, whole, write = _used(manager), states * figures["pickle_bytes"], figures["pickle_write_ms"]
        figures |= {"states": states, "held_bytes": held, "pickles_bytes": whole}
        headings = ("measured just now", "Framekeep", "a pickle per state")
        rows = table(*headings, "", right=headings[1:])
        for what, ours, theirs, least in (
            ("keep it", figures["create_ms"], write, ""),
            ("one column, as a version", figures["edit_ms"], 2 * write, ""),
            ("undo", figures["undo_ms"], write, "over "),  # and reading the file, which is not measured
        ):
            factor = f"{least}{theirs / ours:,.1f} x"
            rows.add_row(what, f"{ours:,.2f} ms", f"{least}{theirs:,.0f} ms", factor)
        rows.add_row(f"{states} states on disk", size(held), size(whole), f"{whole / held:,.1f} x")
        self.voice.console.print()
        self.voice.console.print(rows)
        self.voice.says(
            "Next: [bold]framekeep import FILE[/bold] with your own table, or the README's five minutes."
        )


def _used(manager: DataManager) -> int:
    """Return the bytes that the store's data takes in its file."""
    return int(manager.get_backend_health()["details"]["used_bytes"])


def _same(found: object, expected: object, what: str) -> None:
    """Fail the demo when a claim does not hold."""
    if isinstance(found, pd.DataFrame) and isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, check_exact=True, check_freq=True)
    elif found != expected:
        raise BrokenPromiseError(f"{what}: not as it was")
