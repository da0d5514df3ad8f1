"""Parameters of header fields: what a file is called, where a form is divided.

Owns their grammar (RFC 9110, and RFC 8187 for names that are not ASCII). One pass over whatever comes: the
``email`` of Python takes seconds for a header that was made for it, and stumbles over others.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_PARAMETER = re.compile(r';\s*+([^\s;="]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^;]*+))', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')  # nothing else: a path of Windows has single ones
_CHARSETS = ("utf-8", "iso-8859-1")


def parameters(header: str) -> dict[str, str]:
    """Return the parameters of a header field by name, in lower case; of two with one name the first.

    ``name*=UTF-8''...`` is the parameter ``name``, and counts before one that is not encoded.
    """
    found: dict[str, str] = {}
    encoded: dict[str, str] = {}
    for name, quoted, bare in _PARAMETER.findall(header):
        name = name.lower()
        if name.endswith("*"):
            encoded.setdefault(name[:-1], _decoded(bare.strip() or quoted))
        else:
            found.setdefault(name, bare.strip() or _ESCAPED.sub(r"\1", quoted))
    return found | encoded


def _decoded(value: str) -> str:
    charset, mark, rest = value.partition("'")
    _, second, text = rest.partition("'")
    if not mark or not second:
        return unquote(value)
    known = charset.lower() if charset.lower() in _CHARSETS else "utf-8"
    return unquote(text, known, "replace")
