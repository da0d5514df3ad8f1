"""Expressions over one row of a table: a small language of our own, with no way out of it.

``evaluate`` gives a column, ``holds`` the rows for which an expression is true. Nothing is ever handed to
Python's own evaluation; size, depth and the growth of texts are bounded.
"""

from framekeep.editing.expressions.evaluate import evaluate, holds
from framekeep.editing.expressions.syntax import parse

__all__ = ["evaluate", "holds", "parse"]
