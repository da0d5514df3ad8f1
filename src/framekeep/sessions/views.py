"""What others are shown of a session's frames: pages as JSON, files, profiles.

Owns what is kept of them in this process, by the names of what they were made from. How a table is written is
in ``exporting``, what a profile says in ``profiling``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from framekeep.errors import InvalidInputError
from framekeep.names import Revision
from framekeep.sessions.arguments import checked_count
from framekeep.sessions.heads import Heads, Loaded
from framekeep.sessions.source import Source

if TYPE_CHECKING:
    from framekeep.exporting import ExportOptions, Window
    from framekeep.frames import FrameCodec, Manifest


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

        def view(loaded: Loaded, source: Source) -> tuple[Revision, bytes]:
            manifest = chosen(loaded, source, version)
            window = self._window(source, manifest, start, number, columns)
            return loaded.session.lineage, page_json(window, number, orient=orient)

        return self._heads.read(session_id, view)

    def export(
        self,
        session_id: str,
        name: str,
        offset: int,
        limit: int | None,
        columns: Sequence[Hashable] | None,
        version: int | str,
        options: ExportOptions | None,
    ) -> tuple[Revision, Iterator[bytes]]:
        """See ``SessionReader.export``."""
        from framekeep.exporting import ExportOptions, format_named, pieces
        from framekeep.frames.tables import table_from

        format, start = format_named(name), checked_count(offset, "offset")
        number = None if limit is None else checked_count(limit, "limit")
        chosen_options = ExportOptions() if options is None else options

        def view(loaded: Loaded, source: Source) -> tuple[Revision, Window]:
            manifest = chosen(loaded, source, version)
            return loaded.session.lineage, self._window(source, manifest, start, number, columns)

        revision, window = self._heads.read(session_id, view)
        return revision, pieces(
            window, format, chosen_options, lambda: table_from(window.labels, window.arrays, window.index)
        )

    def profile(
        self,
        session_id: str,
        columns: Sequence[Hashable] | None,
        bins: int,
        top: int,
        version: int | str,
    ) -> tuple[Revision, list[dict[str, Any]]]:
        """See ``SessionReader.profile``."""
        from framekeep.profiling import checked_profile, profile

        checked_profile(bins, top)

        def view(loaded: Loaded, source: Source) -> tuple[Revision, list[dict[str, Any]]]:
            manifest = chosen(loaded, source, version)
            window = self._window(source, manifest, 0, None, columns)
            found = [
                {"name": name, "dtype": dtype, **profile(array, bins=bins, top=top)}
                for name, dtype, array in zip(window.names, window.dtypes, window.arrays, strict=True)
            ]
            return loaded.session.lineage, found

        return self._heads.read(session_id, view)

    def _window(
        self,
        source: Source,
        manifest: Manifest,
        offset: int,
        limit: int | None,
        columns: Sequence[Hashable] | None,
    ) -> Window:
        from framekeep.exporting import Window, resolve_columns

        labels = manifest.columns.tolist()
        places = range(len(labels)) if columns is None else resolve_columns(labels, columns)
        start = min(offset, manifest.rows)
        stop = manifest.rows if limit is None else min(offset + limit, manifest.rows)
        arrays, index = self._codec.window(source.chunks, manifest, places, start, stop)
        return Window(
            [labels[i] for i in places],
            [manifest.dtypes[i] for i in places],
            arrays,
            index,
            offset,
            manifest.rows,
        )


def chosen(loaded: Loaded, source: Source, which: int | str) -> Manifest:
    """Return the manifest of the state that ``version=`` names.

    Raises:
        InvalidInputError: it is no version id and not "current".
        VersionNotFoundError: the version is unknown or was dropped.
    """
    line = loaded.session.timeline
    if isinstance(which, str):
        if which != "current":
            raise InvalidInputError(f"A state is a version id or 'current', not {which[:40]!r}.")
        return source.manifest(line.current.frame)
    return source.manifest(line.version(checked_count(which, "version id")).state.frame)
