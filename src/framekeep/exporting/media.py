"""The formats tables are written in: their names, media types and suffixes. Decides nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from framekeep.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        name: what ``export`` and ``?format=`` call it.
        media_type: what HTTP calls it, with its parameters.
        suffixes: what file names end in; the first is the one files are given.
        title: what people call it.
    """

    name: str
    media_type: str
    suffixes: tuple[str, ...]
    title: str

    @property
    def bare_type(self) -> str:
        """The media type without parameters, as it stands in ``Accept``."""
        return self.media_type.partition(";")[0]


FORMATS: Final[dict[str, Format]] = {
    each.name: each
    for each in (
        Format("json", "application/json", (".json",), "JSON"),
        Format("jsonl", "application/x-ndjson", (".jsonl", ".ndjson"), "JSON lines"),
        Format("csv", "text/csv; charset=utf-8", (".csv",), "CSV"),
        Format("tsv", "text/tab-separated-values; charset=utf-8", (".tsv", ".tab"), "TSV"),
        Format("arrow", "application/vnd.apache.arrow.stream", (".arrows",), "Arrow IPC stream"),
        Format(
            "feather", "application/vnd.apache.arrow.file", (".arrow", ".feather", ".ipc"), "Arrow IPC file"
        ),
        Format("parquet", "application/vnd.apache.parquet", (".parquet", ".pq"), "Parquet"),
        Format(
            "xlsx",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            (".xlsx",),
            "Excel",
        ),
    )
}


def format_named(name: str) -> Format:
    """Return the format called ``name``.

    Raises:
        InvalidInputError: there is none; names those there are.
    """
    found = FORMATS.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        raise InvalidInputError(
            f"There is no format {str(name)[:40]!r} to write a table in: use {_listed(FORMATS)}."
        )
    return found


def format_of(filename: str | PurePath) -> Format:
    """Return the format that the suffix of a file name stands for.

    Raises:
        InvalidInputError: none is; names those there are.
    """
    suffix = PurePath(filename).suffix.lower()
    for each in FORMATS.values():
        if suffix in each.suffixes:
            return each
    what = f"the format {suffix}" if suffix else "a name without suffix"
    raise InvalidInputError(
        f"{PurePath(filename).name}: {what} is not supported. Writable are "
        f"{_listed(each.suffixes[0] for each in FORMATS.values())}."
    )


def format_accepted(media_type: str) -> Format | None:
    """Return the format of a media type, as ``Accept`` and ``Content-Type`` give it; None if it has none."""
    bare = media_type.partition(";")[0].strip().lower()
    return next((each for each in FORMATS.values() if each.bare_type == bare), None)


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}"
