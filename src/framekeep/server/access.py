"""Who is asking: API keys, and whose session is whose.

A session that was made with a key is stored under ``<tag>.<id>``, the tag being made from the key; so it
belongs to that key atomically, is listed by prefix, and does not exist for any other. Without keys the
stored id is the id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hmac import compare_digest

import blake3
from pydantic import SecretStr

from framekeep.errors import AuthenticationError, InvalidIdError
from framekeep.names import ID_MAX_LENGTH, checked_id

_TAG = re.compile(r"\bk_[0-9a-f]{16}\.")


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody who may use the service.

    Attributes:
        prefix: what stored ids start with; "" when the service has no keys.
    """

    prefix: str = ""

    def stored(self, id: str, *, what: str = "session id") -> str:
        """Return the id under which storage has it.

        Raises:
            InvalidIdError: it is malformed.
        """
        checked_id(id, what=what)
        if len(id) + len(self.prefix) > ID_MAX_LENGTH:
            raise InvalidIdError(
                f"The {what} {id[:40]!r}… is too long: use at most "
                f"{ID_MAX_LENGTH - len(self.prefix)} characters."
            )
        return self.prefix + id

    def shown(self, id: str) -> str:
        """Return the id that the owner knows."""
        return id.removeprefix(self.prefix)


class Keys:
    """The keys of a service, and what each of them owns.

    Args:
        keys: the API keys; none lets everybody in.
    """

    def __init__(self, keys: Iterable[SecretStr] = ()) -> None:
        self._owners = {
            _digest(key.get_secret_value()): Owner(f"k_{_digest(key.get_secret_value())[:16]}.")
            for key in keys
        }

    def __bool__(self) -> bool:
        return bool(self._owners)

    def owner(self, authorization: str | None) -> Owner:
        """Return who sends this Authorization header.

        Raises:
            AuthenticationError: nobody who is known.
        """
        if not self._owners:
            return Owner()
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise AuthenticationError("Send an API key: 'Authorization: Bearer <key>'.")
        given = _digest(key.strip())
        found: Owner | None = None
        for known, owner in self._owners.items():  # all of them, so that time tells nothing
            if compare_digest(known, given):
                found = owner
        if found is None:
            raise AuthenticationError("The API key is not known to this service. Ask its operator for one.")
        return found


def without_tag(text: str) -> str:
    """Return a message with stored ids as their owners know them."""
    return _TAG.sub("", text)


def _digest(key: str) -> str:
    return blake3.blake3(key.encode(), derive_key_context="framekeep api key").hexdigest(length=16)
