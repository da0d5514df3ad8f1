"""Where sessions come from and go to: the words for it, and the engine behind each.

The only module of the migration that knows which engines there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from framekeep.config import REDIS_SCHEMES, without_password
from framekeep.engines.lmdb_store import FILE
from framekeep.errors import InvalidInputError, NotFoundError
from framekeep.names import digest_of

if TYPE_CHECKING:
    from framekeep.config import Settings
    from framekeep.engines.base import Engine

PICKLES = "pickles:"
REDIS = "redis"
"""The word for the Redis of the settings, so that no password need stand on a command line."""


class NoSourceError(NotFoundError):
    """There is nothing to migrate from."""

    code = "no_source"


class Kind(Enum):
    """What a place is."""

    DIRECTORY = auto()
    REDIS = auto()
    PICKLES = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """A store, by what the user calls it.

    Attributes:
        kind: what it is.
        shown: its name for messages; no password.
        identity: the same for two spellings of one place, as far as can be told; no credentials.
        path: of a directory.
        url: of a Redis given by URL; "" is the one of the settings.
    """

    kind: Kind
    shown: str
    identity: str
    path: Path = Path()
    url: str = ""


def place(word: str, settings: Settings) -> Place:
    """Return the place that a word on the command line stands for.

    Raises:
        InvalidInputError: it stands for none.
    """
    scheme, separator, _ = word.partition("://")
    if word == REDIS:
        url = settings.redis_url
        return Place(Kind.REDIS, without_password(url), _identity(url, settings.redis_db))
    if separator:
        if scheme not in REDIS_SCHEMES:
            allowed = ", ".join(f"{each}://" for each in REDIS_SCHEMES)
            raise InvalidInputError(
                f"No store is known by {scheme}://. Give a directory, pickles:DIR, 'redis' or a URL with "
                f"{allowed}."
            )
        return Place(Kind.REDIS, without_password(word), _identity(word, None), url=word)
    if word.startswith(PICKLES):
        path = _path(word.removeprefix(PICKLES))
        return Place(Kind.PICKLES, f"{PICKLES}{path}", f"{PICKLES}{path.resolve()}", path)
    path = _path(word)
    return Place(Kind.DIRECTORY, str(path), str(path.resolve()), path)


def open_engine(place: Place, settings: Settings, *, create: bool) -> Engine:
    """Open the engine of a place.

    Args:
        place: a directory or a Redis.
        settings: how Redis is spoken to.
        create: make a store in a directory that has none.

    Raises:
        NoSourceError: there is no store in the directory, and none is to be made.
        ConfigurationError: redis-py is not installed, or the URL is malformed.
        StorageError: of the kind that says what is wrong with the store.
    """
    if place.kind is Kind.DIRECTORY:
        from framekeep.engines.lmdb import LmdbEngine

        if not create and not (place.path / FILE).exists():
            raise NoSourceError(f"There is no store in {place.shown}. Say where it is with --from DIR.")
        return LmdbEngine(place.path)
    if place.kind is Kind.PICKLES:
        raise InvalidInputError("Pickle files are a source only; give another --to.")
    if place.url:
        given: dict[str, object] = {"redis_url": place.url, "redis_db": None}
        if _identity(place.url, 0) != _identity(settings.redis_url, 0):
            # What is said of one is not true of another; files for TLS would contradict a URL without it.
            given |= {"redis_username": None, "redis_password": None}
            if not place.url.startswith("rediss"):
                given |= dict.fromkeys(("redis_ssl_ca_certs", "redis_ssl_certfile", "redis_ssl_keyfile"))
        settings = settings.model_copy(update=given)
    from framekeep.connect import redis_engine

    return redis_engine(settings.redis_url, settings)


def is_empty(place: Place) -> bool:
    """Say whether a place is known to hold nothing, without making a store there."""
    return place.kind is Kind.DIRECTORY and not (place.path / FILE).exists()


def journal_path(places: Sequence[Place], settings: Settings) -> Path:
    """Return where the journal of two stores is, whichever of them is the source.

    Beside the embedded store that is one of them, so that it goes where that goes; else in STORAGE_DIR.
    """
    directories = sorted(each.path.resolve() for each in places if each.kind is Kind.DIRECTORY)
    identities = sorted(each.identity for each in places)
    name = digest_of("\n".join(identities).encode("utf-8", "surrogateescape")).hex()[:8]
    home = directories[0] if directories else settings.storage_dir
    return home / f"migrate-{name}.journal"


def _path(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise InvalidInputError("The name of a directory is missing.")
    return Path(text).expanduser()


def _identity(url: str, db: int | None) -> str:
    parts: SplitResult | None = None
    with suppress(ValueError):
        parts = urlsplit(url)
    if parts is None:  # not in a handler: the error it handles holds parts of the URL
        raise InvalidInputError(
            f"{without_password(url)} is no URL of a Redis. In a user's name or a password, write odd "
            "characters as %XX: %5B for [, %5D for ]."
        )
    query = dict(parse_qsl(parts.query))
    path, number = parts.path, query.pop("db", "0")
    if parts.scheme != "unix":
        path, _, last = path.rpartition("/")
        number = last if last.isdigit() else number
        path += "" if last.isdigit() else f"/{last}".rstrip("/")
    host = parts.netloc.rpartition("@")[2].lower()
    others = sorted((k, v) for k, v in query.items() if "password" not in k and "username" not in k)
    found = urlunsplit((parts.scheme, host, path, urlencode(others), ""))
    return f"{found} {number if db is None else db}"
