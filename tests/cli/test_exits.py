"""The exit codes: every error class has one, and docs/cli.md says the same."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from framekeep import errors
from framekeep.cli.exits import EXIT_CODES, MEANINGS, UNEXPECTED, exit_code

ERRORS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.FramekeepError)
]
SIGNALS = (errors.FramekeepError, errors.EngineSignal, errors.Conflict, errors.BlobMissing)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_class_has_a_documented_exit_code(kind: type[errors.FramekeepError]) -> None:
    code = exit_code(kind)
    assert code in MEANINGS
    assert (code == UNEXPECTED) == (kind in SIGNALS)


def test_every_code_of_the_table_has_a_meaning() -> None:
    assert set(EXIT_CODES.values()) <= set(MEANINGS)


def test_an_error_of_python_is_unexpected() -> None:
    assert exit_code(ZeroDivisionError()) == UNEXPECTED


def test_the_documented_table_is_the_one_in_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.*?) \|$", page, re.MULTILINE)
    assert {int(code): meaning for code, meaning, _ in rows} == dict(MEANINGS)
    documented = {name: int(code) for code, _, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert documented == {kind.__name__: code for kind, code in EXIT_CODES.items()}
