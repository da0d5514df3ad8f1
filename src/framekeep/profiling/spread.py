"""How numbers and instants are spread: mean, deviation, quantiles, histogram."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

Numbers = npt.NDArray[np.float64]


def amounts(values: pa.Array, bins: int) -> dict[str, Any]:
    """Return mean, std, quantiles and histogram of numbers (as float64: beyond 2^53 the nearest one)."""
    numbers = pc.cast(values.drop_null(), pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return {}
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(numbers.mean())
        std = float(numbers.std(ddof=1)) if len(numbers) > 1 else None
        quantiles = {f"{p:g}": float(q) for p, q in zip(QUANTILES, _quantiles(numbers), strict=True)}
        return {
            "mean": mean,
            "std": std,
            "quantiles": quantiles,
            "histogram": _histogram(numbers, bins),
        }


def instants(values: pa.Array, bins: int) -> dict[str, Any]:
    """Return mean, quantiles and histogram of instants, dates or durations, in their own unit."""
    kind = values.type
    narrow = pa.int32() if pa.types.is_date32(kind) else pa.int64()
    ticks = values.drop_null().view(narrow).cast(pa.int64()).to_numpy(zero_copy_only=False)
    first = int(ticks.min())
    # Relative to the first one, float64 has every digit of what is close to it.
    numbers = (ticks - first).astype(np.float64) if int(ticks.max()) - first < 1 << 62 else None
    if numbers is None:
        return {}

    def back(offset: float) -> Any:
        tick = pa.scalar(first + round(offset), pa.int64())
        value = pa.array([tick.as_py()], pa.int64()).cast(narrow).view(kind)[0]
        try:
            return value.as_py()
        except (ValueError, OverflowError):
            return str(value.cast(pa.string()).as_py())

    histogram = _histogram(numbers, bins)
    return {
        "mean": back(float(numbers.mean())),
        "quantiles": {f"{p:g}": back(float(q)) for p, q in zip(QUANTILES, _quantiles(numbers), strict=True)},
        "histogram": None
        if histogram is None
        else {**histogram, "edges": [back(edge) for edge in histogram["edges"]]},
    }


def _quantiles(numbers: Numbers) -> Numbers:
    found: Numbers = np.quantile(numbers, QUANTILES)
    return found


def _histogram(numbers: Numbers, bins: int) -> dict[str, Any] | None:
    """Return edges and counts; None where the numbers span more than a float64 can say."""
    low, high = float(numbers.min()), float(numbers.max())
    if not np.isfinite(high - low):
        return None
    if low == high:
        return {"edges": [low, high], "counts": [len(numbers)]}
    edges = np.unique(np.linspace(low, high, bins + 1))  # neighbours may have no room for so many bins
    counts, _ = np.histogram(numbers, edges)
    return {"edges": edges.tolist(), "counts": counts.tolist()}
