"""Intentional missing: cells that are empty on purpose, with the reason where one is known."""

from framekeep.marks.marks import MAX_REASON, MAX_REASONS, Marks, Positions

__all__ = ["MAX_REASON", "MAX_REASONS", "Marks", "Positions"]
