"""What must be true of the sessions that a crowd leaves: nothing acknowledged is lost, nothing is torn.

The audit log of a session is written in one step with each change, so it is the order in which they happened.
It is replayed here: versions, steps back and forth must lead to the very frame and history that are there.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Any

import stamped

from crowd import Event
from framekeep import DataManager
from framekeep.errors import StorageUnavailableError

MAX_VERSIONS = 5

_ENTRY = re.compile(r"entry (c\d+\.\d+)")
_VERSION = re.compile(r"Version (\d+): (c\d+\.\d+)\. Rows: ")
_STEP = re.compile(r"(Undid|Redid) version (\d+): (c\d+\.\d+)")
_FRAMES = ("edit", "commit", "operations")


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        lost: acknowledged changes that are not there.
        stored: failed changes that are there all the same.
        changes: how many were acknowledged.
    """

    lost: list[Event] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    changes: int = 0


@dataclass(slots=True)
class Replay:
    """A session as its log tells it: the line of ``framekeep.timeline`` with stamps for states."""

    current: int = 0
    past: list[tuple[int, int]] = field(default_factory=list)
    future: list[tuple[int, int]] = field(default_factory=list)
    versions: list[tuple[int, str]] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    steps: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)

    def take(self, text: str) -> None:
        if entry := _ENTRY.fullmatch(text):
            self.entries.append(entry[1])
            self.order.append(entry[1])
        elif version := _VERSION.match(text):
            self.versions.append((int(version[1]), version[2]))
            self.order.append(version[2])
            self.past = [*self.past, (int(version[1]), self.current)][-MAX_VERSIONS:]
            self.current, self.future = stamped.stamp_for(version[2]), []
        elif step := _STEP.fullmatch(text):
            here, there = (self.past, self.future) if step[1] == "Undid" else (self.future, self.past)
            assert here, f"{text}: there was nothing to step to"
            id, state = here.pop()
            assert id == int(step[2]), f"{text}: it was the turn of version {id}"
            there.append((id, self.current))
            self.current = state
            self.steps["undo" if step[1] == "Undid" else "redo"] += 1
        else:
            assert text.startswith("Session created"), text


def judge(
    manager: DataManager,
    sessions: list[str],
    events: list[Event],
    *,
    unsaid: Set[str] = frozenset(),
) -> Verdict:
    """Check all sessions and return what is lost.

    Args:
        manager: on the store.
        sessions: their ids, in the order of their numbers.
        events: what all clients said.
        unsaid: changes that clients were at when they were killed: they may be there.

    Raises:
        AssertionError: something that must never be.
    """
    wrong = [event for event in events if event.outcome == "wrong"]
    assert not wrong, wrong[:3]
    verdict = Verdict(changes=sum(event.outcome == "ok" and event.verb != "look" for event in events))
    for number, session in enumerate(sessions):
        mine = [event for event in events if event.session == number]
        _one(_Patient(manager), session, number, mine, unsaid, verdict)
    return verdict


class _Patient:
    """A manager to read with while the servers may still be choosing a primary."""

    def __init__(self, manager: DataManager) -> None:
        self._manager = manager

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def read(*arguments: Any, **named: Any) -> Any:
            deadline = time.monotonic() + 30.0
            while True:
                try:
                    return getattr(self._manager, name)(*arguments, **named)
                except StorageUnavailableError:
                    if time.monotonic() > deadline:
                        raise

        return read


def _one(
    manager: _Patient,
    session: str,
    number: int,
    events: list[Event],
    unsaid: Set[str],
    verdict: Verdict,
) -> None:
    told = {event.token: event for event in events}
    acknowledged = [event for event in events if event.outcome == "ok"]
    replay = Replay()
    for line in manager.get_audit_log(session):
        replay.take(line.partition("] ")[2])

    # Each change that is there was asked for, and is there once.
    assert len(replay.order) == len(set(replay.order)), Counter(replay.order).most_common(3)
    for token in replay.order:
        assert token in told or token in unsaid, f"{token} was never asked for"
        if token in told and told[token].outcome != "ok":
            assert told[token].outcome == "failed", told[token]
            assert told[token].detail[0] != "ConflictError", f"{told[token]}, and it is stored"
            verdict.stored.append(token)
        elif token not in told:
            verdict.stored.append(token)
    assert [id for id, _ in replay.versions] == list(range(1, len(replay.versions) + 1))
    _in_order(replay.order, told)

    # What was acknowledged is there.
    there = set(replay.order)
    metadata = manager.get_metadata(session)
    marks = manager.get_intentional_missing(session)
    steps = Counter(event.verb for event in acknowledged)

    def latest_mark(client: int) -> int:
        return stamped.number_marked(marks.get(stamped.own(client), ()))

    lost: list[Event] = []
    for event in acknowledged:
        match event.verb:
            case "audit" | "edit" | "commit" | "operations":
                present = event.token in there
            case "metadata":
                present = metadata.get(event.token) == event.number
            case "marks":
                present = event.number <= latest_mark(event.client)
            case _:
                present = True
        if not present:
            lost.append(event)
    gone = {event.token for event in lost}
    ids = {token: id for id, token in replay.versions}
    for event in acknowledged:
        if event.verb in _FRAMES and event.token not in gone:
            assert event.detail == ids[event.token], f"{event} is version {ids[event.token]}"
    for verb in ("undo", "redo"):
        missing = steps[verb] - replay.steps[verb]
        if missing > 0:
            lost += [event for event in acknowledged if event.verb == verb][-missing:]
    verdict.lost += lost
    failed = Counter(event.verb for event in events if event.outcome == "failed")
    for verb in ("undo", "redo"):
        assert replay.steps[verb] <= steps[verb] + failed[verb] + len(unsaid), f"{verb} happened twice"

    # The frame and its history are those of the log, whole, and nothing is damaged.
    frame = manager.get_dataframe(session)
    assert stamped.stamp_of(frame) == replay.current
    history = [(v["version_id"], v["undone"]) for v in manager.get_history(session)]
    assert [id for id, undone in history if not undone] == [id for id, _ in replay.past]
    if stamped.steps_back(number):
        assert [id for id, undone in history if undone] == [id for id, _ in reversed(replay.future)]
        for id, state in replay.past:
            assert stamped.stamp_of(manager.get_dataframe(session, version=id)) == state
    else:
        for client in range(stamped.CLIENTS):
            made = [t for _, t in replay.versions if t.startswith(f"c{client}.")]
            expected = int(made[-1].partition(".")[2]) if made else 0
            assert frame[stamped.own(client)].iloc[0] == expected
    assert manager.check(session) == []


def _in_order(order: list[str], told: dict[str, Event]) -> None:
    """Check that what was acknowledged before something else began stands before it, whoever did it."""
    earliest_end, who = float("inf"), ""
    for token in reversed(order):
        event = told.get(token)
        if event is None or event.outcome != "ok":
            continue
        assert event.begin <= earliest_end, (
            f"{who} was acknowledged before {token} began, and stands after it"
        )
        if event.end < earliest_end:
            earliest_end, who = event.end, token
