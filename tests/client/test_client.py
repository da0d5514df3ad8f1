"""The client itself: how it is made, what it never says, what it shares between threads."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import uvicorn
from live import PATIENCE, LiveService
from relay import LOSE_REQUEST, Relay

import framekeep
from framekeep import Client, DataManager, Settings
from framekeep.editing import parse_operations
from framekeep.errors import (
    AuthenticationError,
    ConfigurationError,
    FramekeepError,
    InvalidEditError,
    InvalidInputError,
    InvalidMarksError,
    SessionNotFoundError,
)
from framekeep.server import create_app
from framekeep.testing.identical import assert_identical

DROP = {"op": "drop_columns", "columns": ["age"]}
KEY = "a-very-secret-key-of-a-test"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """A service with keys."""
    with LiveService(tmp_path_factory.mktemp("guarded"), api_keys=[KEY, "another-key-of-a-test"]) as service:
        yield service


# --- making one -------------------------------------------------------------------------------------


def test_it_is_a_part_of_the_public_face() -> None:
    assert framekeep.Client is Client
    assert "Client" in framekeep.__all__


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://x", "http://", "http://x/?a=1", "http://u:pw@x", "http://x:y", None, 5],
)
def test_an_address_that_is_none_is_refused(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="address") as caught:
        Client(url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"timeout": -1.0}, {"timeout": "5"}, {"timeout": float("inf")}, {"timeout": True},
     {"timeout": float("nan")}, {"retries": -1}, {"retries": 1.5}, {"retries": True}],
    ids=repr,
)  # fmt: skip
def test_an_option_that_is_wrong_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Client("http://localhost", **options)


def test_a_path_of_a_proxy_belongs_to_the_address(relay: Relay) -> None:
    with Client(f"{relay.url}/tables/", retries=0) as client, pytest.raises(FramekeepError):
        client.list_sessions()
    assert relay.requests[0].startswith("GET /tables/api/v1/sessions?")


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
{before}
try:
    from framekeep import Client
except ImportError as error:
    print(error)
else:
    print(Client("http://localhost"))
"""


@pytest.mark.parametrize(
    ("names", "before", "says"),
    [
        (("httpx", "httpx2"), "", "framekeep.Client needs httpx2: pip install 'framekeep[client]'"),
        (("none",), "", "Client('http://localhost')"),
        (
            ("none",),
            "import httpx2; sys.modules['httpx'] = httpx2; sys.modules['httpx2'] = None",
            "Client('http://localhost')",
        ),
    ],
    ids=["neither", "httpx2", "httpx"],
)
def test_what_is_missing_is_named(names: tuple[str, ...], before: str, says: str) -> None:
    code = BLOCKED.format(names=names, before=before)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == says


def test_importing_the_library_does_not_need_it() -> None:
    code = "import sys, framekeep; framekeep.DataManager; print('httpx2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- keys -------------------------------------------------------------------------------------------


def test_a_key_opens_what_belongs_to_it(guarded: LiveService, people: pd.DataFrame) -> None:
    with Client(guarded.url, KEY) as client, Client(guarded.url, "another-key-of-a-test") as other:
        session = client.new_session(people)
        assert client.list_sessions() == [session]
        assert other.list_sessions() == []
        with pytest.raises(SessionNotFoundError, match=session):
            other.get_dataframe(session)
        client.delete_session(session)


@pytest.mark.parametrize("key", [None, "wrong-key"])
def test_who_is_not_known_is_told(guarded: LiveService, key: str | None) -> None:
    with Client(guarded.url, key) as client, pytest.raises(AuthenticationError, match="API key"):
        client.list_sessions()


@pytest.mark.parametrize("key", ["", "a\nb", "schlüssel", "a\x00b", 5, b"bytes"])
def test_a_key_that_is_none_is_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Client("http://localhost", key)
    assert str(key) not in str(caught.value) or not key


TROUBLE: dict[str, Callable[[Client], object]] = {
    "not found": lambda c: c.get_dataframe("nope"),
    "refused": lambda c: c.update_metadata("nope", {}),
    "unreachable": lambda c: c.list_sessions(),
    "no frame": lambda c: c.new_session(pd.DataFrame({"o": [object()]})),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_nothing_that_is_said_or_raised_holds_the_key(
    guarded: LiveService, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Relay(guarded.url) as relay, Client(relay.url, KEY, retries=0) as client, caplog.at_level("DEBUG"):
        if trouble == "unreachable":
            relay.plan(LOSE_REQUEST)
        with pytest.raises(FramekeepError) as caught:
            TROUBLE[trouble](client)
        chain: list[BaseException] = []
        error: BaseException | None = caught.value
        while error is not None:
            chain.append(error)
            error = error.__cause__ or error.__context__
        text = "".join(traceback.format_exception(caught.value))
        shown = [text, repr(client), str(client), caplog.text, *(repr(vars(each)) for each in chain)]
    assert all(KEY not in each for each in shown)
    assert not any(hasattr(each, "request") for each in chain)  # it has the headers


# --- sockets and threads ------------------------------------------------------------------------------


def test_a_unix_socket_is_spoken_to(tmp_path: Path, people: pd.DataFrame) -> None:
    settings = Settings(storage_dir=tmp_path / "store", _env_file=None)
    address = tmp_path / "framekeep.sock"
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), uds=str(address), log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while not server.started:
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.01)
        with Client("http://framekeep", socket=address) as client:
            session = client.new_session(people)
            assert_identical(client.get_dataframe(session), people)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


