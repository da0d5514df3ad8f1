"""Edits of tables by a closed vocabulary: typed operations in, another table out, and what it would change.

``apply`` is pure: it never changes the frame it is given. Nothing here knows sessions or storage.
"""

from framekeep.editing.apply import apply, apply_tracked
from framekeep.editing.impact import impact
from framekeep.editing.models import Operation, Operations, describe, parse_operations
from framekeep.editing.work import Applied

__all__ = [
    "Applied",
    "Operation",
    "Operations",
    "apply",
    "apply_tracked",
    "describe",
    "impact",
    "parse_operations",
]
