"""The profile of one column."""

from __future__ import annotations

from typing import Any

import pandas as pd

from framekeep.errors import InvalidInputError

MAX_BINS = 1000
MAX_TOP = 1000


def checked_profile(bins: int, top: int) -> None:
    """Raise InvalidInputError for numbers of bins or top values that are none."""
    for what, value, least, most in (("bins", bins, 1, MAX_BINS), ("top", top, 0, MAX_TOP)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidInputError(f"{what} must be a whole number from {least} to {most}.")


def profile(array: Any, *, bins: int = 20, top: int = 10) -> dict[str, Any]:
    """Return the profile of a column (a 1-D numpy or pandas extension array)."""
    series = pd.Series(array)
    missing = int(series.isna().sum())
    return {
        "kind": "other",
        "count": len(series) - missing,
        "missing": missing,
        "distinct": None,
        "min": None,
        "max": None,
        "mean": None,
        "std": None,
        "quantiles": None,
        "histogram": None,
        "top": [],
    }
