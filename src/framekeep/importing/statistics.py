"""Reads files of statistics programs: SPSS (.sav, .zsav), Stata (.dta) and SAS (.sas7bdat, .xpt).

They say more than their values: what variables and values mean, and which values stand for "no answer". All
that becomes metadata. A cell with such a user-missing code has no value in the table; the code itself is in
the table of text that goes along then. Cells are read by pyreadstat (ReadStat).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from framekeep.errors import (
    DamagedFileError,
    EmptyFileError,
    FileTooLargeError,
    UnknownColumnError,
    UnknownEncodingError,
    UnknownFormatError,
)
from framekeep.importing.model import (
    PREVIEW_ROWS,
    ColumnReport,
    ImportOptions,
    Limits,
    Parsed,
    Preview,
    Progress,
    Table,
)
from framekeep.importing.spool import Spool, Stored
from framekeep.importing.statistics_columns import Column
from framekeep.importing.statistics_times import clock

_READERS = {"sav": "read_sav", "dta": "read_dta", "sas7bdat": "read_sas7bdat", "xpt": "read_xport"}
_CELLS_AT_ONCE = 8_000_000  # some 300 MB of Python objects; each further piece reads the file from its start
_LISTED = 10


def read_statistics(
    path: Path, options: ImportOptions, limits: Limits, progress: Progress, spool: Spool
) -> Parsed:
    """Read the file as one table.

    Returns:
        ``metadata`` has, as far as the file has: ``label`` and ``notes`` of the file; and by column
        ``labels``, ``value_labels`` (value as text -> label), ``user_missing`` (ranges with ``lowest`` and
        ``highest``), ``user_missing_cells`` (code -> how many cells), ``formats``, ``measures``.

    Raises:
        UnreadableFileError: as its subclasses say.
    """
    file = _File(path, options, limits)
    file.read(progress)
    typed: list[Stored] = []
    reports: list[ColumnReport] = []
    for position, column in enumerate(file.columns):
        progress(0.8 + 0.2 * position / len(file.columns), f"Finding the type of {column.name!r}")
        values, kind, reason = column.settle(options.types.get(column.name))
        overridden = column.name in options.types
        reports.append(ColumnReport(column.name, kind, reason, values.null_count, overridden))
        typed.append(spool.keep_column(column.name, values))
    codes = {column.name: column.codes() for column in file.columns}
    text = None
    if any(codes.values()) or options.types:
        text = Stored.side_by_side([spool.keep_column(c.name, c.text()) for c in file.columns])
    table = Table("", tuple(reports), Stored.side_by_side(typed), text, _notes(codes))
    metadata = file.metadata()
    cells = {name: dict(counts) for name, counts in codes.items() if counts}
    if cells:
        metadata["user_missing_cells"] = cells
    return Parsed(format=options.format or "sav", tables=(table,), encoding=file.encoding, metadata=metadata)


def preview_statistics(
    path: Path, options: ImportOptions, limits: Limits, progress: Progress
) -> tuple[Preview, ...]:
    """Return what is seen of the table, without reading more of it than its first rows.

    Raises:
        UnreadableFileError: as its subclasses say.
    """
    file = _File(path, options, limits)
    file.read(progress, PREVIEW_ROWS)
    first = tuple(zip(*(column.text().to_pylist() for column in file.columns), strict=True))
    names = tuple(column.name for column in file.columns)
    return (Preview("", file.rows, len(names), header=names, first=first, suggested=True),)


class _File:
    """A file while it is read."""

    def __init__(self, path: Path, options: ImportOptions, limits: Limits) -> None:
        """Read what the file says of itself; raises what it can be refused for by then."""
        try:
            import pyreadstat  # noqa: F401 -- whether it is there
        except ImportError as error:
            raise UnknownFormatError(
                "Files of statistics programs are read with pyreadstat, which is not installed here: "
                "pip install 'framekeep[statistics]'."
            ) from error
        self._path = path
        self._limits = limits
        self._format = options.format or "sav"
        self._encoding = options.encoding
        _, self._about = self._call(metadataonly=True)
        names = list(self._about.column_names)
        self.rows: int | None = self._about.number_rows
        self.encoding: str | None = self._about.file_encoding
        if not names:
            raise EmptyFileError("The file has no variables.")
        if None in names:  # bytes that are no text in the file's encoding
            raise DamagedFileError("A variable has a name that cannot be read. Save the file anew.")
        if len(set(names)) < len(names):
            raise DamagedFileError("The file has two variables of the same name.")
        unknown = [name for name in options.types if name not in names]
        if unknown:
            raise UnknownColumnError(
                f"A type is asked for the column {unknown[0]!r}, but there is none of this name. "
                f"There are {', '.join(map(repr, names[:_LISTED]))}."
            )
        self._check(self.rows, len(names))
        self.columns = tuple(self._column(name) for name in names)

    def read(self, progress: Progress, most: int | None = None) -> None:
        """Fill the columns, with at most ``most`` rows."""
        whole = max(1, _CELLS_AT_ONCE // len(self.columns))
        done = 0
        while most is None or done < most:
            count = whole if most is None else min(whole, most - done)
            cells, _ = self._call(row_offset=done, row_limit=count)
            for column in self.columns:
                is_text = self._about.readstat_variable_types.get(column.name) == "string"
                column.add(cells[column.name], is_text)
            got = len(cells[self.columns[0].name])
            done += got
            self._check(done, len(self.columns))
            if got < count:
                return
            progress(0.8 * done / max(done, self.rows or done), "Reading the values")

    def metadata(self) -> dict[str, Any]:
        """Return what there is beside the values, as JSON."""
        about = self._about
        found: dict[str, Any] = {
            "label": about.file_label,
            "notes": list(about.notes or ()),
            "labels": {name: label for name, label in about.column_names_to_labels.items() if label},
            "value_labels": {
                name: {_code(value): label for value, label in labels.items()}
                for name, labels in about.variable_value_labels.items()
            },
            "user_missing": {name: _ranges(ranges) for name, ranges in about.missing_ranges.items()},
            "formats": {name: form for name, form in about.original_variable_types.items() if form},
            "measures": {
                name: measure
                for name, measure in about.variable_measure.items()
                if measure and measure != "unknown"
            },
        }
        return {name: value for name, value in found.items() if value}

    def _column(self, name: str) -> Column:
        form = self._about.original_variable_types.get(name) or ""
        ranges = [(item["lo"], item["hi"]) for item in self._about.missing_ranges.get(name, ())]
        return Column(name, form, clock(self._format, form), ranges)

    def _check(self, rows: int | None, columns: int) -> None:
        limits = self._limits
        known = rows or 0
        if known > limits.rows or columns > limits.columns or known * columns > limits.cells:
            said = f"{columns:,} columns" if rows is None else f"{rows:,} rows and {columns:,} columns"
            raise FileTooLargeError(
                f"The file has {said}; at most {limits.rows:,} rows, "
                f"{limits.columns:,} columns and {limits.cells:,} cells are read."
            )

    def _call(self, **how: Any) -> tuple[Mapping[str, Sequence[Any]], Any]:
        import pyreadstat

        if self._format != "xpt":
            how["user_missing"] = True
        with _reading(self._encoding):
            return getattr(pyreadstat, _READERS[self._format])(  # type: ignore[no-any-return]
                str(self._path),
                encoding=self._encoding,
                disable_datetime_conversion=True,
                output_format="dict",
                **how,
            )


@contextmanager
def _reading(encoding: str | None) -> Iterator[None]:
    """Turn what pyreadstat raises into the errors of this package."""
    import pyreadstat

    try:
        yield
    except (
        pyreadstat.ReadstatError,
        pyreadstat.PyreadstatError,
        OSError,
        ValueError,
        OverflowError,
    ) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:160]
        if "encoding" in said or "convert string" in said:
            named = f"is not {encoding}" if encoding else "is in another encoding than the file says"
            raise UnknownEncodingError(
                f"The file's text {named}. Say which it is: latin-1, cp1252 …"
            ) from error
        raise DamagedFileError(
            f"The file is cut short or damaged ({said}). Send it again, or save it anew."
        ) from error


def _notes(codes: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    notes = [
        f"{name!r}: no value where a code for a missing answer was ({', '.join(list(counts)[:_LISTED])}), "
        f"in {sum(counts.values()):,} {'cell' if sum(counts.values()) == 1 else 'cells'}."
        for name, counts in codes.items()
        if counts
    ]
    more = len(notes) - _LISTED
    return tuple(notes[:_LISTED]) + ((f"So it is in {more:,} other columns.",) if more > 0 else ())


def _ranges(ranges: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"lowest": _bound(item["lo"]), "highest": _bound(item["hi"])} for item in ranges]


def _bound(value: Any) -> Any:
    """Return a bound as JSON: None where a range has none."""
    if isinstance(value, str):
        return value
    return None if not math.isfinite(value) or abs(value) > 1e308 else value


def _code(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
