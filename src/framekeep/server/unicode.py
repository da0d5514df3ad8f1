"""Texts as JSON may have them. What the library keeps exactly (half of a surrogate pair) is no Unicode."""

from __future__ import annotations

from typing import Any

from framekeep.exporting.labels import clean


def unicode(value: Any) -> Any:
    """Return a value whose texts, at any depth, have U+FFFD in place of what is no Unicode.

    Keys that would become one stay two: the second is written with escapes.
    """
    if isinstance(value, dict):
        made: dict[Any, Any] = {}
        for key, part in value.items():
            name = unicode(key)
            if name in made and isinstance(key, str):
                name = key.encode("utf-8", "backslashreplace").decode()
            made[name] = unicode(part)
        return made
    if isinstance(value, list | tuple):
        return [unicode(part) for part in value]
    return clean(value) if isinstance(value, str) else value
