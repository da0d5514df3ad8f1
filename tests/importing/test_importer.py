"""What an importer hands out is checked: a child may say what it likes."""

from __future__ import annotations

import gc
import json
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from framekeep.errors import (
    DamagedFileError,
    EmptyFileError,
    FileTooLargeError,
    ImportLimitError,
    InvalidInputError,
    UnreadableFileError,
)
from framekeep.importing import ImportedFile, Importer, ImportOptions, Limits
from framekeep.importing.model import MIB, ColumnReport, Parsed, Preview, Table, to_json
from framekeep.importing.refusals import said
from framekeep.importing.spool import Place, Stored

from .conftest import LIMITS, Orders, until

FOUND = {"format": "csv", "compression": None, "notes": []}


# --- a file that is read ------------------------------------------------------------------------------


def test_a_file_is_told_by_its_format_and_tables(importer: Importer, orders: Orders) -> None:
    with importer.read(orders("nothing"), "mine.csv") as file:
        (table,) = file.tables
        assert (file.format, file.notes) == ("csv", ("called mine.csv",))
        assert (table.name, table.rows) == ("", 3)
        assert table.columns == (ColumnReport("a", "integer", "told so"),)


def test_a_table_whose_text_says_the_same_has_none(importer: Importer, orders: Orders) -> None:
    with importer.read(orders("nothing"), "n.csv") as file:
        assert not file.tables[0].has_text
        assert file.tables[0].text is None


def test_text_and_types_are_two_frames(importer: Importer, orders: Orders) -> None:
    with importer.read(orders("type"), "n.csv") as file:
        (table,) = file.tables
        assert table.has_text
        assert table.text is not None
        assert table.text["a"].tolist() == ["01", "2", "3"]
        assert table.frame["a"].tolist() == [1, 2, 3]


def test_inspecting_shows_and_reads_nothing(importer: Importer, orders: Orders) -> None:
    found = importer.inspect(orders("crash"), "n.csv")
    assert found.tables[0].first == (("crash",),)
    assert found.suggested == found.tables[0]


def test_opening_reads_what_is_no_workbook(importer: Importer, orders: Orders) -> None:
    opened = importer.open(orders("nothing"), "n.csv")
    assert isinstance(opened, ImportedFile)
    with opened:
        assert opened.tables[0].rows == 3


# --- what cannot be read at all -----------------------------------------------------------------------


def test_a_file_that_is_not_there_is_named(importer: Importer, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"There is no file absent\.csv"):
        importer.read(tmp_path / "absent.csv", "absent.csv")


def test_an_empty_file_is_told_so(importer: Importer, tmp_path: Path) -> None:
    (tmp_path / "e.csv").touch()
    with pytest.raises(EmptyFileError, match=r"e\.csv is empty"):
        importer.read(tmp_path / "e.csv", "e.csv")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_not_waited_for(importer: Importer, tmp_path: Path, make: Any) -> None:
    make(tmp_path / "f.csv")
    with pytest.raises(InvalidInputError, match="no regular file"):
        importer.read(tmp_path / "f.csv", "f.csv")


def test_a_name_need_be_no_unicode(importer: Importer, orders: Orders) -> None:
    path = orders("nothing")
    odd = Path(os.fsdecode(os.fsencode(path.parent) + b"/\xff.csv"))
    path.rename(odd)
    with importer.read(odd, odd.name) as file:
        assert file.notes == ("called ?.csv",)


def test_a_device_is_not_read(importer: Importer) -> None:
    assert stat.S_ISCHR(os.stat("/dev/zero").st_mode)
    with pytest.raises(InvalidInputError, match="no regular file"):
        importer.read(Path("/dev/zero"), "zero")


# --- errors of a reader -------------------------------------------------------------------------------


def test_an_error_keeps_its_class_its_text_and_its_place(importer: Importer, orders: Orders) -> None:
    with pytest.raises(DamagedFileError, match=r"^The file is cut short\.$") as caught:
        importer.read(orders("raise"), "n.csv")
    assert caught.value.where == "line 17"


def test_an_error_calls_the_file_as_its_user_does(importer: Importer, orders: Orders) -> None:
    path = orders("nothing")
    path.write_text(json.dumps({"do": "name path", "path": str(path)}))
    with pytest.raises(DamagedFileError, match=r"^mine\.csv is cut short\.$"):
        importer.read(path, "mine.csv")


def test_a_bug_in_a_reader_shows_its_place_and_no_value(importer: Importer, orders: Orders) -> None:
    with pytest.raises(DamagedFileError, match=r"KeyError in readers\.py:\d+") as caught:
        importer.read(orders("stumble"), "n.csv")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [None, 7, [], {}, {"code": 7}, {"code": "internal"}, {"code": "conflict", "message": "x"},
     {"code": "damaged_file", "message": 7}, {"code": "damaged_file", "message": "x" * 10_000}],
)  # fmt: skip
def test_an_error_that_is_none_is_a_general_one(document: Any) -> None:
    error = said(document, LIMITS)
    assert type(error) is DamagedFileError
    assert len(str(error)) < 400


