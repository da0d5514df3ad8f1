"""Which store a standby stands for, and what other standbys there are on a machine.

A standby holds sessions of one store, and they are never served or brought to another by themselves. Which
store that is goes by where the settings say that it is (docs/design/0011): the servers, the database, the
service at the Sentinels and the prefix. Passwords, users, time limits and TLS say nothing of it, nor does the
order of servers; of a Cluster or of Sentinels one that was named before is enough.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.lmdb_store import FILE, LOCK_FILE
from framekeep.errors import FramekeepError
from framekeep.names import digest_of, new_id
from framekeep.standby.markers import PREFIX
from framekeep.standby.replay import kept

if TYPE_CHECKING:
    from framekeep.engines.redis_topology import Place

FORMAT: Final = 1
RECORD: Final = "store.json"
_DIRECTORY: Final = "standby"


@dataclass(frozen=True, slots=True)
class Store:
    """A store in Redis, as settings name it; no secrets.

    Attributes:
        kind: "single", "unix", "sentinel" or "cluster".
        hosts: ``host:port`` of the servers, sorted; none for a socket.
        name: the service at the Sentinels, or the path of the socket.
        db: number of the database.
        prefix: what the names of its keys begin with.
    """

    kind: str
    hosts: tuple[str, ...]
    name: str
    db: int
    prefix: str

    @classmethod
    def at(cls, place: Place, prefix: str) -> Store:
        """Return the store at a place."""
        hosts = tuple(sorted({_host(host, port) for host, port in place.hosts}))
        name = os.path.normpath(place.path) if place.kind == "unix" else place.service
        return cls(place.kind, hosts, name, place.db, prefix)

    def is_at(self, other: Store) -> bool:
        """Say whether both are one store, as far as their names tell."""
        if replace(self, hosts=()) != replace(other, hosts=()):
            return False
        return not self.hosts or not {*self.hosts}.isdisjoint(other.hosts)

    @property
    def directory(self) -> str:
        """What its standby is called where there is none yet."""
        return f"{_DIRECTORY}-{digest_of(json.dumps(asdict(self), sort_keys=True).encode()).hex()[:12]}"

    def __str__(self) -> str:
        """Return it in words."""
        where = "/".join(part for part in (",".join(self.hosts), self.name) if part)
        return f"{self.kind} {where}, database {self.db}, prefix {self.prefix}"


@dataclass(frozen=True, slots=True)
class Standby:
    """A standby of this machine.

    Attributes:
        directory: where it is.
        store: what it stands for; None where that is not known.
        waiting: sessions, temporary storages and kept replies that have not been brought back.
        kept: those on the operator's list.
        problem: why it cannot be read; then nothing is known of it.
    """

    directory: Path
    store: Store | None
    waiting: int = 0
    kept: int = 0
    problem: str | None = None


def directory_of(storage_dir: Path, store: Store, members: frozenset[str] = frozenset()) -> Path:
    """Return where the standby of a store is, or is to be.

    Args:
        storage_dir: of the machine.
        store: it.
        members: further servers of it, as a Cluster has told now.
    """
    own = storage_dir / store.directory
    if (own / FILE).exists():
        return own
    known = replace(store, hosts=tuple(sorted({*store.hosts, *members})))
    for directory in _directories(storage_dir):
        recorded = _recorded(directory)
        if recorded is not None and recorded.is_at(known):
            return directory
    return own


def record(directory: Path, store: Store) -> None:
    """Write down what a standby stands for, with the servers that were named before."""
    before = _recorded(directory)
    if before is not None and before.is_at(store):
        store = replace(store, hosts=tuple(sorted({*store.hosts, *before.hosts})))
    if store == before:
        return
    new = directory / f"{RECORD}.{new_id()}"
    new.write_text(json.dumps({"format": FORMAT, **asdict(store)}, indent=2) + "\n", encoding="utf-8")
    new.replace(directory / RECORD)


def look(directory: Path) -> Standby:
    """Return what is in a standby."""
    store = _recorded(directory)
    try:
        local = LmdbEngine(directory)
    except FramekeepError as error:
        return Standby(directory, store, problem=str(error))
    try:
        return Standby(directory, store, local.count(PREFIX), len(kept(local)))
    except FramekeepError as error:
        return Standby(directory, store, problem=str(error))
    finally:
        local.close()


def others(storage_dir: Path, own: Path | None = None) -> list[Standby]:
    """Return the standbys of a machine that hold something, or may, without one's own."""
    found = [look(directory) for directory in _directories(storage_dir) if directory != own]
    return [each for each in found if each.waiting or each.kept or each.problem]


def in_use(directory: Path) -> bool:
    """Say whether anybody has a standby open."""
    file = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _directories(storage_dir: Path) -> list[Path]:
    return sorted(file.parent for file in storage_dir.glob(f"{_DIRECTORY}*/{FILE}"))


def _recorded(directory: Path) -> Store | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        found: dict[str, Any] = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        if found["format"] == FORMAT:
            hosts = tuple(map(str, found["hosts"]))
            return Store(found["kind"], hosts, found["name"], int(found["db"]), found["prefix"])
    return None


def _host(host: str, port: int) -> str:
    """Return an address in one of its forms."""
    host = host.rstrip(".").lower()
    host = "127.0.0.1" if host == "localhost" else host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
