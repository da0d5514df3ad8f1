"""Finding the column that a name means: requests know columns by text only.

Owns the rule: a label that is this very text, else the one label whose text form it is; never a guess.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable

from framekeep.errors import InvalidEditError


class Labels:
    """The column labels of one frame, by their text."""

    def __init__(self, columns: Iterable[Hashable]) -> None:
        self._texts: dict[str, list[int]] = defaultdict(list)
        self._others: dict[str, list[int]] = defaultdict(list)
        for position, label in enumerate(columns):
            (self._texts if isinstance(label, str) else self._others)[text_of(label)].append(position)

    def count(self, name: str) -> int:
        """Return how many columns are called so."""
        return len(self._texts.get(name, ())) + len(self._others.get(name, ()))

    def position(self, name: str) -> int:
        """Return the position of the column that a name means.

        Raises:
            InvalidEditError: no column has that name, or several have.
        """
        found = self._texts.get(name) or self._others.get(name)
        if not found:
            raise InvalidEditError(f"The table has no column {shown(name)}. Ask for its columns first.")
        if len(found) > 1:
            raise InvalidEditError(
                f"The table has {len(found)} columns called {shown(name)}, so that the name means none of "
                "them. Replace the table by one with different names first."
            )
        return found[0]

    def positions(self, names: Iterable[str]) -> list[int]:
        """Return the positions of the columns that names mean, in that order, each once."""
        return list(dict.fromkeys(self.position(name) for name in names))


def text_of(label: Hashable) -> str:
    """Return the text form of a label: of a text itself, of anything else ``str``."""
    if isinstance(label, str):
        return str(label)
    try:
        return str(label)
    except Exception:  # an int of more digits than Python prints, or a label's own __str__
        return f"<{type(label).__name__}>"


def shown(name: Hashable) -> str:
    """Return a label as messages show it."""
    text = text_of(name)
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
