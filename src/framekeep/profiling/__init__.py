"""What a column looks like: counts, extremes, quantiles, histogram, most frequent values. No I/O."""

from framekeep.profiling.profile import checked_profile, profile

__all__ = ["checked_profile", "profile"]
