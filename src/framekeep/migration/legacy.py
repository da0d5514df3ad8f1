"""What stands in a directory of pickle files beside the pickles: meta.json, read with tolerance.

Owns which keys are understood (docs/migrate.md has the table). What is not understood becomes metadata, so
that nothing is lost. No pickle is opened here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import blake3

from framekeep.errors import InvalidInputError
from framekeep.names import Revision, digest_of
from framekeep.sessions.arguments import RESERVED, checked_metadata, checked_size, checked_ttl
from framekeep.sessions.verbs import stamped

META_BYTES = 64 << 20
"""A larger meta.json is not read."""

_READING = b"framekeep pickles 2"  # goes up when the same files are read in another way

_FILENAME = ("filename", "file_name", "original_filename")
_CREATED = ("created_at", "created", "timestamp", "date", "time", "at")
_SUMMARY = ("summary", "action_summary", "action", "description", "message")
_NUMBER = ("id", "version_id", "version", "number")
_TTL = ("ttl", "ttl_seconds", "session_ttl")
_AUDIT = ("audit", "audit_log")
_MARKS = ("intentional_missing", "intentionally_missing")
_TEXT = (*_SUMMARY, "entry", "text", "event")
_VERSION = re.compile(r"(\d{1,10})\.pkl")
_LAST = (1 << 31) - 1
_MILLISECONDS = 1e11  # a number of seconds that large is one of milliseconds


@dataclass(frozen=True, slots=True)
class LegacyVersion:
    """A version: the state before its action."""

    id: int
    summary: str
    created_at: datetime
    path: Path


@dataclass(frozen=True, slots=True)
class Legacy:
    """One session, but for its frames.

    Attributes:
        current: the file of the current frame.
        versions: oldest first.
        next_id: the id that the next version gets.
        filename: where the data came from.
        created_at: aware, UTC.
        ttl: seconds from an access to the expiry.
        expires_at: when the session expires; None if nothing says so.
        log: audit lines, oldest first.
        marks: cells that are empty on purpose, by the column's label as text.
        metadata: everything else.
    """

    current: Path
    versions: tuple[LegacyVersion, ...]
    next_id: int
    filename: str
    created_at: datetime
    ttl: float
    expires_at: datetime | None
    log: tuple[bytes, ...]
    marks: Mapping[str, Any]
    metadata: Mapping[str, Any]


def session_directories(root: Path) -> Iterator[Path]:
    """Yield the directories of sessions, below ``root/sessions`` or ``root`` itself.

    Raises:
        InvalidInputError: there is no such directory, or it cannot be read.
    """
    inner = root / "sessions"
    try:
        for path in sorted((inner if inner.is_dir() else root).iterdir()):
            if path.is_dir() and _has_any(path, "current.pkl", "meta.json", "versions"):
                yield path
    except OSError as error:
        raise InvalidInputError(f"The directory {root} cannot be read: {error.strerror}.") from error


def _has_any(directory: Path, *names: str) -> bool:
    try:
        return any((directory / name).exists() for name in names)
    except PermissionError:
        return True  # it is somebody's session, and reading it will say so


def fingerprint(directory: Path) -> Revision:
    """Return a name for what the files of a session say now: the revision of its copy.

    Raises:
        InvalidInputError: a file is not what it should be.
        OSError: a file cannot be read, or went while it was.
    """
    hashed = [_READING, directory.name.encode("utf-8", "surrogateescape")]
    for path in (directory / "meta.json", directory / "current.pkl", *_version_files(directory).values()):
        if not path.exists():
            continue
        hasher = blake3.blake3()
        with checked_file(path).open("rb") as file:
            while piece := file.read(4 << 20):
                hasher.update(piece)
        hashed += [path.name.encode("utf-8", "surrogateescape"), hasher.digest()]
    return Revision(digest_of(b"\0".join(hashed)))


def read(directory: Path, default_ttl: float) -> Legacy:
    """Return what is known of a session.

    Raises:
        InvalidInputError: the current frame is missing, a version has no number, or meta.json is not a JSON
            object.
        InvalidMetadataError: there is more metadata than a session may have.
        OSError: a file cannot be read, or went while it was.
    """
    current = directory / "current.pkl"
    if not current.exists():
        raise InvalidInputError("There is no current.pkl, so there is no frame to migrate.")
    meta = _meta(directory / "meta.json")
    changed = datetime.fromtimestamp(int(checked_file(current).stat().st_mtime), UTC)
    created_at = _instant(_take(meta, _CREATED[:2])) or changed
    described = _described(meta.pop("versions", None))
    versions = tuple(
        LegacyVersion(
            id,
            _text(_first(described.get(id, {}), _SUMMARY)) or f"Version {id}",
            _instant(_first(described.get(id, {}), _CREATED)) or created_at,
            path,
        )
        for id, path in _version_files(directory).items()
    )
    following = _take(meta, ("next", "next_id", "next_version"))
    least = versions[-1].id + 1 if versions else 1
    next_id = max(following, least) if type(following) is int and following <= _LAST else least
    filename = _text(_take(meta, _FILENAME)) or f"{directory.name}.pkl"
    ttl = _ttl(_take(meta, _TTL), default_ttl)
    expires_at = _instant(meta.pop("expires_at", None))
    # Each session has a log that says where it came from; one that depends on nothing but the files.
    log = tuple(_audit(_take(meta, _AUDIT), created_at)) or (
        stamped(created_at, f"Session brought from {filename!r}, without an audit log."),
    )
    marks, left = _marks(_take(meta, _MARKS))
    own = meta.pop("metadata", None)
    metadata: dict[str, Any] = {key: value for key, value in meta.items() if key not in RESERVED}
    if isinstance(own, dict):
        metadata |= {key: value for key, value in own.items() if key not in RESERVED}
    elif own is not None:
        metadata["metadata"] = own
    if left is not None:
        metadata["intentional_missing"] = left
    metadata = checked_metadata(metadata)
    checked_size(metadata)
    return Legacy(current, versions, next_id, filename, created_at, ttl, expires_at, log, marks, metadata)


def checked_file(path: Path) -> Path:
    """Return ``path`` if it is a regular file: a pipe would keep its reader waiting for ever.

    Raises:
        InvalidInputError: it is something else.
    """
    if not path.is_file():
        raise InvalidInputError(f"{path.name} is not a file.")
    return path


def _version_files(directory: Path) -> dict[int, Path]:
    """Return the pickles of versions by their numbers.

    Raises:
        InvalidInputError: one has no number that a version can have: undo would lead past it unawares.
    """
    found: dict[int, Path] = {}
    versions = directory / "versions"
    if versions.is_dir():
        for path in sorted(versions.iterdir()):
            if path.suffix != ".pkl":
                continue
            name = _VERSION.fullmatch(path.name)
            number = int(name[1]) if name else 0
            if not 0 < number <= _LAST or number in found:
                raise InvalidInputError(
                    f"versions/{path.name} has no number of its own from 1 to {_LAST}, so its place "
                    "among the versions is not known. Rename it, or move it away."
                )
            found[number] = path
    return dict(sorted(found.items()))


def _meta(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    if checked_file(path).stat().st_size > META_BYTES:
        raise InvalidInputError(f"meta.json has more than {META_BYTES >> 20} MiB.")
    try:
        # NaN and Infinity are no JSON, and 1e999 would be Infinity: they are kept as the words they are.
        found = json.loads(path.read_bytes(), parse_constant=str, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"meta.json is not JSON ({type(error).__name__}).") from error
    if not isinstance(found, dict):
        raise InvalidInputError("meta.json is not a JSON object.")
    return found


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _take(meta: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """Take the first of ``keys`` that is there; the others stay, to become metadata."""
    for key in keys:
        if meta.get(key) is not None:
            return meta.pop(key)
    return None


def _first(record: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _instant(value: object) -> datetime | None:
    """Return an instant from ISO 8601 (no zone is UTC) or from seconds since 1970; None if it is none."""
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value.strip())
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _ttl(value: object, default: float) -> float:
    try:
        return checked_ttl(value)
    except InvalidInputError:
        return default


def _described(versions: object) -> dict[int, Mapping[str, Any]]:
    """Return what is said of each version: a list of objects with an id, or an object by id."""
    found: dict[int, Mapping[str, Any]] = {}
    if isinstance(versions, dict):
        rows: list[tuple[Any, Any]] = list(versions.items())
    elif isinstance(versions, list):
        rows = [
            (_first(row, _NUMBER) if isinstance(row, dict) else i, row) for i, row in enumerate(versions, 1)
        ]
    else:
        rows = []
    for id, row in rows:
        try:
            found[int(id)] = row if isinstance(row, dict) else {"summary": row}
        except (TypeError, ValueError):
            continue
    return found


def _audit(entries: object, created_at: datetime) -> Iterator[bytes]:
    """Yield audit lines: texts as they are, objects with their time and their text."""
    for entry in entries if isinstance(entries, list) else [] if entries is None else [entries]:
        if isinstance(entry, dict) and (text := _text(_first(entry, _TEXT))):
            yield stamped(_instant(_first(entry, _CREATED)) or created_at, text)
        else:
            yield _text(entry).encode("utf-8", "surrogatepass")


def _marks(given: object) -> tuple[dict[str, Any], object]:
    """Return marks by column, and what is no marks; rows are checked against the frame later."""
    if isinstance(given, list) and all(isinstance(row, dict) and "column" in row for row in given):
        columns: dict[str, list[Any]] = {}
        for row in given:
            rows = row.get("rows", [row["row"]] if "row" in row else [])
            columns.setdefault(str(row["column"]), []).append({"rows": rows, "reason": row.get("reason")})
        return dict(columns), None
    if isinstance(given, dict):
        return {
            column: [rows] if isinstance(rows, dict) and "rows" in rows else rows
            for column, rows in given.items()
        }, None
    return {}, given
