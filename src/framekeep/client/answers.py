"""What the service's JSON says, as the library says it: metadata, versions, marks, differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

from framekeep.errors import ServiceError
from framekeep.frames import CellChange, ColumnChange, FrameDiff

_INSTANTS: Final = ("created_at", "last_accessed", "expires_at")


@contextmanager
def understood() -> Iterator[None]:
    """Say plainly that an answer lacks what every Framekeep says.

    Raises:
        ServiceError: the block stumbled over the shape of an answer.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ServiceError(
            f"The service's answer has another shape than this version of framekeep knows ({error!r}). "
            "Do both have the same version?"
        ) from error


def metadata(facts: Mapping[str, Any], labels: Sequence[Any]) -> dict[str, Any]:
    """Return a session's metadata as ``get_metadata`` of a backend does.

    Args:
        facts: the answer.
        labels: the labels of its columns.
    """
    dtypes = [column["dtype"] for column in facts["columns"]]
    by_label = dict(zip(labels, dtypes, strict=True))
    rows, columns = facts["shape"]
    return {
        **facts["metadata"],
        **{name: facts[name] for name in ("session_id", "filename", "bytes", "current_version")},
        **{name: datetime.fromisoformat(facts[name]) for name in _INSTANTS},
        "shape": (rows, columns),
        "columns": list(labels),
        "dtypes": by_label if len(by_label) == len(dtypes) else dtypes,
    }


def version(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return one version of a history."""
    names = ("version_id", "action_summary", "rows", "columns", "bytes", "undone")
    return {
        **{name: found[name] for name in names},
        "created_at": datetime.fromisoformat(found["created_at"]),
    }


def difference(found: Mapping[str, Any]) -> FrameDiff:
    """Return a comparison; labels and cells have their JSON forms."""
    return FrameDiff(
        **{
            name: found[name]
            for name in (
                *("rows_before", "rows_after", "rows_added", "rows_removed", "aligned_by"),
                *("index_changed", "columns_moved", "cells_changed"),
            )
        },
        columns_added=tuple(found["columns_added"]),
        columns_removed=tuple(found["columns_removed"]),
        columns_changed=tuple(
            ColumnChange(
                label=each["column"],
                dtype_before=each["dtype_before"],
                dtype_after=each["dtype_after"],
                cells=each["cells"],
                samples=tuple(
                    CellChange(sample["row"], sample["before"], sample["after"]) for sample in each["samples"]
                ),
            )
            for each in found["columns_changed"]
        ),
    )


def filename(disposition: str) -> str:
    """Return the file name in a Content-Disposition (RFC 6266)."""
    plain, _, extended = disposition.partition("; filename*=UTF-8''")
    if extended:
        return unquote(extended, "utf-8", "replace")
    return plain.partition('filename="')[2].removesuffix('"')
