"""Keys and bytes of the embedded store, format 1 (docs/format.md, "The embedded store").

Owns how a head, a log entry and an expiry are written and checked. Knows nothing of transactions.
"""

from __future__ import annotations

import secrets
import struct
from math import inf
from typing import NamedTuple

import blake3

from framekeep.errors import InvalidIdError, SessionDamagedError
from framekeep.names import Revision, Space, checksum_of

FORMAT = 1
"""Version of everything here; a store with a higher one is refused."""

META, HEADS, BLOBS, LOG, DUE, STAGED = b"meta", b"heads", b"blobs", b"log", b"due", b"staged"
DATABASES = (META, HEADS, BLOBS, LOG, DUE, STAGED)

META_KIND, META_FORMAT, META_WRITER = b"kind", b"format", b"writer"
KIND = b"framekeep store"
COUNT = b"count/"  # + kind with its colon: how many heads there are, expired ones included

PREFIX_SIZE = 16
SPACE_MAX_BYTES = 480  # an LMDB key holds 511, the due key adds 8

# checksum, record version, revision, expiry, epoch, length of the log; then the body
_HEAD = struct.Struct("<QQ16sd8sQ")
_CHECKSUM = struct.Struct("<Q")
_TOUCH = struct.Struct("<8sd")
_U64 = struct.Struct(">Q")
_F64 = struct.Struct(">d")


class HeadRecord(NamedTuple):
    """A head as stored.

    Attributes:
        revision: 16 bytes.
        expiry: durable expiry, seconds since the epoch; inf if never.
        epoch: 8 random bytes drawn whenever ``expiry`` is written: a touched expiry counts only under the
            epoch it was made in, so what is left of one from before means nothing.
        logged: how many log entries there are.
        body: the head's opaque bytes.
    """

    revision: Revision
    expiry: float
    epoch: bytes
    logged: int
    body: bytes


def space_key(space: Space) -> bytes:
    """Return the key of ``space``.

    Raises:
        InvalidIdError: when it is empty or longer than 480 bytes.
    """
    key = space.encode()
    if not 0 < len(key) <= SPACE_MAX_BYTES:
        raise InvalidIdError(f"A space's name has 1 to {SPACE_MAX_BYTES} bytes, not {len(key)}.")
    return key


def blob_prefix(key: bytes) -> bytes:
    """Return the 16 bytes that start every blob and log key of a space."""
    return blake3.blake3(key).digest(length=PREFIX_SIZE)


def new_epoch() -> bytes:
    """Return 8 random bytes."""
    return secrets.token_bytes(8)


def pack_head(key: bytes, head: HeadRecord) -> bytes:
    """Return the stored bytes of a head."""
    record = bytearray(_HEAD.pack(0, FORMAT, head.revision, head.expiry, head.epoch, head.logged))
    record += head.body
    _CHECKSUM.pack_into(record, 0, checksum_of(key, memoryview(record)[8:]))
    return bytes(record)


def unpack_head(key: bytes, raw: bytes | memoryview) -> HeadRecord:
    """Return the head in ``raw``; its body is an owned copy.

    Raises:
        SessionDamagedError: naming the space, when the bytes are not those that were written.
    """
    view = memoryview(raw)
    if len(view) < _HEAD.size or _CHECKSUM.unpack_from(view)[0] != checksum_of(key, view[8:]):
        raise damaged(key, "head")
    _, version, revision, expiry, epoch, logged = _HEAD.unpack_from(view)
    if version != FORMAT:
        raise damaged(key, "head")
    return HeadRecord(Revision(revision), expiry, epoch, logged, bytes(view[_HEAD.size :]))


def pack_entry(key: bytes, entry: bytes) -> bytes:
    """Return the stored bytes of a log entry."""
    return _CHECKSUM.pack(checksum_of(key, entry)) + entry


def unpack_entry(key: bytes, position: int, raw: bytes) -> bytes:
    """Return the log entry in ``raw``.

    Raises:
        SessionDamagedError: naming the space and the position.
    """
    entry = raw[8:]
    if len(raw) < 8 or _CHECKSUM.unpack_from(raw)[0] != checksum_of(key, entry):
        raise damaged(key, f"log entry {position}")
    return entry


def damaged(key: bytes, where: str) -> SessionDamagedError:
    """Return the error for a damaged record of the space with ``key``."""
    name = key.decode(errors="replace")
    return SessionDamagedError(
        f"The {where} of {name} is damaged: its bytes are not those that were written. "
        "Other sessions are not concerned; restore this one from a backup or delete it.",
        session_id=name.partition(":")[2],
        where=where,
    )


def log_key(prefix: bytes, position: int) -> bytes:
    """Return the key of a log entry: entries sort by position."""
    return prefix + _U64.pack(position)


def pack_touch(epoch: bytes, expiry: float) -> bytes:
    """Return the stored bytes of a touched expiry."""
    return _TOUCH.pack(epoch, expiry)


def effective_expiry(head: HeadRecord, touched: bytes | None) -> float:
    """Return when the space expires: the later of its durable and its touched expiry."""
    if touched is not None and len(touched) == _TOUCH.size:
        epoch, expiry = _TOUCH.unpack(touched)
        if epoch == head.epoch:
            return max(head.expiry, float(expiry))
    return head.expiry


def touched_expiry(touched: bytes | None) -> float:
    """Return a touched expiry whatever its epoch (for a head that cannot be read); -inf if there is none."""
    if touched is None or len(touched) != _TOUCH.size:
        return -inf
    return float(_TOUCH.unpack(touched)[1])


def pack_time(seconds: float) -> bytes:
    """Return 8 bytes that sort like ``seconds``."""
    bits = _U64.unpack(_F64.pack(seconds))[0]
    return _U64.pack(bits ^ (0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else 1 << 63))


def unpack_time(raw: bytes) -> float:
    """Return the seconds in what ``pack_time`` made."""
    bits = _U64.unpack(raw)[0]
    return float(_F64.unpack(_U64.pack(bits ^ (1 << 63 if bits >> 63 else 0xFFFF_FFFF_FFFF_FFFF)))[0])


def due_key(expiry: float, key: bytes) -> bytes:
    """Return the key under which a space waits for its durable expiry."""
    return pack_time(expiry) + key


def count_key(key: bytes) -> bytes:
    """Return the meta key that counts the heads of the same kind as ``key``."""
    kind, colon, _ = key.partition(b":")
    return COUNT + kind + colon if colon else COUNT


def pack_count(n: int) -> bytes:
    """Return the stored bytes of a counter."""
    return _U64.pack(n)


def unpack_count(raw: bytes | None) -> int:
    """Return a counter; 0 when it was never written."""
    return 0 if raw is None else int(_U64.unpack(raw)[0])