def test_a_child_cannot_raise_what_is_no_error_of_input() -> None:
    for code in ("storage_full", "unauthenticated", "framekeep", "service"):
        assert type(said({"code": code, "message": "x"}, LIMITS)) is DamagedFileError


def test_every_kind_of_unreadable_file_comes_through() -> None:
    for kind in (UnreadableFileError, *UnreadableFileError.__subclasses__()):
        error = said({"code": kind.code, "message": "m", "where": "line 1"}, LIMITS)
        assert isinstance(error, kind)
        assert (str(error), error.where) == ("m", "line 1")


# --- answers that are none ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["x\n", "[]\n", "7\n", '"x"\n', "null\n", '{"answer": 7}\n', '{"answer": []}\n', "{}\n", "\xff\n",
     '{"progress": 7}\n', '{"progress": [0.5]}\n', '{"progress": ["x", "y"]}\n', '{"error": 7}\n',
     '{"answer": {}}\n', '{"answer": {"previews": 7}}\n', "[" * 100_000 + "\n"],
)  # fmt: skip
def test_nonsense_is_refused(importer: Importer, orders: Orders, text: str) -> None:
    with pytest.raises(DamagedFileError):
        importer.read(orders("say", text=text), "n.csv")


def test_an_answer_without_end_is_refused(importer: Importer, orders: Orders) -> None:
    with pytest.raises((DamagedFileError, ImportLimitError)):
        importer.read(orders("say", text="x" * 1024, times=80 * 1024), "n.csv")


def test_progress_without_end_is_refused(importer: Importer, orders: Orders) -> None:
    with pytest.raises(DamagedFileError):
        importer.read(orders("say", text='{"progress":[0.5,"x"]}\n' * 100, times=4 * 1024), "n.csv")


def answer(**changes: Any) -> dict[str, Any]:
    """Return a good answer for the spool of the deed ``answer``, with some members of its table changed."""
    stored = Stored(3, (Place(0, changes.pop("length", 320), 0),))
    table = to_json(Table("", (ColumnReport("a", "integer", "told so"),), stored))
    parsed = to_json(Parsed("csv", ())) | {"tables": [table | changes]}
    return {"found": FOUND, "parsed": parsed}


@pytest.fixture
def length(importer: Importer, orders: Orders) -> int:
    """How long the segment of the deed ``answer`` is."""
    import io

    sink = io.BytesIO()
    table = pa.table({"a": [1, 2, 3]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table)
    return sink.tell()


def test_a_good_answer_is_taken(importer: Importer, orders: Orders, length: int) -> None:
    with importer.read(orders("answer", answer=answer(length=length)), "n.csv") as file:
        assert file.tables[0].frame["a"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "changes",
    [
        {"typed": {"rows": 4, "columns": [{"offset": 0, "length": 320, "position": 0}]}},
        {"typed": {"rows": 3, "columns": [{"offset": 0, "length": 1 << 40, "position": 0}]}},
        {"typed": {"rows": 3, "columns": [{"offset": 0, "length": 320, "position": 1}]}},
        {"typed": {"rows": 3, "columns": [{"offset": -64, "length": 320, "position": 0}]}},
        {"typed": {"rows": 3, "columns": [{"offset": 1.5, "length": 320, "position": 0}]}},
        {"typed": {"rows": 3, "columns": []}},
        {"typed": {"rows": True, "columns": [{"offset": 0, "length": 320, "position": 0}]}},
        {"typed": None},
        {"columns": []},
        {"columns": [{"name": "b", "type": "integer", "reason": "", "missing": 0, "overridden": False}]},
        {"columns": [{"name": 7, "type": "integer", "reason": "", "missing": 0, "overridden": False}]},
        {"columns": 7},
        {"text": {"rows": 2, "columns": [{"offset": 0, "length": 320, "position": 0}]}},
        {"notes": [7]},
        {"name": None},
    ],
)
def test_a_table_that_is_not_there_is_refused(
    importer: Importer, orders: Orders, changes: dict[str, Any], length: int
) -> None:
    text = json.dumps(answer(length=length, **changes)).replace("320", str(length))
    with pytest.raises(DamagedFileError, match="no table"):
        importer.read(orders("answer", answer=json.loads(text)), "n.csv")


@pytest.mark.parametrize(
    "changes", [{"tables": []}, {"format": "exe"}, {"format": None}, {"metadata": []}, {"notes": "x"}]
)
def test_a_file_that_cannot_be_is_refused(
    importer: Importer, orders: Orders, changes: dict[str, Any], length: int
) -> None:
    document = answer(length=length)
    document["parsed"] |= changes
    with pytest.raises(DamagedFileError, match="no table"):
        importer.read(orders("answer", answer=document), "n.csv")


@pytest.mark.parametrize("how", ["utf-8", "offsets", "negative"])
def test_arrow_data_that_would_be_read_out_of_bounds_is_refused(
    importer: Importer, orders: Orders, how: str
) -> None:
    with pytest.raises(DamagedFileError, match="no table"):
        importer.read(orders("poison", how=how), "n.csv")


@pytest.mark.parametrize("limit", [{"rows": 2}, {"cells": 2}])
def test_a_child_that_forgets_the_limits_is_reminded(
    orders: Orders, tmp_path: Path, limit: dict[str, int]
) -> None:
    with (
        Importer(
            limits=replace(LIMITS, **limit), scratch=tmp_path, readers="framekeep.testing.readers"
        ) as own,
        pytest.raises(FileTooLargeError),
    ):
        own.read(orders("nothing"), "n.csv")


# --- the values that are exchanged --------------------------------------------------------------------


def test_options_go_and_come_as_they_are() -> None:
    options = ImportOptions(
        format="csv", delimiter=";", encoding="latin-1", header=None, skip_rows=2, missing=("NA", "."),
        types={"a": "text"}, typing=False, sheets=("x", "y"), merge=True,
    )  # fmt: skip
    for each in (options, ImportOptions()):
        assert ImportOptions.from_json(json.loads(json.dumps(each.to_json()))) == each


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"format": "exe"}, "no format 'exe'"),
        ({"delimiter": ""}, "one character"),
        ({"delimiter": "ab"}, "one character"),
        ({"delimiter": "\n"}, "line end"),
        ({"delimiter": '"'}, "double quote"),
        ({"header": -1}, "header row"),
        ({"skip_rows": -1}, "below 0"),
        ({"types": {"a": "money"}}, "no type 'money'"),
        ({"sheets": ()}, "at least one sheet"),
        ({"sheets": ("a", "a")}, "twice"),
        ({"missing": ("\udcff",)}, "no Unicode"),
        ({"types": {"\udcff": "text"}}, "no Unicode"),
    ],
)
def test_an_option_that_cannot_be_is_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        ImportOptions(**wrong)


