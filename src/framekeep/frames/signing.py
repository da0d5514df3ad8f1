"""Signed pickles, for cells that have no exact encoding and only when a key is configured.

The one place of the project that unpickles: bytes whose signature fails are never unpickled.
"""

from __future__ import annotations

import hmac
import pickle
from hashlib import sha256
from typing import Final

from framekeep.errors import ConfigurationError, SessionDamagedError, UnsupportedTypeError

_SIZE: Final = sha256().digest_size
_CONTEXT: Final = b"framekeep cell 1\0"
_KEY_MIN: Final = 16


class SignedPickler:
    """Pickles values under an HMAC-SHA256 signature.

    Args:
        key: the signing key, at least 16 bytes. Whoever has it can make this process run code.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < _KEY_MIN:
            raise ConfigurationError(f"PICKLE_SIGNING_KEY must have at least {_KEY_MIN} bytes.")
        self._key = key

    def _sign(self, data: bytes) -> bytes:
        return hmac.digest(self._key, _CONTEXT + data, "sha256")

    def dumps(self, value: object) -> bytes:
        """Return the signature and the pickle of a value.

        Raises:
            UnsupportedTypeError: if it cannot be pickled either.
        """
        try:
            data = pickle.dumps(value, protocol=5)
        except Exception as error:  # a reducer of a foreign class may raise anything
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            raise UnsupportedTypeError(
                f"A value of type {kind} has no exact encoding and cannot be pickled either "
                f"({type(error).__name__}).",
                type_name=kind,
            ) from error
        return self._sign(data) + data

    def loads(self, data: bytes) -> object:
        """Return the value, after its signature was checked.

        Raises:
            SessionDamagedError: if the signature does not match, or the pickle does not load.
        """
        signature, body = data[:_SIZE], data[_SIZE:]
        if not hmac.compare_digest(signature, self._sign(body)):
            raise SessionDamagedError(
                "a pickled cell is not signed with this PICKLE_SIGNING_KEY and was not opened"
            )
        try:
            return pickle.loads(body)  # noqa: S301 - the signature was checked on the line above
        except Exception as error:  # its class may be gone or raise anything
            raise SessionDamagedError(
                f"a pickled cell does not load here ({type(error).__name__}): is its class importable?"
            ) from error
