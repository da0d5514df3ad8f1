"""Operations on texts: trim, case, parts replaced; and the bound on what a text may grow to."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from framekeep.editing.kinds import Kind, kind_of
from framekeep.editing.models import ChangeCase, ReplaceValues, TrimText
from framekeep.editing.values import MAX_COLUMN, check_room, column_of
from framekeep.editing.work import Work
from framekeep.errors import InvalidEditError

MAX_CELL = 1 << 24
"""Characters that an edit may make one text of."""

_SPACE = re.compile(r"\s+")

Rewrite = Callable[[str], str | None]
"""From a text to the one in its place; None for missing."""


def trim_text(work: Work, operation: TrimText) -> None:
    """Remove white space at the ends of texts."""
    strip = {"both": str.strip, "left": str.lstrip, "right": str.rstrip}[operation.side]

    def trimmed(text: str) -> str | None:
        text = strip(text)
        if operation.collapse:
            text = _SPACE.sub(" ", text)
        return None if operation.empty_to_missing and not text else text

    rewrite(work, operation.columns, trimmed)


def change_case(work: Work, operation: ChangeCase) -> None:
    """Write texts in another case, as Python does."""
    change = {"upper": str.upper, "lower": str.lower, "title": str.title, "sentence": str.capitalize}
    rewrite(work, operation.columns, change[operation.to])


def replace_parts(work: Work, operation: ReplaceValues) -> None:
    """Replace parts of texts, one replacement after the other."""
    pairs = [(str(each.old), str(each.new)) for each in operation.replacements]
    room = Room()

    def replaced(text: str) -> str:
        for old, new in pairs:
            text = replace_part(text, old, new, room)
        return text

    rewrite(work, operation.columns, replaced)


class Room:
    """Counts what texts grow to, so that no program makes a gigabyte of a kilobyte."""

    def __init__(self) -> None:
        self._left = MAX_COLUMN

    def take(self, length: int, largest: int | None = None) -> None:
        """Count a text of that many characters, or texts, the largest of which has so many.

        Raises:
            InvalidEditError: it is too long, or all together are.
        """
        self._left -= length
        if (length if largest is None else largest) > MAX_CELL or self._left < 0:
            raise InvalidEditError(
                f"The texts would grow beyond {MAX_CELL:,} characters a cell or {MAX_COLUMN:,} in all."
            )


def replace_part(text: str, old: str, new: str, room: Room) -> str:
    """Return ``text.replace(old, new)`` if there is room for it."""
    if len(new) > len(old):
        room.take(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def rewrite(work: Work, names: list[str] | None, change: Rewrite) -> None:
    """Put other texts in the place of those of some columns.

    Raises:
        InvalidEditError: a column named holds no text.
    """
    for position in work.chosen(names):
        array = work.array(position)
        kind = kind_of(array.dtype)
        if kind is Kind.TEXT:
            changed = _of_texts(array, change, work.name(position))
        elif kind is Kind.CATEGORY and holds_texts(array.dtype.categories):
            changed = _of_categories(array, change)
        elif kind is Kind.MIXED:
            changed = _of_objects(array, change)
        elif names is None:
            continue
        else:
            raise InvalidEditError(
                f"Column {work.name(position)} holds {kind}, no text. Cast it to text first."
            )
        if changed is not None:
            work.set(position, changed)


def holds_texts(categories: pd.Index) -> bool:
    """Say whether all categories are texts."""
    return kind_of(categories.dtype) is Kind.TEXT or all(isinstance(each, str) for each in categories)


def _of_texts(array: Any, change: Rewrite, name: str) -> Any:
    try:
        codes, texts = pd.factorize(array)
    except UnicodeEncodeError:
        raise InvalidEditError(f"Column {name} holds text that is no valid Unicode.") from None
    before = np.asarray(texts, dtype=object).tolist()
    after = list(map(change, before))
    if after == before:
        return None
    if sum(map(len, filter(None, after))) > sum(map(len, before)):
        check_room(repeated(after, codes))
    return column_of(after, array.dtype).take(codes, allow_fill=True)


def repeated(texts: Sequence[str | None], codes: Any) -> int:
    """Return how many characters texts have, each as often as its position stands in ``codes``."""
    lengths = np.fromiter((len(text or "") for text in texts), dtype=np.int64, count=len(texts))
    return int(lengths @ np.bincount(codes[codes >= 0], minlength=len(texts)))


def _of_categories(array: Any, change: Rewrite) -> Any:
    before = list(array.dtype.categories)
    after = [change(text) for text in before]
    return None if after == before else recategorized(array, after)


def recategorized(array: Any, after: list[Any]) -> Any:
    """Return categories with others in their place, in order; equal ones become one, None becomes missing."""
    places = {
        cell: place for place, cell in enumerate(dict.fromkeys(each for each in after if each is not None))
    }
    codes = np.array([-1 if cell is None else places[cell] for cell in after] + [-1])[array.codes]
    categories = pd.Index(list(places), dtype=array.dtype.categories.dtype, name=array.dtype.categories.name)
    return pd.Categorical.from_codes(codes, categories=categories, ordered=array.dtype.ordered)


def _of_objects(array: Any, change: Rewrite) -> Any:
    out = array.copy()
    touched = False
    for row, cell in enumerate(array):
        if isinstance(cell, str):
            text = change(cell)
            if text != cell:
                out[row], touched = text, True
    return out if touched else None
