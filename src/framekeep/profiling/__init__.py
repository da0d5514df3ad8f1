"""What a column looks like: counts, extremes, quantiles, histogram, most frequent values. No I/O."""

from framekeep.profiling.profile import Profiler
from framekeep.profiling.shape import Profile

__all__ = ["Profile", "Profiler"]