@pytest.mark.parametrize("name", ["memory_bytes", "seconds", "cells", "field_bytes"])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=name):
        Limits(**{name: 0})


def test_what_a_reader_says_goes_and_comes_as_it_is() -> None:
    stored = Stored(2, (Place(0, 64, 0), Place(64, 64, 3)))
    columns = (ColumnReport("a", "text", "why", 1, overridden=True), ColumnReport("b", "date", "so"))
    table = Table("s", columns, stored, Stored(2, stored.columns), ("note",))
    parsed = Parsed("xlsx", (table,), "utf-8", ";", "gzip", {"labels": {"a": "A"}}, ("n",))
    assert Parsed.from_json(json.loads(json.dumps(to_json(parsed)))) == parsed
    preview = Preview("s", None, 2, ("a", "b"), (("x", None),), suggested=True, hidden=True)
    assert Preview.from_json(json.loads(json.dumps(to_json(preview)))) == preview


# --- tables that are lent -----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [3, 1_100_000])
def test_a_table_that_is_lent_is_the_table(importer: Importer, orders: Orders, rows: int) -> None:
    with importer.read(orders("texts", rows=rows), "n.csv") as file:
        (table,) = file.tables
        with table.lent() as typed:
            pd.testing.assert_frame_equal(typed, table.frame)
        with table.lent(text=True) as text:
            pd.testing.assert_frame_equal(text, table.text)


def test_a_table_without_text_is_lent_as_it_is(importer: Importer, orders: Orders) -> None:
    with importer.read(orders("nothing"), "n.csv") as file, file.tables[0].lent(text=True) as frame:
        assert frame["a"].tolist() == [0, 1, 2]


def test_passing_over_a_table_that_is_lent_leaves_little_of_it_in_memory(
    orders: Orders, tmp_path: Path
) -> None:
    with (
        Importer(scratch=tmp_path, readers="framekeep.testing.readers") as importer,
        importer.read(orders("texts", rows=4_000_000), "n.csv") as file,
        file.tables[0].lent(text=True) as text,
    ):
        gc.collect()  # what other tests mapped is let go of now, or not at all
        before = mapped_pages()
        assert text["a"].str.len().sum() > 0  # looks at all of it
        assert int(text.memory_usage(index=False).sum()) > 50 * MIB
        until(lambda: mapped_pages() < before + 16 * MIB)


def lend_and_count(order: Path, scratch: Path) -> None:
    with (
        Importer(scratch=scratch, readers="framekeep.testing.readers") as importer,
        importer.read(order, "n.csv") as file,
    ):
        gc.collect()
        before = set(os.listdir("/proc/self/fd")), set(threading.enumerate())
        for _ in range(3):
            with file.tables[0].lent(text=True) as text:
                assert len(text) == 1_100_000
            del text
        assert (set(os.listdir("/proc/self/fd")), set(threading.enumerate())) == before


def test_no_thread_and_no_descriptor_outlives_a_loan(
    in_new_process: Callable[..., object], orders: Orders, tmp_path: Path
) -> None:
    in_new_process(lend_and_count, orders("texts", rows=1_100_000), tmp_path)


def mapped_pages() -> int:
    """Return how many bytes of mapped files this process has looked at."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile"))
