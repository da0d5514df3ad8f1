"""Operations of the editing vocabulary, carried out on a session's frame as one version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framekeep.names import Revision

if TYPE_CHECKING:
    from framekeep.editing import Operation
    from framekeep.sessions.edit import Edit


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of operations.

    Attributes:
        version_id: the version that undo steps back to; None if nothing changed, or nothing was to be stored.
        revision: of the data as the operations left it.
        summary: what the version is called.
        shape: rows and columns of the result.
        impact: what they changed (see ``editing.impact``).
    """

    version_id: int | None
    revision: Revision
    summary: str
    shape: tuple[int, int]
    impact: dict[str, Any]


def carry_out(
    step: Edit,
    summary: str,
    operations: Iterable[Operation | Mapping[str, Any]],
    *,
    dry_run: bool,
    samples: int,
) -> Outcome:
    """Carry operations out in an edit; marks of intentional missing follow their cells.

    Raises:
        InvalidEditError: an operation is malformed or cannot be carried out; nothing is changed.
        ConflictError: somebody else changed the data meanwhile.
    """
    from framekeep.editing import apply_tracked, impact

    with step as frame:
        applied = apply_tracked(frame, operations, marked=step.marked)
        found = impact(frame, applied, samples=samples)
        if dry_run:
            step.discard()
        else:
            step.replace(applied.frame, rows=applied.rows, columns=applied.columns)
    assert step.revision is not None
    rows, columns = applied.frame.shape
    return Outcome(step.version_id, step.revision, summary, (rows, columns), found)
