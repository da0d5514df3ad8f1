"""An error is one line on stderr that says the next step, and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

VERBS = (
    ("sessions", "show", "unknown"), ("history", "unknown"), ("undo", "unknown"), ("redo", "unknown"),
    ("restore", "unknown", "1"), ("diff", "unknown", "1"), ("audit", "unknown"), ("check", "unknown"),
    ("export", "unknown", "out.csv"),
)  # fmt: skip


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_an_unknown_session_is_not_found(framekeep, session: str, words: tuple[str, ...]) -> None:
    done = framekeep(*words)
    assert done.code == 4
    assert done.out == ""
    assert done.err.splitlines() == ["framekeep: Session 'unknown' is unknown, deleted or expired."]


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_with_json_an_error_is_the_one_document(framekeep, session: str, words: tuple[str, ...]) -> None:
    error = framekeep(*words, "--json").json["error"]
    assert error["code"] == "session_not_found"
    assert error["exit_code"] == 4


@pytest.mark.parametrize(
    "words", [*VERBS, ("sessions", "list"), ("compact",), ("sessions", "rm", "x")], ids=" ".join
)
def test_without_a_store_the_next_step_is_named_and_none_is_made(framekeep, words: tuple[str, ...]) -> None:
    done = framekeep(*words)
    assert done.code == 4
    assert "framekeep import FILE" in done.err
    assert not framekeep.directory.exists()


def test_nothing_to_undo_is_a_wrong_request(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("a\nx\n")
    assert framekeep("undo", framekeep("import", "p.csv").out.strip()).code == 3


def test_a_malformed_id_is_a_wrong_request(framekeep, session: str) -> None:
    assert framekeep("undo", "../etc").code == 3


def test_a_version_that_is_not_there_is_not_found(framekeep, session: str) -> None:
    assert framekeep("restore", session, 99).code == 4


def test_a_state_that_is_neither_number_nor_current_is_a_wrong_request(framekeep, session: str) -> None:
    done = framekeep("diff", session, "yesterday")
    assert done.code == 3
    assert "'current'" in done.err


def test_a_wrong_command_line_is_two(framekeep) -> None:
    assert framekeep("undo").code == 2
    assert framekeep("no-such-verb").code == 2


def test_a_wrong_setting_names_the_variable(framekeep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_VERSIONS", "many")
    done = framekeep("config", "show")
    assert done.code == 10
    assert "MAX_VERSIONS" in done.err


def test_a_file_that_is_no_store_is_eight(framekeep) -> None:
    framekeep.directory.mkdir()
    (framekeep.directory / "framekeep.mdb").write_bytes(b"something else entirely" * 1000)
    assert framekeep("sessions", "list").code in (8, 9)


def test_a_traceback_appears_only_with_debug(framekeep, session: str) -> None:
    assert "Traceback" not in framekeep("undo", "unknown").err
    assert "Traceback" in framekeep("undo", "unknown", "--debug").err


def test_a_reader_that_stops_reading_is_no_error(framekeep, session: str) -> None:
    with framekeep.manager() as manager:
        for number in range(2000):
            manager.add_audit_entry(session, f"entry {number} of many, so that the pipe is full")
    command = [
        sys.executable,
        "-m",
        "framekeep.cli",
        "audit",
        session,
        "--storage-dir",
        str(framekeep.directory),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_help_teaches_with_examples(framekeep) -> None:
    said = framekeep("--help")
    assert said.code == 0
    assert "framekeep import patients.csv" in said.out


def test_every_verb_has_help_with_an_example(framekeep) -> None:
    for verb in (
        "demo",
        "import",
        "export",
        "history",
        "undo",
        "redo",
        "restore",
        "diff",
        "audit",
        "check",
        "compact",
    ):
        assert f"framekeep {verb}" in framekeep(verb, "--help").out.split("Example", 1)[1], verb


def test_help_imports_no_heavy_library() -> None:
    program = (
        "import sys, json\n"
        "from framekeep.cli.app import run\n"
        "run(['--help'])\n"
        "print(json.dumps([name for name in ('pandas', 'pyarrow', 'numpy', 'lmdb') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_a_redis_that_does_not_answer_is_told_once(tmp_path: Path) -> None:
    away = {
        "REDIS_ENABLED": "true",
        "REDIS_URL": "redis://127.0.0.1:1",
        "STORAGE_FALLBACK_TO_MEMORY": "false",
    }
    command = [sys.executable, "-m", "framekeep.cli", "sessions", "list"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **away}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 6
    [line] = done.stderr.splitlines()
    assert line.startswith("framekeep: Failed to initialize RedisBackend: RedisBackend is not available: ")


def test_the_version_is_that_of_the_package(framekeep) -> None:
    from framekeep import __version__

    assert framekeep("--version").out == f"framekeep {__version__}\n"
