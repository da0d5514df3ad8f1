"""Which form of an answer the client wants, and how a file is named to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

_RANGE = re.compile(r"\s*([\w.+*!#$&^-]+/[\w.+*!#$&^-]+)\s*((?:;[^,]*)?)(?:,|$)")
_QUALITY = re.compile(r";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)")


def preferred(accept: str | None, offered: Sequence[str]) -> str | None:
    """Return the media type that an Accept header likes best; of equals the first; None for none of them."""
    if accept is None or not accept.strip():
        return offered[0]
    ranges = []
    for kind, parameters in _RANGE.findall(accept):
        quality = _QUALITY.search(parameters)
        ranges.append((kind.lower(), float(quality[1]) if quality else 1.0))
    best, best_quality = None, 0.0
    for each in offered:
        quality_of_each = _quality(each, ranges)
        if quality_of_each > best_quality:
            best, best_quality = each, quality_of_each
    return best


def _quality(kind: str, ranges: Sequence[tuple[str, float]]) -> float:
    family = kind.partition("/")[0]
    for pattern in (kind, f"{family}/*", "*/*"):  # the most exact range counts
        for given, quality in ranges:
            if given == pattern:
                return quality
    return 0.0


def attachment(filename: str) -> str:
    """Return a Content-Disposition that gives the name in ASCII and in UTF-8 (RFC 6266)."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", filename)
    value = f'attachment; filename="{plain}"'
    if plain != filename:
        value += f"; filename*=UTF-8''{quote(filename.encode('utf-8', 'replace'), safe='')}"
    return value
