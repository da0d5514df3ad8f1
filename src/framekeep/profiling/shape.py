"""What a profile looks like: the same keys for every kind of column, values short enough to be looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import numpy as np
import orjson

from framekeep.profiling.spread import QUANTILES

MAX_CHARACTERS: Final = 200
"""Of a text in a profile; a longer one ends in an ellipsis there."""

Profile: TypeAlias = dict[str, Any]


def blank(kind: str, count: int, missing: int) -> Profile:
    """Return a profile of which the rest is still to be said."""
    return {
        "kind": kind,
        "count": count,
        "missing": missing,
        "distinct": 0,
        "min": None,
        "max": None,
        "mean": None,
        "std": None,
        "quantiles": None,
        "histogram": None,
        "top": [],
    }


def with_missing(found: Profile, missing: int) -> Profile:
    """Return a profile with more missing values."""
    return found | {"missing": found["missing"] + missing}


def top_values(values: Iterable[Any], counts: Iterable[int]) -> list[dict[str, Any]]:
    """Return the most frequent values, with how often each is there."""
    return [{"value": cut(value), "count": count} for value, count in zip(values, counts, strict=True)]


def by_quantile(values: list[Any]) -> dict[str, Any]:
    """Return values under the names of their quantiles."""
    return dict(zip(map(str, QUANTILES), values, strict=True))


def real(value: float) -> float | None:
    """Return a float, or None if JSON has no word for it."""
    return value if np.isfinite(value) else None


def cut(value: Any) -> Any:
    """Return a value that is not too long to be looked at."""
    if not isinstance(value, str):
        if not isinstance(value, list | dict):
            return value
        text = orjson.dumps(value).decode()
        return value if len(text) <= MAX_CHARACTERS else cut(text)
    return value if len(value) <= MAX_CHARACTERS else f"{value[: MAX_CHARACTERS - 1]}…"
