"""Temporary storage: the sheets of an uploaded workbook while the user picks which to import.

Creating one over an existing id replaces it in one step (an upload that is repeated). Reading does not move
the expiry: what nobody picked goes away on time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from framekeep.engines.base import Change, Engine
from framekeep.errors import (
    BlobMissing,
    Conflict,
    ConflictError,
    InvalidInputError,
    SessionDamagedError,
    StorageUnavailableError,
    TempStorageNotFoundError,
)
from framekeep.names import Digest, Revision, Space, checked_id, new_revision, space
from framekeep.sessions.arguments import checked_text, checked_ttl
from framekeep.sessions.head import Sheets
from framekeep.sessions.source import Source

if TYPE_CHECKING:
    from framekeep.frames import FrameCodec

_ATTEMPTS = 20


class TemporaryStorage:
    """Temporary storages on one engine. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        codec: FrameCodec,
        *,
        clock: Callable[[], float] = time.time,
        revisions: Callable[[], Revision] = new_revision,
    ) -> None:
        self._engine = engine
        self._codec = codec
        self._clock = clock
        self._revisions = revisions

    def create(self, temp_id: str, sheets: Mapping[str, Any], filename: str, ttl: float) -> None:
        """Keep sheets for ``ttl`` seconds, replacing what the id held.

        Raises:
            InvalidIdError, InvalidInputError: an argument is wrong.
            NotADataFrameError, UnsupportedTypeError, DataFrameTooLargeError: of one sheet; nothing is kept.
            ConflictError: the id was replaced by others each time.
        """
        name = _space(temp_id)
        ttl, filename = checked_ttl(ttl), checked_text(filename, "file name")
        if not isinstance(sheets, Mapping):
            raise InvalidInputError(
                f"Sheets must be a mapping of name to frame, not {type(sheets).__name__}."
            )
        titles = [checked_text(title, "name of a sheet") for title in sheets]
        for _ in range(_ATTEMPTS):
            head = None
            with suppress(StorageUnavailableError):  # then the commit says whether it can be made
                head = self._engine.load(name)
            named, blobs = self._encode(name, dict(zip(titles, sheets.values(), strict=True)))
            body = Sheets(filename, datetime.fromtimestamp(self._clock(), UTC), named[0]).encode()
            change = Change(
                expected=head.revision if head else None,
                revision=self._revisions(),
                body=body,
                blobs=blobs,
                keep=named[1],
                ttl=ttl,
            )
            try:
                self._engine.commit(name, change)
            except (Conflict, BlobMissing):
                continue
            return
        raise ConflictError(f"Temporary storage {temp_id!r} is being replaced by others. Try again.")

    def _encode(
        self, name: Space, sheets: Mapping[str, object]
    ) -> tuple[tuple[tuple[tuple[str, Digest], ...], frozenset[Digest]], dict[Digest, bytes]]:
        """Return (name and manifest of each sheet, every digest), and the blobs still to be written."""
        named: list[tuple[str, Digest]] = []
        digests: set[Digest] = set()
        pending: dict[Digest, bytes] = {}
        for title, frame in sheets.items():
            if pending:  # one sheet in memory at a time
                self._engine.stage(name, pending)
            # What an earlier sheet brought is there already.
            encoded = self._codec.encode(
                frame, present=frozenset(digests), stage=lambda batch: self._engine.stage(name, batch)
            )
            named.append((title, encoded.manifest.digest))
            digests |= encoded.manifest.digests
            pending = dict(encoded.blobs)
        return (tuple(named), frozenset(digests)), pending

    def get(self, temp_id: str, only: Collection[str] | None = None) -> dict[str, Any]:
        """Return ``temp_id``, ``filename``, ``sheets`` (name -> frame), ``created_at``, ``expires_at``.

        Args:
            temp_id: the temporary storage.
            only: names of the sheets that are wanted, as far as there are such; None for all.

        Raises:
            TempStorageNotFoundError: it is unknown, deleted or expired.
            SessionDamagedError: a stored part is missing or damaged.
        """
        name = _space(temp_id)
        source = Source(self._engine, self._codec, name)
        seen: Revision | None = None
        while True:
            head = self._engine.load(name)
            if head is None:
                raise TempStorageNotFoundError(
                    f"Temporary storage {temp_id!r} is unknown, deleted or expired. Upload the file again."
                )
            try:
                record = Sheets.decode(head.body)
                sheets = {
                    title: self._codec.decode(source.chunks, source.manifest(digest))
                    for title, digest in record.sheets
                    if only is None or title in only
                }
            except BlobMissing as error:
                if head.revision == seen:  # not a race with one that replaced it
                    raise SessionDamagedError(
                        f"Temporary storage {temp_id!r}: {len(error.digests)} stored part(s) are missing.",
                        session_id=temp_id,
                        where="a chunk",
                    ) from error
                seen = head.revision
                continue
            except SessionDamagedError as error:
                raise SessionDamagedError(
                    f"Temporary storage {temp_id!r}: {error}", session_id=temp_id, where=error.where
                ) from error
            left = timedelta(seconds=head.ttl or 0.0)
            return {
                "temp_id": temp_id,
                "filename": record.filename,
                "sheets": sheets,
                "created_at": record.created_at,
                "expires_at": datetime.fromtimestamp(self._clock(), UTC) + left,
            }


def _space(temp_id: str) -> Space:
    return space("temp", checked_id(temp_id, what="temporary storage id"))
