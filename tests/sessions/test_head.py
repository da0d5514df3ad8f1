"""The head's bytes: exact both ways, refused when newer, and a precise error when damaged."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framekeep.engines.base import Change
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import NewerFormatError, SessionDamagedError
from framekeep.frames import FrameCodec
from framekeep.names import Digest, Revision, Space, new_revision
from framekeep.sessions import SessionBackend
from framekeep.sessions.head import Session, Sheets
from framekeep.timeline import State, Timeline, Version

DIGESTS = st.binary(min_size=16, max_size=16).map(Digest)
INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2500, 1, 1), timezones=st.just(UTC))
TEXTS = st.text(st.characters(codec=None), max_size=20)  # lone surrogates too
STATES = st.builds(State, DIGESTS, st.none() | DIGESTS, st.integers(0), st.integers(0), st.integers(0))
VERSIONS = st.builds(Version, st.integers(1), TEXTS, INSTANTS, STATES)
LINES = st.builds(
    Timeline,
    STATES,
    st.lists(VERSIONS, max_size=3).map(tuple),
    st.lists(VERSIONS, max_size=3).map(tuple),
    st.integers(1),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
SESSIONS = st.builds(
    Session,
    filename=TEXTS,
    created_at=INSTANTS,
    ttl=st.floats(0.001, 1e9),
    initial_rows=st.integers(0),
    lineage=st.binary(min_size=16, max_size=16).map(Revision),
    timeline=LINES,
    metadata=st.dictionaries(TEXTS, JSON, max_size=3),
)


@given(SESSIONS)
def test_a_head_comes_back_as_it_was(session: Session) -> None:
    back = Session.decode(session.encode())
    assert back == session
    assert repr(back.metadata) == repr(dict(session.metadata))  # True is not 1, 1.0 is not 1


def test_surrogates_in_a_row_stay_apart(engine: MemoryEngine) -> None:
    backend, apart = SessionBackend(engine, FrameCodec()), "\ud83d\ude00"
    backend.update_metadata("s", {apart: apart, "\U0001f600": 1})
    found = backend.get_metadata("s")
    assert (found[apart], found["\U0001f600"]) == (apart, 1)


@given(TEXTS, INSTANTS, st.lists(st.tuples(TEXTS, DIGESTS), max_size=4).map(tuple))
def test_sheets_come_back_as_they_were(
    filename: str, created: datetime, sheets: tuple[tuple[str, Digest], ...]
) -> None:
    record = Sheets(filename, created, sheets)
    assert Sheets.decode(record.encode()) == record


@pytest.fixture
def engine() -> MemoryEngine:
    engine = MemoryEngine()
    SessionBackend(engine, FrameCodec()).create_session("s", pd.DataFrame({"a": [1]}), "x", 60)
    return engine


def rewrite(engine: MemoryEngine, body: bytes) -> SessionBackend:
    head = engine.load(Space("session:s"))
    assert head is not None
    engine.commit(Space("session:s"), Change(head.revision, new_revision(), body))
    return SessionBackend(engine, FrameCodec())


def test_a_newer_head_is_refused_clearly(engine: MemoryEngine) -> None:
    head = engine.load(Space("session:s"))
    assert head is not None
    newer = rewrite(engine, json.dumps({**json.loads(head.body), "format": 2}).encode())
    with pytest.raises(NewerFormatError, match="newer"):
        newer.get_dataframe("s")
    with pytest.raises(NewerFormatError):
        newer.add_audit_entry("s", "x")


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"\xff", b"[1]", b'{"format":1}', b'{"format":"x"}', b"null", b"[" * 100_000],
    ids=lambda body: repr(body[:12]),
)
def test_a_damaged_head_names_its_session(engine: MemoryEngine, body: bytes) -> None:
    broken = rewrite(engine, body)
    with pytest.raises(SessionDamagedError, match="'s'") as caught:
        broken.get_dataframe("s")
    assert (caught.value.session_id, caught.value.where) == ("s", "head")
    assert [damage.where for damage in broken.check("s")] == ["head"]


def test_a_session_with_a_damaged_head_can_be_deleted(engine: MemoryEngine) -> None:
    assert rewrite(engine, b"{}").delete_session("s")


@given(st.data())
def test_a_cut_or_flipped_head_raises_nothing_else(data: st.DataObject) -> None:
    body = data.draw(SESSIONS).encode()
    at = data.draw(st.integers(0, len(body) - 1))
    flipped = bytearray(body)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for damaged in (body[:at], bytes(flipped)):
        with suppress(SessionDamagedError, NewerFormatError):
            Session.decode(damaged)
