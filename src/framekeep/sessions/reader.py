"""What can be read of sessions, without changing more than their expiry.

Owns the answers' shapes. How a head is read is in ``heads``; which part of a frame is decoded, in ``frames``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from framekeep.engines.base import Engine
from framekeep.errors import FramekeepError, SessionDamagedError
from framekeep.names import Revision, checked_id, space
from framekeep.sessions import verbs
from framekeep.sessions.arguments import checked_count
from framekeep.sessions.check import check
from framekeep.sessions.heads import Heads, Loaded, Told
from framekeep.sessions.source import Source, not_found
from framekeep.sessions.views import Views, chosen

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from framekeep.exporting import Export, ExportOptions
    from framekeep.frames import Damage, FrameCodec, FrameDiff, Manifest
    from framekeep.marks import Marks

T = TypeVar("T")


class SessionReader:
    """The reading half of ``SessionBackend``. Thread-safe.

    Args:
        engine: where the bytes are.
        codec: how frames become bytes.
        heads: reads and moves the sessions' heads.
        clock: the time in seconds since 1970 (UTC).
    """

    backend_type: ClassVar[str] = "inmemory"

    def __init__(self, engine: Engine, codec: FrameCodec, heads: Heads, clock: Callable[[], float]) -> None:
        self.engine = engine
        self.codec = codec
        self._heads = heads
        self._clock = clock
        self._views = Views(heads, codec)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def session_exists(self, session_id: str) -> bool:
        """Say whether a session is there; does not move its expiry."""
        return self.engine.load(space("session", checked_id(session_id))) is not None

    def list_sessions(self, *, prefix: str = "") -> list[str]:
        """Return the ids of all live sessions that start with ``prefix``, sorted."""
        return sorted(info.space.removeprefix("session:") for info in self.engine.spaces(f"session:{prefix}"))

    def get_active_sessions_count(self, *, prefix: str = "") -> int:
        """Return the number of live sessions whose id starts with ``prefix``."""
        return self.engine.count(f"session:{prefix}")

    def revision(self, session_id: str) -> Revision:
        """Return the name of the data's state: it changes with frame, versions and marks only."""
        return self._heads.access(session_id).session.lineage

    def get_metadata(
        self, session_id: str, *, touch: bool = True, on_revision: Told | None = None
    ) -> dict[str, Any]:
        """Return what is known of the session, without loading its frame.

        With ``touch`` false it is only looked at, as a listing does: the expiry stays where it is.
        ``on_revision`` is told which state of the data it is that is described.

        Keys: ``session_id``, ``filename``, ``created_at``, ``last_accessed`` (the access before this one),
        ``expires_at`` (instants are aware, UTC), ``shape``, ``columns`` (labels), ``dtypes`` (label -> name;
        a list parallel to ``columns`` when a label repeats), ``bytes``, ``current_version`` (what undo would
        step back to; 0 for nothing), and the caller's own keys.
        """

        def view(loaded: Loaded, source: Source) -> tuple[Loaded, Manifest]:
            return loaded, source.manifest(loaded.session.timeline.current.frame)

        # When the last access was is told by what is left of the expiry: nothing to guess.
        loaded, manifest = self._heads.read(session_id, view, touch=touch, look=True)
        session, now = loaded.session, self._now()
        if on_revision is not None:
            on_revision(session.lineage)
        labels = manifest.columns.tolist()
        dtypes = dict(zip(labels, manifest.dtypes, strict=True))
        return {
            **deepcopy(session.metadata),
            "session_id": session_id,
            "filename": session.filename,
            "created_at": session.created_at,
            # An engine may count expiries in milliseconds: not before its beginning.
            "last_accessed": max(session.created_at, now - timedelta(seconds=session.ttl - loaded.left)),
            "expires_at": now + timedelta(seconds=session.ttl if touch else loaded.left),
            "shape": (manifest.rows, len(labels)),
            "columns": labels,
            "dtypes": dtypes if len(dtypes) == len(labels) else list(manifest.dtypes),
            "bytes": manifest.nbytes,
            "current_version": session.timeline.cursor_id,
        }

    def get_history(self, session_id: str) -> list[dict[str, Any]]:
        """Return the versions, oldest first.

        Keys: ``version_id``, ``action_summary`` (of the action that followed), ``created_at``, ``rows``,
        ``columns``, ``bytes`` (of the state before the action) and ``undone`` (redo would do it again).
        """
        line = self._heads.access(session_id).session.timeline
        return [{**verbs.described(version), "undone": undone} for version, undone in line.versions()]

    def get_intentional_missing(self, session_id: str) -> dict[Any, list[int]]:
        """Return column label -> sorted row positions of the cells that are empty on purpose."""

        return self._marks(session_id, lambda marks, columns: marks.labelled(columns))

    def get_missing_reasons(self, session_id: str) -> dict[Any, dict[str, list[int]]]:
        """Return column label -> reason -> sorted rows; rows marked without a reason are left out."""
        return self._marks(session_id, lambda marks, columns: marks.reasons(columns))

    def _marks(self, session_id: str, view: Callable[[Marks, pd.Index], dict[Any, T]]) -> dict[Any, T]:
        def marks(loaded: Loaded, source: Source) -> dict[Any, T]:
            state = loaded.session.timeline.current
            return (
                view(source.marks(state.marks), source.manifest(state.frame).columns) if state.marks else {}
            )

        return self._heads.read(session_id, marks)

    def get_audit_log(self, session_id: str) -> list[str]:
        """Return the audit log, oldest first: ``[2026-11-25 08:44:32 UTC] text``."""
        self._heads.access(session_id)
        lines = self.engine.log(space("session", session_id))
        if not lines:  # a session has its creation's entry: this one went meanwhile
            raise not_found(session_id)
        try:
            return [verbs.unstamped(line) for line in lines]
        except UnicodeDecodeError as error:
            raise SessionDamagedError(
                f"An entry of the audit log of session {session_id!r} is damaged. All else can be read.",
                session_id=session_id,
                where="log",
            ) from error

    def get_initial_row_count(self, session_id: str) -> int | None:
        """Return how many rows the session was created with."""
        return self._heads.access(session_id).session.initial_rows

    # --- frames ----------------------------------------------------------------------------------

    def get_dataframe(
        self, session_id: str, *, version: int | str = "current", copy: bool = False
    ) -> pd.DataFrame:
        """Return a frame, which the caller may change freely.

        Its memory is shared until pandas first writes to a column; with ``copy`` it is all the caller's own.

        Args:
            session_id: the session.
            version: a version's id gives the state before its action; the session stays where it is.
            copy: whether to copy all of it at once.

        Raises:
            VersionNotFoundError: the version is unknown or was dropped.
        """
        return self._heads.read(
            session_id,
            lambda loaded, source: self.codec.decode(
                source.chunks, source.manifest(chosen(loaded, version)), copy=copy
            ),
        )

    def get_table(self, session_id: str, *, version: int | str = "current") -> pa.Table:
        """Return a frame as a pyarrow table (``version`` as in ``get_dataframe``)."""
        return self._heads.read(
            session_id,
            lambda loaded, source: self.codec.table(source.chunks, source.manifest(chosen(loaded, version))),
        )

    def get_page(
        self,
        session_id: str,
        offset: int,
        limit: int,
        columns: Sequence[Hashable] | None = None,
        *,
        version: int | str = "current",
    ) -> pd.DataFrame:
        """Return rows ``offset`` to ``offset + limit`` of a frame, reading only what holds them.

        Args:
            session_id: the session.
            offset: first row position; at or after the end gives no rows.
            limit: at most this many rows.
            columns: labels to return, in this order; None for all.
            version: as in ``get_dataframe``.

        Raises:
            UnknownColumnError: the frame does not have one of ``columns``.
            VersionNotFoundError: the version is unknown or was dropped.
        """
        start, number = checked_count(offset, "offset"), checked_count(limit, "limit")
        return self._heads.read(
            session_id,
            lambda loaded, source: self.codec.page(
                source.chunks, source.manifest(chosen(loaded, version)), start, number, columns
            ),
        )

    def get_page_json(
        self,
        session_id: str,
        offset: int,
        limit: int,
        columns: Sequence[Hashable] | None = None,
        *,
        version: int | str = "current",
        orient: str = "rows",
    ) -> tuple[Revision, bytes]:
        """Return the revision and rows ``offset`` to ``offset + limit`` as a JSON document.

        Args:
            session_id: the session.
            offset: first row position; at or after the end gives no rows.
            limit: at most this many rows.
            columns: names as text (or labels), in this order; None for all.
            version: as in ``get_dataframe``.
            orient: "rows" gives a list for each row, "records" an object by column name.

        Raises:
            InvalidInputError: unknown orient, or records of which two have one name.
            UnknownColumnError: the frame does not have one of ``columns``.
            VersionNotFoundError: the version is unknown or was dropped.
        """
        return self._views.page_json(session_id, offset, limit, columns, version, orient)

    def glance_page_json(self, session_id: str, offset: int, limit: int) -> tuple[Revision, bytes] | None:
        """Return what ``get_page_json`` would, if that means waiting for nobody; None says nothing.

        For an event loop, that must not wait: the page is one that this process has made before, the store
        is in mapped memory, and the expiry need not be moved.
        """
        return self._views.known_page(session_id, offset, limit)

    def export(
        self,
        session_id: str,
        format: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        columns: Sequence[Hashable] | None = None,
        version: int | str = "current",
        options: ExportOptions | None = None,
    ) -> tuple[Revision, Export]:
        """Return the revision and the pieces of a file that holds the frame.

        Whatever is refused is refused by this call; the iterator only writes, from memory: it holds nothing
        of the store, and later changes of the session do not show in it.

        Args:
            session_id: the session.
            format: a name in ``exporting.FORMATS``: "csv", "parquet", "xlsx" …
            offset, limit, columns, version: as in ``get_page_json``; all rows and columns unless said.
            options: see ``ExportOptions``.

        Raises:
            InvalidInputError: unknown format or option, or more rows or columns than the format has.
            UnsupportedTypeError: the format has no word for a column; names it.
            UnknownColumnError, VersionNotFoundError: as in ``get_page_json``.
        """
        return self._views.export(session_id, format, offset, limit, columns, version, options)

    def profile(
        self,
        session_id: str,
        columns: Sequence[Hashable] | None = None,
        *,
        bins: int = 20,
        top: int = 10,
        version: int | str = "current",
    ) -> tuple[Revision, list[dict[str, Any]]]:
        """Return the revision and a profile of each column, ready for JSON (see ``profiling.profile``).

        Args:
            session_id: the session.
            columns: names as text (or labels), in this order; None for all.
            bins: how many bins a histogram has.
            top: how many of the most frequent values are given.
            version: as in ``get_dataframe``.

        Raises:
            InvalidInputError: ``bins`` or ``top`` out of range.
            UnknownColumnError, VersionNotFoundError: as in ``get_page_json``.
        """
        return self._views.profile(session_id, columns, bins, top, version)

    def diff_versions(
        self, session_id: str, a: int | str, b: int | str = "current", *, samples: int = 10
    ) -> FrameDiff:
        """Compare two states: version ids (the state before the version's action) or ``"current"``.

        Raises:
            VersionNotFoundError: a version is unknown or was dropped.
        """

        return self._heads.read(
            session_id,
            lambda loaded, source: self.codec.diff(
                source.chunks,
                source.manifest(chosen(loaded, a)),
                source.manifest(chosen(loaded, b)),
                samples=samples,
            ),
        )

    def check(self, session_id: str) -> list[Damage]:
        """Verify every stored part of a session against its name; return what is damaged.

        Does not move the expiry. Damage of one state hides nothing of the others.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        return check(self._heads, session_id)

    def health_check(self) -> dict[str, Any]:
        """Probe the storage; never raises.

        Keys: ``status`` (healthy, unhealthy), ``backend_type``, ``backend_class``, ``engine``,
        ``reachable``, ``latency_ms``, ``active_sessions``, ``error``, ``caches`` (of this ``process`` and, if
        there is one, of the ``machine``: hits, misses, bytes …), ``details``.
        """
        health = self.engine.health()
        error, active = health.error, None
        if health.reachable:
            try:
                active = self.get_active_sessions_count()
            except FramekeepError as failure:
                error = error or str(failure)
        details = dict(health.details)
        machine = details.pop("local_cache", None)
        return {
            "status": "healthy" if health.reachable and error is None else "unhealthy",
            "backend_type": self.backend_type,
            "backend_class": type(self).__name__,
            "engine": health.engine,
            "reachable": health.reachable,
            "latency_ms": health.latency_ms,
            "active_sessions": active,
            "error": error,
            "caches": {"process": self.codec.cache.counters(), "machine": machine},
            "details": details,
        }
