"""The names things have in a store: digests, revisions, ids and spaces.

Owns how a name is made and what a well-formed one looks like. Knows nothing of what is named.
"""

from __future__ import annotations

import re
import secrets
from typing import Literal, NewType, TypeAlias

import blake3
import xxhash

from framekeep.errors import InvalidIdError

Digest = NewType("Digest", bytes)
"""16 bytes: BLAKE3 of a chunk's or manifest's uncompressed bytes."""

Revision = NewType("Revision", bytes)
"""16 random bytes, made by the writer: the name of one state of a space."""

Space = NewType("Space", str)
"""``kind:id``: the unit of atomicity, of expiry and (on Redis) of slot."""

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Contiguous bytes that the receiver only reads, and does not keep unless it says so."""

DIGEST_SIZE = 16
REVISION_SIZE = 16
ID_MAX_LENGTH = 128

Kind = Literal["session", "temp", "lock", "reply"]

# No separators of paths, keys or globs; cannot start with a dot or a dash.
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}", re.ASCII)


def digest_of(*parts: Buffer) -> Digest:
    """Return the name of the bytes made by joining ``parts`` (contiguous buffers)."""
    hasher = blake3.blake3(parts[0]) if parts else blake3.blake3()
    for part in parts[1:]:
        hasher.update(part)
    return Digest(hasher.digest(length=DIGEST_SIZE))


def checksum_of(*parts: Buffer) -> int:
    """Return the XXH3-64 of the joined ``parts``: what a chunk is checked against when it is read.

    Ten times cheaper than the digest. It detects damage; it does not resist forgery.
    """
    if len(parts) == 1:
        return xxhash.xxh3_64_intdigest(parts[0])
    hasher = xxhash.xxh3_64()
    for part in parts:
        hasher.update(part)
    return hasher.intdigest()


def new_revision() -> Revision:
    """Return a fresh revision."""
    return Revision(secrets.token_bytes(REVISION_SIZE))


def new_id() -> str:
    """Return a fresh unguessable id: 192 random bits, URL-safe, 32 characters, never starting with a dash."""
    while True:
        candidate = secrets.token_urlsafe(24)
        if candidate[0] != "-":
            return candidate


def checked_id(value: object, *, what: str = "session id") -> str:
    """Return ``value`` if it is a well-formed id.

    Raises:
        InvalidIdError: if it is not a string of 1 to 128 ASCII letters, digits, ``_``, ``.`` or ``-``
            that starts with a letter, digit or ``_``, or if it holds ``..``.
    """
    if not isinstance(value, str):
        raise InvalidIdError(f"The {what} must be a string, not {type(value).__name__}.")
    if not _ID.fullmatch(value) or ".." in value:
        raise InvalidIdError(
            f"The {what} {value[:40]!r} is malformed: use 1 to {ID_MAX_LENGTH} ASCII letters, digits, "
            "'_', '-' and single '.', starting with a letter, digit or '_'."
        )
    return value


def space(kind: Kind, id: str) -> Space:
    """Return the space of ``kind`` for a well-formed ``id``."""
    return Space(f"{kind}:{id}")
