"""From a file that was uploaded to sessions: read it, keep the text of its columns and then their types.

The text of each column, before types were found, is the version before the typing: undo leads to it. A
workbook of several sheets waits in temporary storage as it came, so that whatever is chosen later, by
whichever worker, is read from the original.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from framekeep.errors import InvalidInputError, TempStorageNotFoundError
from framekeep.importing import TYPES_FOUND, ImportedFile, ImportedTable, ImportOptions, Inspection
from framekeep.server.answers import (
    Answer,
    ImportedSession,
    ImportedSheets,
    ImportedWorkbook,
    SheetPreview,
)

if TYPE_CHECKING:
    from framekeep.server.access import Owner
    from framekeep.server.progress import Progress
    from framekeep.server.service import Service

_FILE, _FACTS = "file", "facts"  # the two "sheets" of a waiting workbook


class _Waiting(Answer):
    """What is kept of a workbook beside its file."""

    format: str
    notes: list[str]
    options: dict[str, Any]
    sheets: list[SheetPreview]


def ingest(
    service: Service,
    owner: Owner,
    path: Path,
    filename: str,
    options: ImportOptions,
    progress: Progress,
    ttl: float | None,
) -> ImportedSession | ImportedWorkbook:
    """Read a file and keep it; a workbook of several sheets waits for a choice unless one was made.

    Raises:
        UnreadableFileError: of the kind that says what is wrong with it; nothing is stored.
    """
    name = filename or "upload"
    found = service.importer.open(path, name, options, progress.reading)
    progress.storing()
    if isinstance(found, Inspection):
        facts = {
            "format": found.format,
            "notes": list(found.notes),
            "options": options.to_json(),
            "sheets": [asdict(preview) for preview in found.tables],
        }
        return _wait(service, owner, path, name, facts)
    with found:
        return _keep(service, owner, name, found, ttl)[0]


def select(
    service: Service,
    owner: Owner,
    temp_id: str,
    sheets: Sequence[str],
    *,
    merge: bool,
    types: dict[str, str] | None,
    ttl: float | None,
) -> ImportedSheets:
    """Make sessions of some sheets of a waiting workbook, and let go of it.

    Raises:
        TempStorageNotFoundError: it does not wait (any more).
        InvalidInputError: it has no such sheet, or the sheets do not fit together.
    """
    kept = service.manager.backend.get_temp_storage(temp_id)
    waiting, book = _waiting(kept, owner, temp_id), _file(kept, owner, temp_id)
    known = [sheet.name for sheet in waiting.sheets]
    for sheet in sheets:
        if sheet not in known:
            raise InvalidInputError(f"The workbook has no sheet {sheet[:60]!r}. It has: {', '.join(known)}.")
    options = ImportOptions.from_json(waiting.options)
    options = replace(
        options, sheets=tuple(sheets), merge=merge, types=options.types if types is None else types
    )
    with tempfile.NamedTemporaryFile(dir=service.scratch, prefix="workbook-") as file:
        book.tofile(file)
        file.flush()
        found = service.importer.read(Path(file.name), kept["filename"], options)
    with found:
        made = _keep(service, owner, kept["filename"], found, ttl)
    try:
        if not service.manager.delete_temp_storage(temp_id):
            raise TempStorageNotFoundError(
                f"Temporary storage {owner.shown(temp_id)!r} was chosen from, let go of or expired at the "
                "same moment. Nothing was stored."
            )
    except BaseException:
        _drop(service, owner, made)
        raise
    return ImportedSheets(sessions=made)


def workbook(service: Service, owner: Owner, temp_id: str) -> ImportedWorkbook:
    """Return what is seen of a waiting workbook.

    Raises:
        TempStorageNotFoundError: it does not wait (any more).
    """
    kept = service.manager.backend.get_temp_storage(
        temp_id, only=(_FACTS,)
    )  # not the file, which may be large
    waiting = _waiting(kept, owner, temp_id)
    return ImportedWorkbook(
        temp_id=owner.shown(temp_id),
        filename=kept["filename"],
        format=waiting.format,
        sheets=waiting.sheets,
        suggested=next((sheet.name for sheet in waiting.sheets if sheet.suggested), None),
        expires_at=kept["expires_at"],
        notes=waiting.notes,
    )


def _wait(
    service: Service, owner: Owner, path: Path, filename: str, facts: dict[str, Any]
) -> ImportedWorkbook:
    temp_id = owner.stored(service.new_id())
    sheets = {
        _FILE: pd.DataFrame({"byte": np.fromfile(path, dtype=np.uint8)}),
        _FACTS: pd.DataFrame({"json": [json.dumps(facts)]}),
    }
    service.manager.backend.create_temp_storage(temp_id, sheets, filename, service.settings.temp_ttl_seconds)
    return workbook(service, owner, temp_id)


def _waiting(kept: dict[str, Any], owner: Owner, temp_id: str) -> _Waiting:
    """Return what is kept of a workbook; anybody may have put frames of the same names there."""
    try:
        return _Waiting.model_validate(json.loads(kept["sheets"][_FACTS]["json"].iloc[0]))
    except (LookupError, TypeError, ValueError, RecursionError):
        raise _no_workbook(owner, temp_id) from None


def _file(kept: dict[str, Any], owner: Owner, temp_id: str) -> np.ndarray[Any, Any]:
    try:
        found: np.ndarray[Any, Any] = kept["sheets"][_FILE]["byte"].to_numpy()
    except (LookupError, TypeError, ValueError):
        raise _no_workbook(owner, temp_id) from None
    if found.dtype != np.uint8 or found.ndim != 1:
        raise _no_workbook(owner, temp_id)
    return found


def _no_workbook(owner: Owner, temp_id: str) -> TempStorageNotFoundError:
    return TempStorageNotFoundError(
        f"Temporary storage {owner.shown(temp_id)!r} is no uploaded workbook. Its frames are at "
        "/api/v1/temporary."
    )


def _keep(
    service: Service,
    owner: Owner,
    filename: str,
    found: ImportedFile,
    ttl: float | None,
) -> list[ImportedSession]:
    """Make a session of each table: all of them, or none."""
    made: list[ImportedSession] = []
    try:
        for table in found.tables:
            made.append(_keep_table(service, owner, filename, found, table, ttl))  # noqa: PERF401 - see below
    except BaseException:  # what was made before it failed must go, so the list cannot be a comprehension
        _drop(service, owner, made)
        raise
    return made


def _drop(service: Service, owner: Owner, made: Sequence[ImportedSession]) -> None:
    for session in made:
        service.manager.delete_session(owner.stored(session.session_id))


def _keep_table(
    service: Service,
    owner: Owner,
    filename: str,
    found: ImportedFile,
    table: ImportedTable,
    ttl: float | None,
) -> ImportedSession:
    manager = service.manager
    session_id = owner.stored(service.new_id())
    seconds = service.settings.redis_session_ttl_seconds if ttl is None else ttl
    version: int | None = None
    with table.lent(text=True) as first:
        manager.backend.create_session(session_id, first, filename, seconds)
    try:
        if table.has_text:
            with table.lent() as typed:
                version = manager.commit_dataframe(session_id, typed, TYPES_FOUND)
        facts = {"format": found.format, "sheet": table.name, **found.metadata}
        manager.update_metadata(session_id, {"import": facts})
    except BaseException:
        manager.delete_session(session_id)
        raise
    return ImportedSession(
        session_id=owner.shown(session_id),
        filename=filename,
        format=found.format,
        encoding=found.encoding,
        delimiter=found.delimiter,
        compression=found.compression,
        sheet=table.name,
        rows=table.rows,
        columns=[asdict(column) for column in table.columns],  # type: ignore[misc]
        notes=[*found.notes, *table.notes],
        text_version=version,
        file_metadata=dict(found.metadata),
    )
