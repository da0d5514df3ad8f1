"""From pickle files to sessions: what becomes of frames, versions and meta.json; what hostile files do."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import pickle
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep.connect import InMemoryBackend
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import (
    ConflictError,
    DamagedFileError,
    DataFrameTooLargeError,
    FramekeepError,
    ImportLimitError,
    InvalidIdError,
    InvalidInputError,
    InvalidMetadataError,
    NotADataFrameError,
    NotFoundError,
    UnsupportedTypeError,
)
from framekeep.frames import FrameCodec
from framekeep.migration.arrival import Arrival
from framekeep.migration.journal import Journal
from framekeep.migration.passes import migrate
from framekeep.migration.pickle_reader import PickleReader
from framekeep.migration.pickles import Pickles
from framekeep.migration.report import Outcome, Report

from .conftest import Legacy, outcomes, people

Pass = Callable[..., Report]


@pytest.fixture
def reader() -> Iterator[PickleReader]:
    with PickleReader(memory_bytes=512 << 20, seconds=20, max_frame_bytes=64 << 20) as made:
        yield made


@pytest.fixture
def go(tmp_path: Path, backend: InMemoryBackend, reader: PickleReader) -> Pass:
    def go(reads: PickleReader | None = reader, *, only: tuple[str, ...] = ()) -> Report:
        with Journal(tmp_path / "journal", between=("old", "new"), target="new") as journal:
            origin = Pickles(tmp_path / "old", backend.codec, reads, ttl=3600)
            arrival = Arrival(backend.engine, journal)
            return migrate(origin, arrival, origin.spaces(only), asked=bool(only))

    return go


def the_error(report: Report) -> FramekeepError:
    [problem] = report.problems
    return problem.error


# --- what arrives ----------------------------------------------------------------------------------


def test_a_session_arrives_with_its_versions_and_can_be_undone(
    legacy: Legacy, go: Pass, backend: InMemoryBackend
) -> None:
    meta = {
        "filename": "people.csv",
        "created_at": "2025-03-04T05:06:07",
        "versions": [{"id": 2, "summary": "Fill ages"}, {"id": 10, "summary": "Drop rows"}],
        "next": 12,
    }
    legacy("s", people(5), {10: people(4), 2: people(3)}, meta)
    assert outcomes(go()) == {Outcome.COPIED: 1}
    assert backend.check("s") == []
    assert [(row["version_id"], row["action_summary"]) for row in backend.get_history("s")] == [
        (2, "Fill ages"),
        (10, "Drop rows"),
    ]
    facts = backend.get_metadata("s")
    assert facts["filename"] == "people.csv"
    assert facts["created_at"] == datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
    pd.testing.assert_frame_equal(backend.get_dataframe("s"), people(5))
    pd.testing.assert_frame_equal(backend.undo_last_change("s"), people(4))
    pd.testing.assert_frame_equal(backend.undo_last_change("s"), people(3))
    pd.testing.assert_frame_equal(backend.redo_last_change("s"), people(4))
    assert backend.commit_dataframe("s", people(2), "next") == 12


def test_a_session_without_meta_and_versions_arrives(
    legacy: Legacy, go: Pass, backend: InMemoryBackend
) -> None:
    legacy("s", people())
    assert outcomes(go()) == {Outcome.COPIED: 1}
    assert backend.get_metadata("s")["filename"] == "s.pkl"
    assert backend.get_history("s") == []


def test_directories_of_sessions_may_stand_in_the_directory_itself(
    legacy: Legacy, go: Pass, backend: InMemoryBackend, tmp_path: Path
) -> None:
    legacy("s", people())
    (tmp_path / "old" / "sessions").rename(tmp_path / "flat")
    (tmp_path / "old").rmdir()
    (tmp_path / "flat").rename(tmp_path / "old")
    assert outcomes(go()) == {Outcome.COPIED: 1}


@pytest.mark.parametrize(
    "pack",
    [
        lambda frame: zlib.compress(pickle.dumps(frame)),
        lambda frame: gzip.compress(pickle.dumps(frame)),
        lambda frame: bz2.compress(pickle.dumps(frame)),
        lambda frame: pickle.dumps(frame, protocol=2),
    ],
    ids=["zlib", "gzip", "bz2", "protocol 2"],
)
def test_compressed_and_old_pickles_are_read(
    legacy: Legacy, go: Pass, backend: InMemoryBackend, pack: Callable[[object], bytes]
) -> None:
    legacy("s", people(), {1: people(2)}, pack=pack)
    assert go().errors == []
    pd.testing.assert_frame_equal(backend.get_dataframe("s"), people())


def test_frames_arrive_exactly(legacy: Legacy, go: Pass, backend: InMemoryBackend) -> None:
    frame = pd.DataFrame(
        {
            "o": pd.Series([1, "x", None, float("nan")], dtype=object),
            "i": pd.array([1, None, 3, 4], dtype="Int64"),
            "c": pd.Categorical(["a", "b", None, "a"]),
        },
        index=pd.Index([10, 20, 30, 40], name="who"),
    )
    legacy("s", frame)
    go()
    pd.testing.assert_frame_equal(backend.get_dataframe("s"), frame)


def test_what_meta_says_is_read_with_tolerance(legacy: Legacy, go: Pass, backend: InMemoryBackend) -> None:
    meta = """{
        "original_filename": "a.csv", "created": 1700000000, "ttl_seconds": 7200,
        "audit_log": ["[2024] plain", {"at": "2024-01-02T03:04:05Z", "action": "Imported"}, {"odd": 1}],
        "intentional_missing": {"age": [2, 0], "gone": [1], "name": [99], "n": {"rows": [1]}},
        "metadata": {"project": "x"}, "owner": {"id": 7}, "score": NaN, "shape": [1, 1], "rows": 3
    }"""
    legacy("s", people(), {1: people(2)}, meta)
    assert go().errors == []
    facts = backend.get_metadata("s")
    assert facts["filename"] == "a.csv"
    assert facts["created_at"] == datetime.fromtimestamp(1700000000, UTC)
    assert facts["project"] == "x"
    assert facts["owner"] == {"id": 7}
    assert facts["score"] == "NaN"
    assert facts["rows"] == 3
    assert facts["shape"] == (3, 2)
    assert facts["intentional_missing"] == {"gone": [1], "name": [99], "n": [{"rows": [1]}]}
    assert backend.get_intentional_missing("s") == {"age": [0, 2]}
    assert backend.get_audit_log("s") == [
        "[2024] plain",
        "[2024-01-02 03:04:05 UTC] Imported",
        '{"odd": 1}',
    ]
    head = backend.engine.load("session:s")  # type: ignore[arg-type]
    assert head is not None
    assert head.ttl == pytest.approx(7200, abs=60)


@pytest.mark.parametrize(
    "marks",
    [
        {"age": [{"rows": [1], "reason": "not asked"}]},
        {"age": {"rows": [1], "reason": "not asked"}},
        [{"column": "age", "row": 1, "reason": "not asked"}],
    ],
)
def test_marks_come_in_several_forms(legacy: Legacy, go: Pass, backend: InMemoryBackend, marks: Any) -> None:
    legacy("s", people(), meta={"intentional_missing": marks})
    go()
    assert backend.get_missing_reasons("s") == {"age": {"not asked": [1]}}


def test_marks_find_columns_whose_labels_are_numbers(
    legacy: Legacy, go: Pass, backend: InMemoryBackend
) -> None:
    legacy("s", pd.DataFrame([[1, 2]], columns=[2020, 2021]), meta={"intentional_missing": {"2021": [0]}})
    go()
    assert backend.get_intentional_missing("s") == {2021: [0]}


@pytest.mark.parametrize(
    "meta",
    [
        {"created_at": "yesterday", "ttl": -5, "versions": "none", "audit": 7, "next": "x"},
        {"versions": {"1": "one", "x": 2}, "expires_at": "never", "filename": None},
        {"versions": [1, None, {"id": "q"}], "intentional_missing": [1, 2], "metadata": [1]},
        '{"versions": [{"id": 1e999}], "intentional_missing": {"age": [1e999], "1": -1e999}, "other": 1e999}',
        '{"ttl": 1%s, "expires_at": 1e999}' % ("0" * 400),
        {},
    ],
)
def test_odd_values_in_meta_are_no_obstacle(
    legacy: Legacy, go: Pass, backend: InMemoryBackend, meta: object
) -> None:
    legacy("s", people(), {1: people(2)}, meta)
    assert go().errors == []
    assert backend.check("s") == []
    assert len(backend.undo_last_change("s")) == 2


def test_the_expiry_that_the_files_name_is_kept(legacy: Legacy, go: Pass, backend: InMemoryBackend) -> None:
    soon = datetime.now(UTC).timestamp() + 500
    legacy("s", people(), meta={"ttl": 1000, "expires_at": soon})
    legacy("old", people(), meta={"expires_at": "2020-01-01"})
    assert outcomes(go()) == {Outcome.COPIED: 1, Outcome.GONE: 1}
    head = backend.engine.load("session:s")  # type: ignore[arg-type]
    assert head is not None
    assert head.ttl == pytest.approx(500, abs=60)


# --- running again ---------------------------------------------------------------------------------


def test_a_second_pass_opens_no_pickle(legacy: Legacy, go: Pass, tmp_path: Path) -> None:
    legacy("s", people(), {1: people(2)}, {"filename": "f"})
    go()
    assert outcomes(go(None)) == {Outcome.THERE: 1}
    (tmp_path / "journal").unlink()
    assert outcomes(go(None)) == {Outcome.THERE: 1}


def test_what_the_old_application_changed_is_migrated_again(
    legacy: Legacy, go: Pass, backend: InMemoryBackend
) -> None:
    legacy("s", people(), {}, {"audit": ["one"]})
    go()
    legacy("s", people(4), {1: people()}, {"audit": ["one", "two"]})
    assert outcomes(go()) == {Outcome.UPDATED: 1}
    assert backend.get_audit_log("s") == ["one", "two"]
    assert len(backend.get_dataframe("s")) == 4
    legacy("s", people(5), {}, {"audit": ["rewritten"]})
    assert outcomes(go()) == {Outcome.UPDATED: 1}
    assert backend.get_audit_log("s") == ["rewritten"]
    assert backend.check("s") == []


def test_what_was_changed_in_the_new_store_is_not_overwritten(
    legacy: Legacy, go: Pass, backend: InMemoryBackend
) -> None:
    legacy("s", people())
    go()
    backend.commit_dataframe("s", people(8), "in the new store")
    assert outcomes(go()) == {Outcome.NEWER: 1}
    legacy("s", people(4))
    assert isinstance(the_error(go()), ConflictError)
    assert len(backend.get_dataframe("s")) == 8


def test_files_that_change_while_they_are_read_are_read_again(
    legacy: Legacy, tmp_path: Path, backend: InMemoryBackend, reader: PickleReader
) -> None:
    legacy("s", people())

    class Meddling(PickleReader):
        times = 1

        def __init__(self) -> None:
            pass

        def frame(self, path: Path) -> pd.DataFrame:
            found = reader.frame(path)
            if self.times:
                self.times -= 1
                legacy("s", people(6))
            return found

    with Journal(None, between=(), target="new") as journal:
        origin = Pickles(tmp_path / "old", backend.codec, Meddling(), ttl=3600)
        report = migrate(origin, Arrival(backend.engine, journal), origin.spaces())
    assert outcomes(report) == {Outcome.COPIED: 1}
    assert len(backend.get_dataframe("s")) == 6


# --- what cannot be moved --------------------------------------------------------------------------


class Runs:
    """A pickle that calls something when it is opened."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._what = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._what


