"""``check`` finds damage by session and column, and survives a store that kills its reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from framekeep.cli import inspection
from framekeep.names import Space


def no_step(done: float, what: str) -> None:
    """Ignore the progress."""


def test_a_sound_store_is_zero(framekeep, session: str) -> None:
    done = framekeep("check")
    assert done.code == 0
    assert done.out == "1 session read to the end, no damage.\n"


def test_only_the_sessions_asked_for_are_checked(framekeep, session: str, people: pd.DataFrame) -> None:
    with framekeep.manager() as manager:
        other = manager.create_session(people)
    assert framekeep("check", other, "--json").json["sessions"] == [other]


def test_being_checked_does_not_keep_a_session_alive(framekeep, session: str) -> None:
    def expiry() -> pd.Timestamp:
        """As most of several answers have it: a busy machine may stop us between two looks at a clock."""
        listed = (framekeep("sessions", "list", "--json") for _ in range(3))
        return sorted(pd.Timestamp(each.json["sessions"][0]["expires_at"]) for each in listed)[1]

    before = expiry()
    framekeep("check")
    assert abs((expiry() - before).total_seconds()) < 0.01


def flip(store: Path, needle: bytes) -> None:
    """Flip a byte of ``needle`` wherever it is in the store's file."""
    path = store / "framekeep.mdb"
    data = bytearray(path.read_bytes())
    place = data.find(needle)
    assert place >= 0
    while place >= 0:
        data[place + len(needle) // 2] ^= 0xFF
        place = data.find(needle, place + 1)
    path.write_bytes(data)


def test_a_flipped_byte_is_nine_and_named_by_session_and_column(framekeep, session: str) -> None:
    noise = np.random.default_rng(1).bytes(8 * 1000)  # does not compress, so it stands in the file as it is
    with framekeep.manager() as manager:
        hurt = manager.create_session(pd.DataFrame({"fine": range(1000), "hurt": np.frombuffer(noise, "i8")}))
    flip(framekeep.directory, noise[4000:4064])
    done = framekeep("check", "--json")
    assert done.code == 9
    assert not done.json["ok"]
    assert {(found["session"], "hurt" in found["where"]) for found in done.json["damage"]} == {(hurt, True)}
    assert set(done.json["sessions"]) == {hurt, session}
    shown = framekeep("check")
    assert hurt in shown.out
    assert "2 sessions read to the end, 1 damaged." in shown.out


def test_a_file_cut_short_is_damage_not_a_crash(framekeep, session: str) -> None:
    path = framekeep.directory / "framekeep.mdb"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert framekeep("check").code == 9


def test_pages_overwritten_with_noise_are_damage_whatever_they_do_to_the_reader(
    framekeep, session: str
) -> None:
    path = framekeep.directory / "framekeep.mdb"
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(2).bytes(len(data) - 8192)
    data[8192:] = noise  # all but the two pages that say what the file is
    path.write_bytes(data)
    done = framekeep("check", "--json")
    assert done.code == 9
    assert done.json["damage"]


def test_a_reader_that_is_killed_is_damage_of_the_session_it_read(
    framekeep, session: str, people: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with framekeep.manager() as manager:
        second = manager.create_session(people)
        first, last = sorted([session, second])
    # A reader that dies as one does on a broken page, when it comes to the first session.
    reader = tmp_path / "reader.py"
    reader.write_text(
        "import os, signal, sys\n"
        "from framekeep.cli import inspection\n"
        "from framekeep.manager import DataManager\n"
        "check = DataManager.check\n"
        "def dying(self, session):\n"
        f"    if session == {first!r}:\n"
        "        os.kill(os.getpid(), signal.SIGBUS)\n"
        "    return check(self, session)\n"
        "DataManager.check = dying\n"
        "inspection.main()\n"
    )
    monkeypatch.setattr(inspection, "READER", (str(reader),))
    report = inspection.inspect(framekeep.directory, (), no_step)
    assert [(found.session, found.problem) for found in report.findings] == [
        (first, "its reader was killed by SIGBUS while reading this session")
    ]
    assert report.sessions == [last]


def test_a_reader_that_never_starts_is_said_of_the_store(
    framekeep, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        inspection, "READER", ("-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    )
    report = inspection.inspect(framekeep.directory, (), no_step)
    assert [found.session for found in report.findings] == [""]
    assert "SIGSEGV" in report.findings[0].problem


def test_a_damaged_head_hides_no_other_session(framekeep, session: str, people: pd.DataFrame) -> None:
    with framekeep.manager() as manager:
        hurt = manager.create_session(people, "find-this-very-name.csv")
        engine = manager.backend.engine
        assert engine.load(Space(f"session:{hurt}")) is not None
    flip(framekeep.directory, b"find-this-very-name.csv")
    done = framekeep("check", "--json")
    assert done.code == 9
    assert {found["session"] for found in done.json["damage"]} == {hurt}
    assert session in done.json["sessions"]
    listed = framekeep("sessions", "list", "--json").json
    assert [each["session_id"] for each in listed["sessions"]] == [session]
    assert [each["session_id"] for each in listed["damaged"]] == [hurt]
    assert "2 sessions." in framekeep("sessions", "list").out


def test_damage_of_the_file_itself_is_said_of_the_store(framekeep, session: str) -> None:
    path = framekeep.directory / "framekeep.mdb"
    data = bytearray(path.read_bytes())
    for meta in (0, 4096):  # the number of the last page: now there is one that is neither used nor free
        last = int.from_bytes(data[meta + 136 : meta + 144], "little")
        data[meta + 136 : meta + 144] = (last + 1).to_bytes(8, "little")
    path.write_bytes(data + bytes(3 * 4096))
    done = framekeep("check", "--json")
    assert done.code == 9
    assert {found["session"] for found in done.json["damage"]} == {""}
    assert done.json["sessions"] == [session]  # which can be read all the same
    assert "(the store)" in framekeep("check").out


def test_a_session_whose_head_is_damaged_can_be_deleted(
    framekeep, session: str, people: pd.DataFrame
) -> None:
    with framekeep.manager() as manager:
        hurt = manager.create_session(people, "find-this-very-name.csv")
    flip(framekeep.directory, b"find-this-very-name.csv")
    done = framekeep("sessions", "rm", hurt, "gone", "--json")
    assert done.code == 4
    assert done.json == {"deleted": [hurt], "not_found": ["gone"]}
    assert framekeep("check").code == 0
    assert framekeep("sessions", "list", "--json").json["damaged"] == []
