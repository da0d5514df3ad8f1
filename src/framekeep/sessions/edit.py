"""One edit of a session's frame, as a context manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from framekeep.errors import ConflictError, InvalidInputError
from framekeep.marks import Marks
from framekeep.names import Revision
from framekeep.sessions.heads import Heads, Loaded, check_lineage
from framekeep.sessions.source import Origin, Source
from framekeep.sessions.verbs import commit_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from types import TracebackType

    import pandas as pd

    from framekeep.frames import Manifest
    from framekeep.marks.encoding import Rows


class Edit:
    """Hands out the current frame and commits what was changed in it, as one version.

    On a clean exit the changed columns are stored as a new version; if nothing changed, nothing is stored. An
    exception in the block changes nothing. If somebody else changed the data meanwhile too, the exit raises
    ConflictError and stores nothing.

    The frame is changed in place (``df["age"] = ...``, ``df.loc[...] = ...``, ``df.pop("x")``). To put
    another frame in its place, keep the edit and call ``replace``::

        step = manager.edit(session_id, "drop empty rows")
        with step as df:
            step.replace(df.dropna())

    Attributes:
        version_id: after the block, the version that undo would step back to; None if nothing changed.
        revision: in the block, of the data that was handed out; after it, of the data as the edit left it.
        marked: in the block, column position -> positions of the rows that are empty on purpose.
    """

    def __init__(
        self,
        heads: Heads,
        now: Callable[[], datetime],
        session_id: str,
        summary: str,
        max_versions: int,
        expected: Revision | None = None,
    ) -> None:
        self.version_id: int | None = None
        self.revision: Revision | None = None
        self.marked: Mapping[int, Rows] = {}
        self._expected = expected
        self._heads = heads
        self._now = now
        self._session_id = session_id
        self._summary = summary
        self._max_versions = max_versions
        self._lineage: Revision | None = None
        self._manifest: Manifest | None = None
        self._frame: object = None
        self._origin: Origin | None = None
        self._discarded = False

    def __enter__(self) -> pd.DataFrame:
        if self._lineage is not None:
            raise InvalidInputError("An edit is used once: call edit() again.")
        codec = self._heads.codec

        def view(loaded: Loaded, source: Source) -> tuple[Loaded, Manifest, pd.DataFrame, Marks]:
            if self._expected is not None:
                check_lineage(self._session_id, loaded.session, self._expected)
            state = loaded.session.timeline.current
            manifest = source.manifest(state.frame)
            return loaded, manifest, codec.decode(source.chunks, manifest), source.marks(state.marks)

        loaded, manifest, frame, marks = self._heads.read(self._session_id, view)
        self.marked = marks.positions
        self._lineage = self.revision = loaded.session.lineage
        self._manifest = manifest
        self._frame = frame
        return frame

    def replace(self, frame: object, *, rows: Any = None, columns: Any = None) -> None:
        """Commit ``frame`` instead of the one that was handed out.

        Args:
            frame: the next frame.
            rows: for each of its rows, the position in the frame that was handed out, so that marks of
                intentional missing follow their rows; None: marks stay at their positions.
            columns: for each of its columns, the position there, -1 for a new one; None: marks follow labels.

        Raises:
            InvalidInputError: outside the ``with`` block; on its exit if the positions do not fit.
        """
        if self._frame is None:
            raise InvalidInputError("replace() belongs inside the edit's 'with' block.")
        if frame is None:
            raise InvalidInputError("replace() needs a frame, not None (did an in-place method return it?).")
        self._frame = frame
        self._origin = None if rows is None and columns is None else Origin(rows, columns)

    def discard(self) -> None:
        """Commit nothing, whatever was changed in the frame."""
        self._discarded = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        frame, self._frame = self._frame, None
        if kind is not None or self._discarded:
            return
        try:
            self.version_id = self._heads.advance(
                self._session_id,
                frame,
                commit_changes(self._summary, self._now, self._max_versions),
                expected=self._lineage,
                origin=self._origin,
                told=self._told,
            )
        except ConflictError:
            if self._origin is not None or self._changed(frame):
                raise

    def _told(self, revision: Revision) -> None:
        self.revision = revision

    def _changed(self, frame: object) -> bool:
        before = self._manifest
        assert before is not None
        encoded = self._heads.codec.encode(
            frame, present=before.digests, previous=before, stage=lambda _: None
        )
        return encoded.manifest.digest != before.digest
