"""Which reader reads which format; loaded when a file of that format comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from framekeep.importing.model import (
    COLUMNAR_FORMATS,
    JSON_FORMATS,
    STATISTICS_FORMATS,
    TEXT_FORMATS,
    WORKBOOK_FORMATS,
    Found,
    ImportOptions,
    Limits,
    Parsed,
    Preview,
    Progress,
)
from framekeep.importing.spool import Spool

Read = Callable[[Path, ImportOptions, Limits, Progress, Spool], Parsed]
Look = Callable[[Path, ImportOptions, Limits, Progress], tuple[Preview, ...]]
Count = Callable[[Path, ImportOptions, Limits], int]
Find = Callable[[Path, str, ImportOptions, Limits], Found]


@dataclass(frozen=True, slots=True)
class Reader:
    """A module of this package with two functions, ``read_<name>`` and ``preview_<name>``."""

    module: str
    name: str


_READERS = (
    (TEXT_FORMATS, Reader("text", "text")),
    (JSON_FORMATS, Reader("json_tables", "json")),
    (WORKBOOK_FORMATS, Reader("workbook", "workbook")),
    (COLUMNAR_FORMATS, Reader("columnar", "columnar")),
    (STATISTICS_FORMATS, Reader("statistics", "statistics")),
)

# What the zygote loads beforehand, most wanted first.
PRELOADED = (
    "pyarrow.compute",
    "pandas",  # pyarrow imports it when it makes an array of a list
    "pandas",  # pyarrow imports it when it makes an array of a list
    "pyarrow.csv",
    "framekeep.importing.formats",
    "framekeep.importing.text",
    "framekeep.importing.mapping",
    "python_calamine",
    "framekeep.importing.workbook",
    "pyarrow.parquet",
    "pyarrow.feather",
    "framekeep.importing.columnar",
    "framekeep.importing.json_tables",
    "charset_normalizer",
    "framekeep.importing.statistics",
)


def find(path: Path, filename: str, options: ImportOptions, limits: Limits) -> Found:
    """Say what the file at ``path`` is that the user calls ``filename``.

    Raises:
        UnknownFormatError: it is nothing that is read; the text says what it looks like.
        EmptyFileError, PasswordProtectedError, DamagedFileError: as early as this can be seen.
    """
    look: Find = _function("formats", "find")
    return look(path, filename, options, limits)


def read(path: Path, options: ImportOptions, limits: Limits, progress: Progress, spool: Spool) -> Parsed:
    """Read the file; ``options.format`` says what it is."""
    reader = _reader(options)
    function: Read = _function(reader.module, f"read_{reader.name}")
    return function(path, options, limits, progress, spool)


def preview(path: Path, options: ImportOptions, limits: Limits, progress: Progress) -> tuple[Preview, ...]:
    """Return what is seen of each table in the file; ``options.format`` says what it is."""
    reader = _reader(options)
    function: Look = _function(reader.module, f"preview_{reader.name}")
    return function(path, options, limits, progress)


def count(path: Path, options: ImportOptions, limits: Limits) -> int:
    """Return how many tables with a value the file has, as far as that is seen without reading them."""
    if options.format not in WORKBOOK_FORMATS:
        return 1
    function: Count = _function("workbook", "count_workbook")
    return function(path, options, limits)


def _reader(options: ImportOptions) -> Reader:
    return next(reader for formats, reader in _READERS if options.format in formats)


def _function(module: str, name: str) -> Any:
    return getattr(import_module(f"framekeep.importing.{module}"), name)
