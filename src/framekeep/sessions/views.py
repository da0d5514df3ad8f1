"""What others are shown of a session's frames: pages as JSON, files, profiles.

What is made is kept in the codec's cache, by the names of what it was made from: so it is never out of date.
How a table is written is in ``exporting``, what a profile says in ``profiling``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import orjson

from framekeep.errors import InvalidInputError
from framekeep.names import Digest, Revision
from framekeep.sessions.arguments import checked_count
from framekeep.sessions.heads import Heads, Loaded
from framekeep.sessions.source import Source

if TYPE_CHECKING:
    import pyarrow as pa

    from framekeep.exporting import Export, ExportOptions, Heading, Window
    from framekeep.frames import FrameCodec, Manifest
    from framekeep.profiling import Profiler

T = TypeVar("T")

_SHARES: Final = 64
"""What takes more than this part of the cache is not kept: a page of a million rows would empty it."""


class _Columns(NamedTuple):
    """Columns that were asked for: where they are, and what is said of them."""

    places: Sequence[int]
    heading: Heading


class Views:
    """Reads frames to show them. Thread-safe.

    Args:
        heads: reads the sessions' heads.
        codec: how bytes become frames.
    """

    def __init__(self, heads: Heads, codec: FrameCodec) -> None:
        self._heads = heads
        self._codec = codec

    def page_json(
        self,
        session_id: str,
        offset: int,
        limit: int,
        columns: Sequence[Hashable] | None,
        version: int | str,
        orient: str,
    ) -> tuple[Revision, bytes]:
        """See ``SessionReader.get_page_json``."""
        from framekeep.exporting import page_json

        start, number = checked_count(offset, "offset"), checked_count(limit, "limit")
        wanted = _listed(columns)

        def view(loaded: Loaded, source: Source) -> tuple[Revision, bytes]:
            digest = chosen(loaded, version)

            def made() -> bytes:
                window = self._window(source, source.manifest(digest), start, number, wanted)
                return page_json(window, number, orient=orient)

            key = ("page", digest, start, number, _key(wanted), orient)
            return loaded.session.lineage, self._remembered(key, made, len)

        return self._heads.read(session_id, view)

    def known_page(self, session_id: str, offset: int, limit: int) -> tuple[Revision, bytes] | None:
        """See ``SessionReader.glance_page_json``."""
        loaded = self._heads.glance(session_id)
        if loaded is None:
            return None
        line = loaded.session.timeline
        page: bytes | None = self._codec.cache.get(("page", line.current.frame, offset, limit, None, "rows"))
        return None if page is None else (loaded.session.lineage, page)

    def export(
        self,
        session_id: str,
        name: str,
        offset: int,
        limit: int | None,
        columns: Sequence[Hashable] | None,
        version: int | str,
        options: ExportOptions | None,
    ) -> tuple[Revision, Export]:
        """See ``SessionReader.export``."""
        import pandas as pd

        from framekeep.exporting import ExportOptions, export, format_named
        from framekeep.frames.tables import table_from

        format, start = format_named(name), checked_count(offset, "offset")
        number = None if limit is None else checked_count(limit, "limit")
        wanted = _listed(columns)
        how = ExportOptions() if options is None else options

        def view(loaded: Loaded, source: Source) -> tuple[Revision, Window]:
            manifest = source.manifest(chosen(loaded, version))
            return loaded.session.lineage, self._window(source, manifest, start, number, wanted)

        revision, window = self._heads.read(session_id, view)

        def table() -> pa.Table:
            # Rows that are only numbered have no column of numbers, wherever the window begins.
            index = pd.RangeIndex(window.rows) if window.numbered else window.index
            return table_from(window.heading.labels, window.arrays, index)

        return revision, export(window, format, how, table)

    def profile(
        self,
        session_id: str,
        columns: Sequence[Hashable] | None,
        bins: int,
        top: int,
        version: int | str,
    ) -> tuple[Revision, list[dict[str, Any]]]:
        """See ``SessionReader.profile``."""
        from framekeep.exporting import json_values
        from framekeep.profiling import Profiler

        profiler = Profiler(json_values, bins=bins, top=top)
        wanted = _listed(columns)

        def view(loaded: Loaded, source: Source) -> tuple[Revision, list[dict[str, Any]]]:
            manifest = source.manifest(chosen(loaded, version))
            places, heading = self._columns(manifest, wanted)
            return loaded.session.lineage, [
                {"name": name, "dtype": dtype, **self._profile(source, manifest, place, profiler, bins, top)}
                for place, name, dtype in zip(places, heading.shown, heading.dtypes, strict=True)
            ]

        return self._heads.read(session_id, view)

    def _profile(
        self, source: Source, manifest: Manifest, place: int, profiler: Profiler, bins: int, top: int
    ) -> dict[str, Any]:
        """Return the profile of a column, by the name of its content: kept as JSON, which nobody changes."""

        def made() -> bytes:
            [array], _ = self._codec.window(source.chunks, manifest, [place], 0, manifest.rows)
            return orjson.dumps(profiler.profile(array))

        key = ("profile", manifest.arrays[place].key, bins, top)
        found: dict[str, Any] = orjson.loads(self._remembered(key, made, len))
        return found

    def _window(
        self,
        source: Source,
        manifest: Manifest,
        offset: int,
        limit: int | None,
        wanted: Sequence[Hashable] | None,
    ) -> Window:
        from framekeep.exporting import Window

        places, heading = self._columns(manifest, wanted)
        start = min(offset, manifest.rows)
        stop = manifest.rows if limit is None else min(offset + limit, manifest.rows)
        arrays, index = self._codec.window(source.chunks, manifest, places, start, stop)
        return Window(heading, arrays, index, offset, manifest.rows)

    def _columns(self, manifest: Manifest, wanted: Sequence[Hashable] | None) -> _Columns:
        from framekeep.exporting import Heading, resolve_columns

        def made() -> _Columns:
            labels = manifest.columns.tolist()
            places = range(len(labels)) if wanted is None else resolve_columns(labels, wanted)
            row_bytes = sum(manifest.arrays[i].nbytes for i in places) / max(1, manifest.rows)
            heading = Heading([labels[i] for i in places], [manifest.dtypes[i] for i in places], row_bytes)
            return _Columns(places, heading)

        key = ("columns", manifest.digest, _key(wanted))
        return self._remembered(key, made, lambda found: 500 * len(found.places))

    def _remembered(self, key: Hashable, make: Callable[[], T], cost: Callable[[T], int]) -> T:
        """Return what was made under ``key``, or make it; ``cost``: its bytes."""
        try:
            found: T | None = self._codec.cache.get(key)
        except TypeError:  # a name that cannot be hashed is no column's
            return make()
        if found is None:
            found = make()
            size = cost(found)
            if size * _SHARES <= self._codec.cache.limit:
                self._codec.cache.put(key, found, size)
        return found


def chosen(loaded: Loaded, which: int | str) -> Digest:
    """Return the name of the frame that ``version=`` means.

    Raises:
        InvalidInputError: it is no version id and not "current".
        VersionNotFoundError: the version is unknown or was dropped.
    """
    line = loaded.session.timeline
    if isinstance(which, str):
        if which != "current":
            raise InvalidInputError(f"A state is a version id or 'current', not {which[:40]!r}.")
        return line.current.frame
    return line.version(checked_count(which, "version id")).state.frame


def _listed(columns: Sequence[Hashable] | None) -> tuple[Hashable, ...] | None:
    if columns is None or isinstance(columns, str | bytes):
        return columns  # type: ignore[return-value]  # resolve_columns says what is wrong with one text
    return tuple(columns)


def _key(wanted: Sequence[Hashable] | None) -> Hashable:
    """Return what tells columns asked for apart: 1, 1.0 and True are equal, but three labels."""
    return None if wanted is None else tuple((type(name), name) for name in wanted)
