"""Which form of an answer the client wants, and how a file is named to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

_QUALITY = re.compile(r"[01](?:\.[0-9]{0,3})?")


def weights(header: str) -> dict[str, float]:
    """Return what a header such as Accept names, in lower case, with the weight of each from 0 to 1.

    In one pass: a pattern that goes back and forth takes a minute for a header that was made for it.
    """
    found: dict[str, float] = {}
    for each in header.split(","):
        name, *parameters = each.split(";")
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q" and _QUALITY.fullmatch(value.strip()):
                quality = min(float(value), 1.0)
        if name.strip():
            found.setdefault(name.strip().lower(), quality)
    return found


def preferred(accept: str | None, offered: Sequence[str]) -> str | None:
    """Return the media type that an Accept header likes best; of equals the first; None for none of them."""
    if accept is None or not accept.strip():
        return offered[0]
    ranges = weights(accept)
    best, best_quality = None, 0.0
    for each in offered:
        quality = _quality(each, ranges)
        if quality > best_quality:
            best, best_quality = each, quality
    return best


def _quality(kind: str, ranges: Mapping[str, float]) -> float:
    family = kind.partition("/")[0]
    for pattern in (kind, f"{family}/*", "*/*"):  # the most exact range counts
        if pattern in ranges:
            return ranges[pattern]
    return 0.0


def attachment(filename: str) -> str:
    """Return a Content-Disposition that gives the name in ASCII and in UTF-8 (RFC 6266)."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", filename)
    value = f'attachment; filename="{plain}"'
    if plain != filename:
        value += f"; filename*=UTF-8''{quote(filename.encode('utf-8', 'replace'), safe='')}"
    return value
