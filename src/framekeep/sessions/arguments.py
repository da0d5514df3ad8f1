"""What callers may pass: the checks of every argument of the session layer that is not an id or a frame."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from numbers import Real
from typing import Any

from framekeep.errors import InvalidInputError, InvalidMetadataError

RESERVED = frozenset(
    {
        "session_id",
        "filename",
        "created_at",
        "last_accessed",
        "expires_at",
        "shape",
        "columns",
        "dtypes",
        "bytes",
        "current_version",
    }
)
"""Keys of ``get_metadata`` that Framekeep fills itself."""

MAX_METADATA = 1 << 20
"""Bytes of all metadata of a session, as JSON: they are part of its head, which every change writes anew."""

MAX_DEPTH = 64
MAX_BITS = 8192  # Python refuses to print much longer integers
MAX_TTL = 100 * 366 * 86_400.0


def checked_ttl(value: object) -> float:
    """Return a time to live in seconds.

    Raises:
        InvalidInputError: it is not a number above 0 and at most a hundred years.
    """
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):  # an integer may be larger than a float can be
            number = float(value)
    if not 0 < number <= MAX_TTL:
        raise InvalidInputError(
            f"The time to live must be a number of seconds above 0, at most a hundred years, not {value!r}."
        )
    return number


def checked_text(value: object, what: str) -> str:
    """Return ``value`` if it is a string, else raise InvalidInputError naming ``what``."""
    if not isinstance(value, str):
        raise InvalidInputError(f"The {what} must be a string, not {type(value).__name__}.")
    return str(value)


def checked_count(value: object, what: str) -> int:
    """Return ``value`` if it is an integer from 0 up, else raise InvalidInputError naming ``what``."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InvalidInputError(f"The {what} must be an integer, not {type(value).__name__}.")
    number = int(value.__index__())
    if number < 0:
        raise InvalidInputError(f"The {what} must not be negative, but is {number}.")
    return number


def listed(marks: Any) -> Any:
    """Return marks with each iterator of rows as a list, so that they can be gone through again."""
    if not isinstance(marks, Mapping):
        return marks
    return {column: _entries(given) for column, given in marks.items()}


def _entries(given: Any) -> Any:
    if isinstance(given, Mapping):
        return {**given, "rows": _entries(given["rows"])} if "rows" in given else given
    if hasattr(given, "dtype") or isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        return given
    return [_entries(item) if isinstance(item, Mapping) else item for item in given]


def checked_metadata(metadata: object) -> dict[str, Any]:
    """Return a deep copy of the caller's metadata.

    Raises:
        InvalidMetadataError: it is not a mapping, sets a reserved key, or holds anything but JSON values
            (dict with string keys, list, str, int, finite float, bool, None).
    """
    if not isinstance(metadata, Mapping):
        raise InvalidMetadataError(f"Metadata must be a mapping, not {type(metadata).__name__}.")
    taken = sorted(str(key) for key in metadata if key in RESERVED)
    if taken:
        raise InvalidMetadataError(
            f"Metadata must not set {', '.join(taken)}: Framekeep fills them itself. Choose another key."
        )
    return {
        _checked_key(key, "metadata"): _checked_json(value, str(key), 1) for key, value in metadata.items()
    }


def checked_size(metadata: Mapping[str, Any]) -> None:
    """Raise InvalidMetadataError if a session's metadata are too large for its head."""
    size = len(json.dumps(metadata))
    if size > MAX_METADATA:
        raise InvalidMetadataError(
            f"The session's metadata would have {size:,} bytes as JSON; at most {MAX_METADATA:,} are kept. "
            "Keep large values outside, or in a frame."
        )


def _checked_key(key: object, path: str) -> str:
    if type(key) is not str:
        raise InvalidMetadataError(f"A key in {path} is {type(key).__name__}; JSON keys are strings.")
    return key


def _checked_json(value: Any, path: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise InvalidMetadataError(f"Metadata {path[:80]!r} is nested deeper than {MAX_DEPTH} levels.")
    # By exact type: a subclass would come back as its base type.
    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int and value.bit_length() <= MAX_BITS:
        return value
    if kind is float and math.isfinite(value):
        return value
    if kind is list:
        return [_checked_json(item, f"{path}[{position}]", depth + 1) for position, item in enumerate(value)]
    if kind is dict:
        return {
            _checked_key(key, path): _checked_json(item, f"{path}.{key}", depth + 1)
            for key, item in value.items()
        }
    what = {float: "a number that is not finite", int: "too long an integer"}.get(kind, kind.__name__)
    raise InvalidMetadataError(
        f"Metadata {path[:80]!r} is {what}; use JSON values: "
        "dict, list, str, int, finite float, bool or None."
    )