class Frame(pd.DataFrame):
    """A subclass."""


def _hungry(size: int) -> Runs:
    return Runs(bytes, size)


def _python(code: str) -> Runs:
    return Runs(eval, f"exec({code!r}, {{}})")


HOSTILE: dict[str, tuple[Any, type[FramekeepError]]] = {
    "not a pickle": (b"hello", DamagedFileError),
    "empty": (b"", DamagedFileError),
    "cut short": (pickle.dumps(people(500))[:-100], DamagedFileError),
    "zlib that ends": (zlib.compress(pickle.dumps(people(500)))[:-9], DamagedFileError),
    "a list": ([1, 2], NotADataFrameError),
    "a series": (pd.Series([1]), NotADataFrameError),
    "unknown module": (b"cno_such_module\nThing\n.", DamagedFileError),
    "a cell that has no encoding": (pd.DataFrame({"odd": [object(), object()]}), UnsupportedTypeError),
    "memory": (_hungry(1 << 40), ImportLimitError),
    "exit": (Runs(os._exit, 0), DamagedFileError),
    "exit 7": (Runs(os._exit, 7), DamagedFileError),
    "system exit": (Runs(sys.exit, 3), DamagedFileError),
    "abort": (Runs(os.abort), DamagedFileError),
    "kills its parent": (_python("import os; os.kill(os.getppid(), 9)"), DamagedFileError),
    "prints an answer": (
        _python('print(\'{"ended": "itself", "status": 0}\', flush=True)'),
        NotADataFrameError,
    ),
    "a bomb of zlib": (zlib.compress(bytes(1 << 30)), ImportLimitError),
    "raises": (_python("raise ValueError('secret cell')"), DamagedFileError),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_an_error_of_its_session_only(
    legacy: Legacy, go: Pass, backend: InMemoryBackend, name: str
) -> None:
    content, kind = HOSTILE[name]
    legacy("a", people())
    legacy("m", content)
    legacy("z", people(4))
    report = go()
    assert report.stopped is None
    [problem] = report.problems
    assert (problem.space, type(problem.error)) == ("session:m", kind)
    assert "current.pkl" in str(problem.error)
    assert "secret" not in str(problem.error)
    assert backend.list_sessions() == ["a", "z"]
    assert all(backend.check(id) == [] for id in ("a", "z"))


def test_an_unsupported_cell_is_named_by_its_column(legacy: Legacy, go: Pass) -> None:
    legacy("s", HOSTILE["a cell that has no encoding"][0])
    assert "odd" in str(the_error(go()))


def test_a_pickle_that_takes_too_long_is_ended(legacy: Legacy, go: Pass, backend: InMemoryBackend) -> None:
    legacy("m", Runs(eval, "__import__('time').sleep(1000)"))
    legacy("z", people())
    with PickleReader(memory_bytes=512 << 20, seconds=2, max_frame_bytes=64 << 20) as impatient:
        report = go(impatient)
    assert isinstance(the_error(report), ImportLimitError)
    assert backend.list_sessions() == ["z"]


def test_what_a_pickle_started_does_not_outlive_it(legacy: Legacy, go: Pass, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import os, subprocess; p = subprocess.Popen(['sleep', '1000']); "
        f"open({str(note)!r}, 'w').write(str(p.pid))"
    )
    legacy("m", _python(code))
    go()
    stat, deadline = Path(f"/proc/{note.read_text()}/stat"), time.monotonic() + 30
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_pickle_is_never_opened_in_this_process(legacy: Legacy, go: Pass, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    legacy("m", _python(f"import os; open({str(note)!r}, 'w').write(str(os.getpid()))"))
    go()
    assert int(note.read_text()) != os.getpid()


def test_too_large_a_frame_is_refused(legacy: Legacy, go: Pass) -> None:
    legacy("s", pd.DataFrame({"x": range(1000)}))
    with PickleReader(memory_bytes=512 << 20, seconds=20, max_frame_bytes=1000) as small:
        assert isinstance(the_error(go(small)), DataFrameTooLargeError)


def test_a_damaged_version_keeps_the_session_from_moving(
    legacy: Legacy, go: Pass, backend: InMemoryBackend, tmp_path: Path
) -> None:
    legacy("s", people(), {1: people(2)})
    (tmp_path / "old/sessions/s/versions/1.pkl").write_bytes(b"\x80")
    assert "1.pkl" in str(the_error(go()))
    assert backend.list_sessions() == []


@pytest.mark.parametrize(
    ("meta", "kind"),
    [
        ("{", InvalidInputError),
        ("[1]", InvalidInputError),
        ('"\\ud800"', InvalidInputError),
        ("[" * 100_000, InvalidInputError),
        (json.dumps({"big": "x" * (2 << 20)}), InvalidMetadataError),
        ('{"n": ' + "1" * 3000 + "}", InvalidMetadataError),
    ],
    ids=["cut", "list", "text", "deep", "large", "long number"],
)
def test_a_meta_that_cannot_be_kept_is_reported(
    legacy: Legacy, go: Pass, meta: str, kind: type[FramekeepError]
) -> None:
    legacy("s", people(), meta=meta)
    assert type(the_error(go())) is kind


def test_a_session_without_a_current_frame_is_reported(legacy: Legacy, go: Pass) -> None:
    legacy("s", None, {1: people()}, {})
    assert "current.pkl" in str(the_error(go()))


def test_a_pipe_in_place_of_a_file_does_not_stop_the_pass(legacy: Legacy, go: Pass, tmp_path: Path) -> None:
    legacy("s", None, meta={})
    os.mkfifo(tmp_path / "old/sessions/s/current.pkl")
    legacy("z", people())
    report = go()
    assert isinstance(the_error(report), InvalidInputError)
    assert outcomes(report) == {Outcome.COPIED: 1}


@pytest.mark.parametrize("id", ["a b", "ü", "-x", "x" * 200, "a\nb"])
def test_a_directory_whose_name_is_no_id_is_reported(legacy: Legacy, go: Pass, id: str) -> None:
    legacy(id, people())
    assert isinstance(the_error(go()), InvalidIdError)


def test_a_directory_whose_name_is_no_text_is_reported(legacy: Legacy, go: Pass, tmp_path: Path) -> None:
    legacy("s", people())
    os.rename(os.fsencode(tmp_path / "old/sessions/s"), os.fsencode(tmp_path / "old/sessions") + b"/\xff")
    report = go()
    assert isinstance(the_error(report), InvalidIdError)
    json.dumps(report.to_json())


def test_naming_one_that_is_not_there_is_an_error(legacy: Legacy, go: Pass) -> None:
    legacy("s", people())
    assert isinstance(the_error(go(only=("other",))), NotFoundError)


def test_a_directory_that_is_not_there_is_an_error(go: Pass) -> None:
    with pytest.raises(InvalidInputError):
        go()


def test_a_session_without_an_audit_log_has_one_that_says_where_it_came_from(
    legacy: Legacy, go: Pass, backend: InMemoryBackend
) -> None:
    legacy("s", people(), meta={"filename": "people.csv", "created_at": "2026-01-02T03:04:05"})
    assert outcomes(go()) == {Outcome.COPIED: 1}
    [line] = backend.get_audit_log("s")
    assert line.startswith("[2026-01-02 03:04:05 UTC] ")
    assert "'people.csv'" in line
    assert outcomes(go()) == {Outcome.THERE: 1}


@pytest.mark.parametrize("name", ["0.pkl", "v1.pkl", "latest.pkl", "-1.pkl", "2147483648.pkl", "01.pkl"])
def test_a_version_whose_number_is_not_known_is_reported_and_not_left_out(
    legacy: Legacy, go: Pass, backend: InMemoryBackend, name: str
) -> None:
    root = legacy("s", people(), versions={1: people(1)})
    legacy("other", people())
    (root / "sessions/s/versions/1.pkl.bak").write_bytes(b"")  # is none
    (root / "sessions/s/versions" / name).write_bytes(pickle.dumps(people(2)))
    report = go()
    assert "versions/" in str(report.errors[0])
    assert outcomes(report) == {Outcome.COPIED: 1}
    (root / "sessions/s/versions" / name).rename(root / "sessions/s/versions/1764388800.pkl")
    assert outcomes(go())[Outcome.COPIED] == 1
    assert [each["version_id"] for each in backend.get_history("s")] == [1, 1764388800]


def test_versions_without_a_current_frame_are_reported(legacy: Legacy, go: Pass) -> None:
    legacy("s", versions={1: people(1)})
    assert "no current.pkl" in str(go().errors[0])


@pytest.mark.parametrize("closed", [".", "versions", "meta.json", "current.pkl"])
def test_what_may_not_be_read_is_reported_and_the_others_go_on(legacy: Legacy, closed: str) -> None:
    root = legacy("closed", people(), {1: people(1)}, meta={})
    legacy("open", people(), meta={})
    (root / "sessions/closed" / closed).chmod(0)
    child = os.fork()
    if child == 0:
        try:
            os.chdir(root)
            if os.geteuid() == 0:
                os.setresuid(65534, 65534, 65534)  # root may read everything
            with Journal(None, between=("old", "new"), target="new") as journal:
                origin = Pickles(Path(), FrameCodec(), None, ttl=3600)
                arrival = Arrival(MemoryEngine(), journal, dry_run=True)
                report = migrate(origin, arrival, origin.spaces())
            # The pickle itself is opened by the child that reads it, and not in a dry run.
            assert outcomes(report)[Outcome.COPIED] == 1, report
            assert "cannot be read: Permission denied" in str(report.errors[0]), report
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    (root / "sessions/closed" / closed).chmod(0o700)
    assert status == 0


def test_a_file_that_went_or_is_half_written_while_it_is_read_is_looked_at_again(
    legacy: Legacy, go: Pass, backend: InMemoryBackend, reader: PickleReader, tmp_path: Path
) -> None:
    root = legacy("s", people(), versions={1: people(1), 2: people(2)})
    torn = root / "sessions/s/current.pkl"
    torn.write_bytes(torn.read_bytes()[:100])

    class Late:
        def frame(self, path: Path) -> pd.DataFrame:
            if path.name == "1.pkl":  # the oldest version goes, and the frame is written to its end
                path.unlink()
            try:
                return reader.frame(path)
            finally:
                torn.write_bytes(pickle.dumps(people(5)))

    assert outcomes(go(Late())) == {Outcome.COPIED: 1}  # type: ignore[arg-type]
    assert len(backend.get_dataframe("s")) == 5
    assert [each["version_id"] for each in backend.get_history("s")] == [2]
