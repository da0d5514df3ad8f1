"""The Redis engine: spaces in Redis or Valkey, shared by the workers of many machines.

A space is three keys in one slot. Each step is one script, so it is atomic in every topology; blobs that are
many go ahead of it in bounded pieces, and so do reads, since a server does nothing else while it moves bytes.
Every change may be sent twice (I1): the head knows its last revisions, so a change whose reply was lost is
known for having happened, even if others came after it. Every stored key is described in docs/format.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from typing import Any

from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from framekeep.engines import scripts
from framekeep.engines.base import WHOLE, Buffer, Change, Head, Health, SpaceInfo, Visit
from framekeep.engines.recent_heads import RecentHeads
from framekeep.engines.redis_errors import translated
from framekeep.engines.redis_health import facts
from framekeep.engines.redis_indexes import held
from framekeep.engines.redis_keys import Keys, SpaceKeys, groups_for, remembered
from framekeep.engines.redis_topology import Admission, RedisOptions, Topology
from framekeep.engines.redis_wire import (
    FORMAT,
    PIECE,
    beyond,
    check_format,
    damaged,
    digests_of,
    head_of,
    milliseconds,
    pieces,
    time_of,
)
from framekeep.engines.scripts import Script
from framekeep.errors import (
    BlobMissing,
    ConfigurationError,
    Conflict,
    FramekeepError,
    StorageFullError,
    StorageOverloadedError,
    StorageUnavailableError,
    TooFewReplicasError,
)
from framekeep.names import DIGEST_SIZE, Digest, Revision, Space, digest_of, new_id, new_revision

__all__ = ["FORMAT", "RedisEngine", "RedisOptions"]

STAGED_SECONDS = 3600.0
"""How long staged blobs of a space without a head are kept for their commit."""

_READ = 4 << 20  # bytes asked for with one command, roughly
_FIRST = 8  # blobs asked for before their sizes are known
_ENTRIES = 10_000  # of a log, in one reply
_LISTED = 1000  # names of one index, in one reply
_STAGINGS = 3  # how often blobs that a commit lost are staged anew
_REDIRECTS = 16  # how often a Cluster may send a commit elsewhere, as redis-py has it
_AGREEMENTS = 5  # how often another server may take the place of the one that was asked
_TRY_AGAIN = 0.05  # seconds until keys that are being moved are asked for again, as redis-py has it
_NOBODY = Space("lock:health")  # a space that is never made
_DONE, _CONFLICT, _MISSING, _NEWER = range(4)


class RedisEngine:
    """Keep spaces in Redis.

    Args:
        options: where Redis is and how it is reached.
        prefix: what the names of all keys begin with: several stores may share a server.
        min_replicas: a commit is acknowledged only when so many replicas have it.
        replica_timeout: seconds to wait for them.

    Raises:
        ConfigurationError: the URL is malformed, or ``replica_timeout`` is not below the socket's.
    """

    def __init__(
        self,
        options: RedisOptions,
        *,
        prefix: str = "framekeep",
        min_replicas: int = 0,
        replica_timeout: float = 1.0,
    ) -> None:
        if min_replicas and replica_timeout >= options.socket_timeout:
            raise ConfigurationError(
                f"REDIS_WAIT_TIMEOUT ({replica_timeout:g} s) must be below REDIS_SOCKET_TIMEOUT "
                f"({options.socket_timeout:g} s): nobody would hear how many replicas there were."
            )
        self._keys = Keys(prefix)
        self._min_replicas = min_replicas
        self._replica_timeout = replica_timeout
        self._admission = Admission(options.max_connections, options.socket_timeout)
        self._recent = RecentHeads()
        self._topology: Topology | None = Topology(options)
        self.where = str(self._topology.place)

    def parts_of(self, space: Space) -> tuple[str, ...]:
        """Return what may fail without the rest, of a Cluster: the server that has a space, and the slot."""
        topology, slot = self._opened(), self._keys.tag_of(space)
        return (topology.server_of(slot) or WHOLE, slot) if topology.is_cluster else ()

    def parts(self) -> frozenset[str] | None:
        """Return all that ``parts_of`` may return now; None: that is not known."""
        servers = None if self._topology is None else self._topology.servers()
        return None if servers is None else servers.union(self._keys.tags)

    # --- heads ----------------------------------------------------------------------------------

    def load(self, space: Space) -> Head | None:
        """Return the head; None when the space is absent or expired.

        Raises:
            SessionDamagedError: it was removed behind our back, and the log was left.
            NewerFormatError: it was written by a newer Framekeep.
            TooFewReplicasError: it is absent where we asked, and that may not be the primary any more.
        """
        keys = self._keys.of(space)
        with self._connected() as topology:
            found = self._run(topology, scripts.LOAD, [keys.head, keys.log])
            if not found and self._min_replicas:
                found = self._loaded_where_it_is_known(topology, space, keys)
        self._recent.saw(space, head := head_of(space, found))
        return head

    def _loaded_where_it_is_known(self, topology: Topology, space: Space, keys: SpaceKeys) -> Any:
        """Load a head from a server that enough replicas follow.

        One that stood still, or was started again, takes itself for the primary until it hears of another
        that has taken its place. Nobody follows it, and what was made since is absent there.
        """
        found, replicas = self._run_and_count(topology, scripts.LOAD, [keys.head, keys.log])
        if not found and replicas < self._min_replicas:
            raise TooFewReplicasError(
                f"Redis at {self.where} does not have {space}, and only {replicas} of {self._min_replicas} "
                "replicas follow it (REDIS_MIN_REPLICAS): another server may have taken its place. Try again."
            )
        return found

    def glance(self, space: Space) -> Head | None:
        """Return None: whatever is known of a space comes over a network."""
        self._opened()
        return None

    def guess(self, space: Space) -> Head | None:
        """Return the head as this process has seen it last."""
        self._opened()
        return self._recent.guess(space)

    def commit(self, space: Space, change: Change) -> None:
        """Make ``change`` as one step.

        Raises:
            Conflict: the space's revision is neither ``expected`` nor already ``change.revision``.
            BlobMissing: ``keep`` names a blob that is nowhere.
            StorageFullError: Redis has reached its maxmemory; nothing was stored.
            StorageUnavailableError: no answer, or too few replicas have it yet: whether it is stored can be
                found out by sending the same change again.
        """
        keys = self._keys.of(space)
        if change.body is None:
            self._forget(space, keys, change)
            return
        try:
            code, told = self._staged_and_committed(space, keys, change)
        except StorageFullError:
            if change.revision not in self._revisions(keys):
                raise
            if self._min_replicas:
                raise TooFewReplicasError(
                    f"Redis at {self.where} has reached its maxmemory and cannot say whether its replicas "
                    "have the change: it is stored, but a failover may lose it. Make room and try again."
                ) from None
            return
        match code:
            case int(code) if code == _DONE:
                self._made(space, change)
            case int(code) if code == _CONFLICT:
                self._recent.saw(space, head_of(space, told))
                raise Conflict(f"{space} is not at the expected revision.")
            case int(code) if code == _MISSING:
                raise BlobMissing(digests_of(told))
            case int(code) if code == _NEWER:
                check_format(told)

    def _staged_and_committed(self, space: Space, keys: SpaceKeys, change: Change) -> tuple[int, bytes]:
        given = {d: b for d, b in change.blobs.items() if change.keep is None or d in change.keep}
        ahead = beyond(given, PIECE)
        for _ in range(_STAGINGS):
            if ahead and not self._has_happened(keys, change):
                self.stage(space, ahead)
            sent = {digest: blob for digest, blob in given.items() if digest not in ahead}
            code, told = self._commit(space, keys, change, sent, frozenset(ahead))
            if code != _MISSING or not ahead.keys() & digests_of(told):
                break
        return code, told

    def _commit(
        self,
        space: Space,
        keys: SpaceKeys,
        change: Change,
        sent: Mapping[Digest, Buffer],
        ahead: frozenset[Digest],
    ) -> tuple[int, bytes]:
        arguments: list[Any] = [
            space,
            change.expected or b"",
            change.revision,
            bytes(change.body or b""),
            b"" if change.ttl is None else milliseconds(change.ttl),
            b"0" if change.keep is None else b"1",
            b"".join(change.keep or ()),
            b"".join(ahead),
            b"1" if self._min_replicas else b"0",
            FORMAT,
            len(change.log),
            *change.log,
        ]
        for digest, blob in sent.items():
            arguments += (digest, blob)
        names = [keys.head, keys.blobs, keys.log, *keys.indexes, *([] if change.expected else [keys.deleted])]
        return self._change(scripts.COMMIT, names, arguments)

    def _forget(self, space: Space, keys: SpaceKeys, change: Change) -> None:
        self._recent.saw(space, None)
        code, told = self._change(
            scripts.FORGET,
            [keys.head, keys.blobs, keys.log, keys.deleted, *keys.indexes],
            [space, change.expected or b"", change.revision, b"0", FORMAT, *remembered(space)],
        )
        if code == _CONFLICT:
            raise Conflict(f"{space} is not at the expected revision.")
        if code == _NEWER:
            check_format(told)

    def _made(self, space: Space, change: Change) -> None:
        """Remember the head that a change has made."""
        ttl = change.ttl
        if ttl is None:  # as it was before
            before = self._recent.guess(space)
            if before is None or before.revision != change.expected:
                self._recent.saw(space, None)
                return
            ttl = before.ttl
        self._recent.saw(space, Head(change.revision, bytes(change.body or b""), ttl))

    def _has_happened(self, keys: SpaceKeys, change: Change) -> bool:
        """Say so before much is sent for nothing; raise Conflict if it can not happen (any more)."""
        known = self._revisions(keys)
        if change.revision in known:
            return True
        if (known[0] if known else None) != change.expected:
            raise Conflict("The space is not at the expected revision.")
        return False

    def _revisions(self, keys: SpaceKeys) -> list[Revision]:
        """Return the space's revision and those before it; empty when it is absent."""
        with self._connected() as topology:
            found: list[Any] = topology.client.hmget(keys.head, ["r", "p"])
        return list(map(Revision, digests_of(b"".join(each or b"" for each in found))))

    def _change(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> tuple[int, Any]:
        with self._connected() as topology:
            if self._min_replicas:
                found = self._run_and_wait(topology, script, keys, arguments)
            else:
                found = self._run(topology, script, keys, arguments)
        return found[0], found[1] if len(found) > 1 else b""

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        """Let the space expire ``ttl`` seconds from now; return its revision, None when absent or expired."""
        keys = self._keys.of(space)
        for _ in range(_AGREEMENTS):
            with self._connected() as topology:
                found = self._run(
                    topology,
                    scripts.TOUCH,
                    [keys.head, keys.blobs, keys.log, *keys.indexes],
                    [space, milliseconds(ttl), at or b""],
                )
            seen = self._recent.guess(space)
            self._recent.saw(space, replace(seen, ttl=ttl) if seen and seen.revision == found else None)
            if found is not None:
                return Revision(found)
            if not self._min_replicas or self.load(space) is None:
                return None
            # Another server has taken the place of the one that was asked.
        raise StorageUnavailableError(
            f"The servers of Redis at {self.where} do not agree on {space}; a failover? Try again."
        )

    # --- blobs ----------------------------------------------------------------------------------

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        """Store blobs ahead of a commit, about 1 MiB with each command.

        Raises:
            StorageFullError: there is no room; some may be stored, and expire with the space.
        """
        keys = self._keys.of(space)
        for piece in pieces(blobs):
            with self._connected() as topology:
                self._run(
                    topology,
                    scripts.STAGE,
                    [keys.head, keys.blobs],
                    [milliseconds(STAGED_SECONDS), *(part for each in piece for part in each)],
                )

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        """Call ``visit(i, buffer)`` once for each ``digests[i]``, in order; about 4 MiB with each command.

        Raises:
            BlobMissing: with every missing digest, before the first visit or after some.
        """
        key, count, size, start = self._keys.of(space).blobs, _FIRST, 0, 0
        self._opened()
        while start < len(digests):
            wanted = digests[start : start + count]
            with self._connected() as topology:
                found: list[Any] = topology.client.hmget(key, list(wanted))
            missing = [digest for digest, blob in zip(wanted, found, strict=True) if blob is None]
            if missing:
                raise BlobMissing([*missing, *self._missing(key, digests[start + len(wanted) :])])
            for i, blob in enumerate(found, start):
                visit(i, memoryview(blob))
                size += len(blob)
            start += len(wanted)
            count = max(1, min(4 * count, _READ * start // (size or 1)))

    def _missing(self, key: str, digests: Sequence[Digest]) -> list[Digest]:
        if not digests:
            return []
        with self._connected() as topology:
            pipe = topology.client.pipeline(transaction=False)
            for digest in digests:
                pipe.hexists(key, digest)
            return [digest for digest, there in zip(digests, pipe.execute(), strict=True) if not there]

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        """Return log entries ``[start:stop]``, oldest first; empty when absent.

        Raises:
            SessionDamagedError: entries are missing.
        """
        keys = self._keys.of(space)
        entries: list[bytes] = []
        while stop is None or start < stop:
            end = start + _ENTRIES if stop is None else min(stop, start + _ENTRIES)
            with self._connected() as topology:
                due, there, found = self._run(topology, scripts.LOG, [keys.head, keys.log], [start, end - 1])
            if due is None:
                raise damaged(space, "log", "how long its log is, is no number")
            if due != there:
                raise damaged(space, "log", f"{there} of {due} entries of its log are there")
            entries += found
            start += len(found)
            if len(found) < _ENTRIES:
                break
        return entries

    # --- listing and freeing --------------------------------------------------------------------

    def spaces(self, prefix: str = "") -> Iterator[SpaceInfo]:
        """Yield the live spaces whose name starts with ``prefix``, as their indexes have them."""
        for group in groups_for(prefix):
            seen: set[Space] = set()
            cursors = dict.fromkeys(self._keys.indexes(group), 0)
            while cursors:
                pages, now = self._pages(cursors)
                for (cursor, page), (key, _) in zip(pages, list(cursors.items()), strict=True):
                    for name, expiry in page:
                        space = Space(name.decode(errors="ignore"))
                        if len(space) != len(name):  # none of ours: they are ASCII
                            continue
                        left = expiry - now * 1000
                        if left > 0 and space.startswith(prefix) and space not in seen:
                            seen.add(space)
                            yield SpaceInfo(space, None if left == float("inf") else left / 1000)
                    cursors[key] = cursor
                cursors = {key: cursor for key, cursor in cursors.items() if cursor}

    def _pages(self, cursors: Mapping[str, int]) -> tuple[list[Any], float]:
        """Return the next page of each index, and the time."""
        with self._connected() as topology:
            now = topology.of_primaries(time_of)
            pipe = topology.client.pipeline(transaction=False)
            for key, cursor in cursors.items():
                pipe.zscan(key, cursor, count=_LISTED)
            return pipe.execute(), now

    def count(self, prefix: str = "") -> int:
        """Return how many live spaces start with ``prefix``.

        For a whole group ("session:", or "session:owner.") the indexes are only asked how many they hold.
        """
        groups = groups_for(prefix)
        if any(not group.startswith(prefix) for group in groups):
            return sum(1 for _ in self.spaces(prefix))
        keys = [key for group in groups for key in self._keys.indexes(group)]
        with self._connected() as topology:
            return sum(max(0, total - expired) for total, expired in held(topology, keys))

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        """Take at most ``limit`` expired spaces out of the indexes; Redis itself frees what they held.

        Returns how many, at least: those of a reply that was lost are not known.
        """
        freed = 0
        keys = [key for group in groups_for(prefix) for key in self._keys.indexes(group)]
        with self._connected() as topology:
            for key, (_, expired) in zip(keys, held(topology, keys), strict=True):
                if expired and freed < limit:  # so that what is mostly nothing is not asked of each index
                    freed += self._run(topology, scripts.PURGE, [key], [prefix, limit - freed])
        return freed

    def discard(self, space: Space) -> bool:
        """Delete a space whatever its head holds; False when it is not there."""
        keys = self._keys.of(space)
        self._recent.saw(space, None)
        _, heads = self._change(
            scripts.FORGET,
            [keys.head, keys.blobs, keys.log, keys.deleted, *keys.indexes],
            [space, b"", new_revision(), b"1", FORMAT, *remembered(space)],
        )
        return bool(heads)

    def deleted(self, space: Space) -> tuple[Revision, ...] | None:
        """Return the last states of a space that was deleted and not made anew, newest first.

        None: nothing is known of a deletion (any more; see ``DELETED_SECONDS``).
        """
        keys = self._keys.of(space)
        with self._connected() as topology:
            pipe = topology.client.pipeline(transaction=False)
            pipe.exists(keys.head)
            pipe.get(keys.deleted)
            there, found = pipe.execute()
        anew = found is not None and len(found) == DIGEST_SIZE + 1  # since then, and it has expired
        return None if there or anew or not found else tuple(map(Revision, digests_of(found[DIGEST_SIZE:])))

    def members(self) -> frozenset[str]:
        """Return ``host:port`` of the servers of a Cluster, as they call themselves; elsewhere none."""
        with self._connected() as topology:
            return topology.members()

    # --- life -----------------------------------------------------------------------------------

    def health(self) -> Health:
        """Probe the engine; never raises."""
        start = time.perf_counter()
        try:
            with self._connected() as topology:
                details = facts(topology)
                start = time.perf_counter()
                keys = self._keys.of(_NOBODY)  # so that a user's rights, and an old server, are found out
                self._run(topology, scripts.LOAD, [keys.head, keys.log])
                latency = (time.perf_counter() - start) * 1000
        except FramekeepError as error:
            busy = isinstance(error, StorageOverloadedError)
            return Health("redis", False, (time.perf_counter() - start) * 1000, str(error), busy=busy)
        return Health("redis", True, latency, None, details)

    def rehearse(self) -> None:
        """Do once all that a session needs, on a space of its own: what is not allowed says so now.

        Waits for no replica. A full memory is no error: reading and deleting go on.

        Raises:
            StorageUnavailableError: Redis does not do one of these things.
        """
        actor = copy(self)
        actor._min_replicas = 0
        space, revision = Space(f"lock:rehearsal-{new_id()}"), new_revision()
        digest = digest_of(b"")
        try:
            with suppress(StorageFullError):
                actor.stage(space, {digest: b"staged"})
                actor.commit(
                    space, Change(None, revision, b"", keep=frozenset([digest]), log=[b""], ttl=10.0)
                )
                actor.commit(space, Change(revision, new_revision(), b"", keep=frozenset(), ttl=10.0))
            actor.load(space)
            actor.touch(space, 10.0)
            actor.log(space)
            actor.count(space)
            actor.purge(space)
            with actor._connected() as topology:  # what purge does only where something has expired
                actor._run(topology, scripts.PURGE, [actor._keys.of(space).indexes[0]], [space, 1])
        finally:
            actor.discard(space)

    def close(self) -> None:
        """Close the connections; a closed engine raises StorageUnavailableError. Idempotent."""
        topology, self._topology = self._topology, None
        if topology is not None:
            topology.close()

    def _opened(self) -> Topology:
        if self._topology is None:
            raise StorageUnavailableError(f"The engine on Redis at {self.where} is closed.")
        return self._topology

    @contextmanager
    def _connected(self) -> Iterator[Topology]:
        """Give the connections, when there is a free one, and speak of errors in our words."""
        topology = self._opened()
        if not self._admission.enter():
            raise StorageOverloadedError(
                f"All {self._admission.limit} connections of this process to Redis were in use for "
                f"{self._admission.patience:g} s. Try again; if it stays so, raise REDIS_MAX_CONNECTIONS."
            )
        try:
            with translated(self.where), topology.led_on():
                yield topology
        finally:
            self._admission.leave()

    def _run(
        self, topology: Topology, script: Script, keys: Sequence[str], arguments: Sequence[Any] = ()
    ) -> Any:
        """Run a script by its name; a server that does not know it (any more) is sent its text."""
        client = topology.client
        try:
            return client.evalsha(script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(script.source, len(keys), *keys, *arguments)

    def _run_and_wait(
        self, topology: Topology, script: Script, keys: Sequence[str], arguments: Sequence[Any]
    ) -> Any:
        """Run a script that writes, and wait on the same connection until enough replicas have that."""
        found, replicas = self._run_and_count(topology, script, keys, arguments)
        if found[0] == _DONE and replicas < self._min_replicas:
            raise TooFewReplicasError(
                f"Only {replicas} of {self._min_replicas} replicas of Redis at {self.where} have the change "
                f"after {self._replica_timeout:g} s (REDIS_MIN_REPLICAS): it is stored, but a failover may "
                "lose it. Look whether it is there, or try again."
            )
        return found

    def _run_and_count(
        self, topology: Topology, script: Script, keys: Sequence[str], arguments: Sequence[Any] = ()
    ) -> tuple[Any, int]:
        """Run a script; return what it gives, and how many replicas have all that its connection has sent."""
        patience = milliseconds(self._replica_timeout)
        node, asking = topology.node(keys[0]), False
        for attempt in range(_REDIRECTS):
            pipe = node.pipeline(transaction=False)
            if asking:
                pipe.execute_command("ASKING")  # type: ignore[no-untyped-call]
            run, known = (pipe.eval, script.source) if attempt else (pipe.evalsha, script.sha)
            run(known, len(keys), *keys, *arguments)
            pipe.wait(self._min_replicas, patience)
            try:
                *_, found, replicas = pipe.execute(raise_on_error=False)
            except (RedisConnectionError, RedisTimeoutError) as error:
                impatient = isinstance(error, RedisTimeoutError) and not topology.asks_again_on_timeout
                if attempt or impatient or not topology.is_cluster:  # elsewhere, the connection asked again
                    raise
                topology.renew()  # this node may have been replaced
                node, asking = topology.node(keys[0]), False
                continue
            match found:
                case Exception() if attempt == _REDIRECTS - 1:
                    raise found
                case NoScriptError():
                    pass
                case ClusterDownError():
                    topology.renew()
                    node, asking = topology.node(keys[0]), False
                case AskError() if topology.is_cluster:  # the slot is on its way there, or has moved there
                    if not (asking := not isinstance(found, MovedError)):
                        topology.renew()  # of those who are asked now, not all may have heard of it
                    node = topology.node_at(found.host, found.port)
                case TryAgainError():  # some of the keys have arrived there
                    time.sleep(_TRY_AGAIN)
                case Exception():
                    raise found
                case _:
                    break
        if isinstance(replicas, Exception):
            raise replicas
        return found, replicas