def test_threads_may_share_a_client(client: Client) -> None:
    def work(number: int) -> tuple[int, int]:
        session = client.new_session(pd.DataFrame({"n": range(number * 1000)}))
        for _ in range(3):
            client.apply(session, "grow", lambda frame: pd.concat([frame, frame]))
        client.undo(session)
        return len(client.get_dataframe(session)), client.get_metadata(session)["shape"][0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(1, 17))) == [(each * 4000, each * 4000) for each in range(1, 17)]


def test_of_many_edits_at_once_those_that_lost_say_so(client: Client, session: str) -> None:
    def work(number: int) -> bool:
        try:
            with client.edit(session, f"edit {number}") as frame:
                frame["age"] = float(number)
        except framekeep.ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = sum(pool.map(work, range(24)))
    assert 1 <= won <= 24
    assert client.get_history(session)[-1]["version_id"] == won


# --- verbs that go beyond the contract ------------------------------------------------------------------


def test_operations_of_the_vocabulary_are_carried_out_by_the_service(
    client: Client, manager: DataManager, session: str
) -> None:
    dry = client.apply_operations(session, parse_operations([DROP]), dry_run=True)
    assert (dry.version_id, dry.shape) == (None, (3, 1))
    done = client.apply_operations(session, [DROP], "no ages", expected_revision=dry.revision)
    assert (done.version_id, done.summary, done.shape) == (1, "no ages", (3, 1))
    assert done.revision == manager.revision(session)
    assert done.impact["columns_removed"] == ["age"]


def test_an_operation_that_cannot_be_carried_out_says_which(client: Client, session: str) -> None:
    with pytest.raises(InvalidEditError) as caught:
        client.apply_operations(session, [DROP, {"op": "drop_columns", "columns": ["nope"]}])
    assert caught.value.operation == 1


def test_an_edit_may_be_discarded(client: Client, session: str) -> None:
    step = client.edit(session, "no")
    with step as frame:
        frame["age"] = 0.0
        step.discard()
    assert step.version_id is None
    assert client.get_history(session) == []


def test_an_edit_knows_the_states_before_and_after(
    client: Client, manager: DataManager, session: str
) -> None:
    before = manager.revision(session)
    step = client.edit(session, "yes", expected_revision=before)
    with step as frame:
        assert step.revision == before
        frame["age"] = 0.0
    assert step.revision == manager.revision(session) != before


def test_every_change_tells_the_state_that_it_led_to(
    client: Client, manager: DataManager, session: str, people: pd.DataFrame
) -> None:
    told: list[bytes] = []
    calls: list[Callable[[], object]] = [
        lambda: client.update_dataframe(session, people.head(2), on_revision=told.append),
        lambda: client.commit_dataframe(session, people, "x", on_revision=told.append),
        lambda: client.create_version(session, people, "x", on_revision=told.append),
        lambda: client.checkpoint(session, "x", on_revision=told.append),
        lambda: client.undo(session, on_revision=told.append),
        lambda: client.redo(session, on_revision=told.append),
        lambda: client.restore(session, 1, on_revision=told.append),
        lambda: client.set_intentional_missing(session, "age", [0], on_revision=told.append),
    ]
    for call in calls:
        call()
        assert told[-1] == manager.revision(session) == client.revision(session)
    assert len(set(told)) == len(calls)


@pytest.mark.parametrize("revision", ["00" * 16, 5, b""])
def test_a_revision_that_is_none_is_refused(client: Client, session: str, revision: Any) -> None:
    with pytest.raises((InvalidInputError, framekeep.ConflictError)):
        client.undo(session, expected_revision=revision)


@pytest.mark.parametrize("marks", [None, [1], "age", {"age": object()}, {"age": [object()]}, {"age": "1"}])
def test_marks_that_are_none_are_refused(client: Client, session: str, marks: Any) -> None:
    with pytest.raises(InvalidMarksError):
        client.set_intentional_missing_batch(session, marks)


def test_temporary_storage_keeps_names_and_instants(client: Client, people: pd.DataFrame) -> None:
    client.create_temp_storage("t", {"日本": people, "b": people.head(0)}, 'größe "x".xlsx', 100.0)
    found = client.get_temp_storage("t")
    assert list(found["sheets"]) == ["日本", "b"]
    assert found["filename"] == 'größe "x".xlsx'
    assert found["expires_at"] > found["created_at"]


def test_texts_that_are_no_unicode_are_refused(client: Client, session: str, people: pd.DataFrame) -> None:
    for call in (
        lambda: client.new_session(people, "\ud800.csv"),
        lambda: client.commit_dataframe(session, people, "\ud800"),
        lambda: client.update_metadata(session, {"a": "\ud800"}),
    ):
        with pytest.raises(InvalidInputError):
            call()


def test_an_upload_of_a_file_opened_for_text_is_refused(client: Client) -> None:
    with pytest.raises(InvalidInputError, match="rb"):
        client.upload(io.StringIO("a,b\n"))  # type: ignore[arg-type]
