"""Column labels as text, and back: requests and files know columns by text only."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Final

from framekeep.errors import UnknownColumnError

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def label_text(label: Hashable) -> str:
    """Return the text form of a label: a text is its own, of anything else it is ``str``."""
    try:
        return str(label)
    except Exception:  # an int of more digits than Python prints, or a label's own __str__
        return hex(label) if isinstance(label, int) else f"<{type(label).__name__}>"


def clean(value: Any) -> Any:
    """Return a JSON value with U+FFFD for each lone surrogate: it is no Unicode, and parsers refuse it."""
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        pairs = [(clean(key), clean(part)) for key, part in value.items()]
        made = dict(pairs)
        return made if len(made) == len(pairs) else [list(pair) for pair in pairs]
    if isinstance(value, list | tuple):
        return [clean(part) for part in value]
    return value


def resolve_columns(labels: Sequence[Hashable], names: Iterable[Hashable]) -> list[int]:
    """Return the positions of the columns that ``names`` mean, in that order.

    A name that is a label means it; a text that is none means the label of which it is the text form. A
    label that repeats means each of its columns.

    Args:
        labels: of all columns.
        names: texts as a request gives them; labels are taken as well.

    Raises:
        UnknownColumnError: no column has that name, or several differ from it in type only.
    """
    if isinstance(names, str | bytes):
        raise UnknownColumnError("columns must be a list of names, not one text.")
    places: dict[Hashable, list[int]] = defaultdict(list)
    for i, label in enumerate(labels):
        places[_key(label)].append(i)
    texts: dict[str, list[Hashable]] = {}
    found: list[int] = []
    for name in names:
        hits = places.get(_key(name))
        if hits is None:
            if not texts:
                texts = defaultdict(list)
                for key, [first, *_] in places.items():
                    texts[clean(label_text(labels[first]))].append(key)
            keys = texts.get(clean(label_text(name)), [])
            if not keys:
                raise UnknownColumnError(
                    f"The frame has no column {_shown(name)}; ask for its columns first."
                )
            if len(keys) > 1:
                raise UnknownColumnError(
                    f"Several labels are written {_shown(name)} and differ in type only: rename a column."
                )
            hits = places[keys[0]]
        found.extend(hits)
    return found


def _key(label: Hashable) -> Hashable:
    """Return what tells labels apart: 1, 1.0 and True are three."""
    try:
        hash(label)
    except TypeError:  # what cannot be hashed is itself alone
        return (type(label), id(label))
    return (type(label), label)


def _shown(name: object) -> str:
    text = clean(label_text(name))
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
