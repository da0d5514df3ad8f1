"""One edit of a session's frame by way of a service, as a context manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framekeep.errors import ConflictError, InvalidInputError
from framekeep.frames import FrameCodec

if TYPE_CHECKING:
    from types import TracebackType

    import pandas as pd

    from framekeep.client.changing import SessionChanging
    from framekeep.names import Digest, Revision


class Edit:
    """Fetches the current frame and sends it back, as one version, when it was changed.

    An exception in the block changes nothing. If somebody else changed the data meanwhile, the exit raises
    ConflictError and nothing is stored. As for the edits of a DataManager, the frame is changed in place or
    put aside for another one with ``replace``.

    Attributes:
        version_id: after the block, the version that undo would step back to; None if nothing changed.
        revision: in the block, of the data that was handed out; after it, of the data as the edit left it.
    """

    def __init__(
        self,
        client: SessionChanging,
        session_id: str,
        summary: str,
        max_versions: int,
        expected: Revision | None,
    ) -> None:
        self.version_id: int | None = None
        self.revision: Revision | None = None
        self._client = client
        self._session_id = session_id
        self._summary = summary
        self._max_versions = max_versions
        self._expected = expected
        self._before: Digest | None = None
        self._frame: object = None
        self._discarded = False

    def __enter__(self) -> pd.DataFrame:
        if self.revision is not None:
            raise InvalidInputError("An edit is used once: call edit() again.")
        revision, frame = self._client.get_dataframe_at(self._session_id)
        if self._expected is not None and revision != self._expected:
            raise ConflictError(
                f"Session {self._session_id!r} changed since the revision that was expected; nothing was "
                "stored. Reload it and decide."
            )
        self.revision, self._frame, self._before = revision, frame, _content(frame)
        return frame

    def replace(self, frame: object) -> None:
        """Send ``frame`` instead of the one that was handed out; marks stay at their rows and labels.

        Raises:
            InvalidInputError: outside the ``with`` block.
        """
        if self._frame is None:
            raise InvalidInputError("replace() belongs inside the edit's 'with' block.")
        if frame is None:
            raise InvalidInputError("replace() needs a frame, not None (did an in-place method return it?).")
        self._frame = frame

    def discard(self) -> None:
        """Send nothing, whatever was changed in the frame."""
        self._discarded = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        frame, self._frame = self._frame, None
        if kind is not None or self._discarded or _content(frame) == self._before:
            return
        self.version_id = self._client.commit_dataframe(
            self._session_id,
            frame,
            self._summary,
            self._max_versions,
            expected_revision=self.revision,
            on_revision=self._told,
        )

    def _told(self, revision: Revision) -> None:
        self.revision = revision


def _content(frame: object) -> Digest:
    """Return the name of a frame's content."""
    codec = FrameCodec(compress=False, cache_bytes=0)
    return codec.encode(frame, stage=lambda _: None).manifest.digest
