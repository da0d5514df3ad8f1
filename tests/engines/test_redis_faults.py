"""The engine keeps its promises over a network that fails."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framekeep.engines.base import Change, Engine, Head, blobs
from framekeep.engines.memory import MemoryEngine
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.errors import BlobMissing, Conflict, StorageUnavailableError
from framekeep.names import Digest, Revision, Space, digest_of, new_revision, space
from framekeep.testing import EngineContract, ManualClock, redis_keyspace
from framekeep.testing.fault_proxy import DIRECTIONS, FaultProxy
from framekeep.testing.redis_servers import Server, server, until

SIZES = [1, 10, 1000, 100_000]
"""Bytes after which a connection is cut."""


class SlowNetwork(EngineContract):
    """The whole contract over a slow network. What tests do behind the engine's back goes straight."""

    ttl_tolerance = 1.0

    @pytest.fixture(autouse=True)
    def _life(self, tmp_path: Path, places: Any, redis_engine: Callable[..., RedisEngine]) -> Iterator[None]:
        self.connect = redis_engine
        self.prefix = f"t{secrets.token_hex(4)}"
        self.straight = redis_engine("valkey", prefix=self.prefix)
        with FaultProxy(places["valkey"].url) as self.proxy:
            self.slow(self.proxy)
            self.start(tmp_path)
            yield
            self.stop()

    def slow(self, proxy: FaultProxy) -> None:
        raise NotImplementedError

    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return self.connect("valkey", url=self.proxy.url, prefix=self.prefix)

    def advance(self, seconds: float) -> None:
        redis_keyspace.age(self.straight, seconds)

    def reopen(self, engine: Engine) -> Engine:
        engine.close()
        return self.make_engine(self.clock)

    def drop_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        client = self.straight._opened().client
        assert client.hdel(self.straight._keys.of(space).blobs, digest) == 1

    def flip_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        client, key = self.straight._opened().client, self.straight._keys.of(space).blobs
        old: Any = client.hget(key, digest)
        client.hset(key, digest, bytes([old[0] ^ 1]) + old[1:])


class TestDelayed(SlowNetwork):
    def slow(self, proxy: FaultProxy) -> None:
        proxy.delay(0.0025)  # there and back: 5 ms


class TestThrottled(SlowNetwork):
    def slow(self, proxy: FaultProxy) -> None:
        proxy.throttle(60_000_000)


# --- one fault, one verb ------------------------------------------------------------------------

SMALL, LARGE, NEW, DROPPED = b"small" * 10, b"large" * 60_000, b"new" * 100_000, b"dropped" * 100
HUGE = [bytes([i]) * 700_000 for i in range(3)]
CONTENTS: dict[Digest, bytes] = {digest_of(each): each for each in (SMALL, LARGE, NEW, DROPPED, *HUGE)}
KEPT = [digest_of(SMALL), digest_of(LARGE)]
FIRST, NEXT = Revision(b"first".ljust(16)), Revision(b"next".ljust(16))
A, B, EXPIRED, MADE = (space("session", id) for id in ("a", "b", "expired", "made"))


def held(*contents: bytes) -> dict[Digest, bytes]:
    return {digest_of(content): content for content in contents}


def prepare(engine: Engine, pass_by: Callable[[float], None]) -> None:
    """Make a store with something of everything."""
    entries = [b"entry %d" % i for i in range(2000)]
    engine.commit(A, Change(None, FIRST, b"head" * 50, held(SMALL, LARGE, DROPPED), log=entries, ttl=600))
    engine.commit(B, Change(None, FIRST, b"head", ttl=600))
    engine.commit(EXPIRED, Change(None, FIRST, b"head", ttl=10))
    pass_by(20)


def _commit(engine: Engine, **change: Any) -> None:
    engine.commit(A, Change(FIRST, NEXT, **{"body": b"next", "log": [b"changed"], "ttl": 900, **change}))


def _health(engine: Engine) -> bool:
    """Probe; what it tells of trouble becomes an error like that of the others."""
    found = engine.health()
    if not found.reachable:
        assert found.error
        raise StorageUnavailableError(found.error)
    return True


VERBS: dict[str, Callable[[Engine], Any]] = {
    "load": lambda engine: body_of(engine.load(A)),
    "create": lambda engine: engine.commit(MADE, Change(None, NEXT, b"made", held(NEW), log=[b"1"], ttl=60)),
    "commit": lambda engine: _commit(engine, blobs=held(NEW), keep=frozenset([*KEPT, *held(NEW)])),
    "commit much": lambda engine: _commit(engine, blobs=held(*HUGE), keep=frozenset([*KEPT, *held(*HUGE)])),
    "delete": lambda engine: _commit(engine, body=None, log=[], ttl=None),
    "stage": lambda engine: engine.stage(A, held(*HUGE)),
    "touch": lambda engine: engine.touch(A, 900),
    "read": lambda engine: blobs(engine, A, KEPT),
    "log": lambda engine: engine.log(A),
    "spaces": lambda engine: sorted(info.space for info in engine.spaces()),
    "count": lambda engine: engine.count(),
    "purge": lambda engine: engine.purge(),
    "discard": lambda engine: engine.discard(A),
    "health": _health,
}

BRIEF: dict[str, Callable[[FaultProxy], None]] = {
    **{f"request cut at {n}": partial(FaultProxy.cut_after, nbytes=n, direction="requests") for n in SIZES},
    **{f"reply cut at {n}": partial(FaultProxy.cut_after, nbytes=n, direction="replies") for n in SIZES},
    "reset": FaultProxy.reset,
    "reply dropped": partial(FaultProxy.drop_replies, count=1),
}
"""Faults that break a connection once."""

LASTING: dict[str, Callable[[FaultProxy], None]] = {
    **{
        f"all {direction} cut at {n}": partial(
            FaultProxy.cut_after, nbytes=n, direction=direction, times=None
        )
        for direction in DIRECTIONS
        for n in SIZES
    },
    "replies dropped": FaultProxy.drop_replies,
    "refused": FaultProxy.refuse,
}
"""Faults that go on until they are healed."""

COMPLETE = ("all requests cut at 1", "replies dropped", "refused")
"""With these nothing gets through."""


def body_of(head: Head | None) -> tuple[bytes, bytes] | None:
    return None if head is None else (head.revision, head.body)


@dataclass
class Seen:
    """What can be seen of a store; expiries in whole minutes."""

    heads: dict[Space, tuple[bytes, bytes, int]]
    logs: dict[Space, list[bytes]]
    blobs: dict[Space, dict[Digest, bytes]]
    count: int

    @classmethod
    def of(cls, engine: Engine) -> Seen:
        spaces = [info.space for info in engine.spaces()]
        heads, logs, found = {}, {}, {}
        for each in spaces:
            head = engine.load(each)
            assert head is not None
            assert head.ttl is not None
            heads[each] = (head.revision, head.body, round(head.ttl / 60))
            logs[each] = engine.log(each)
            found[each] = {}
            for digest in CONTENTS:
                with suppress(BlobMissing):
                    [found[each][digest]] = blobs(engine, each, [digest])
        return cls(heads, logs, found, engine.count())

    def without_staged(self, before: Seen) -> Seen:
        """Return it without blobs that are not in ``before``, if all else is the same."""
        if self.heads != before.heads:
            return self
        kept = {
            each: {digest: blob for digest, blob in found.items() if digest in before.blobs[each]}
            for each, found in self.blobs.items()
        }
        return replace(self, blobs=kept)


@cache
def told_by_the_model(verb: Callable[[Engine], Any]) -> tuple[Seen, Any, Seen]:
    """Return what a store is, what a verb says, and what the store is then."""
    clock = ManualClock()
    model = MemoryEngine(clock=clock)
    prepare(model, clock.advance)
    return Seen.of(model), verb(model), Seen.of(model)


@dataclass
class Store:
    """One store over a failing network, the same without, and what it was and is to be."""

    proxy: FaultProxy
    engine: RedisEngine
    straight: RedisEngine
    verb: Callable[[Engine], Any]

    def __post_init__(self) -> None:
        self.before, self.result, self.after = told_by_the_model(self.verb)
        prepare(self.straight, lambda seconds: redis_keyspace.age(self.straight, seconds))
        assert Seen.of(self.straight) == self.before

    def succeeds(self, *, before: bool = True) -> None:
        """Call the verb: it does what the model does; if it had happened before, it may say so."""
        found = self.verb(self.engine)
        told = {True: [self.result], False: [self.result, False, 0]}[before]
        assert found in told
        assert Seen.of(self.straight) == self.after
        if self.verb is VERBS["purge"]:
            listed = sum(
                each.zcard(key) for each, key in redis_keyspace.keys(self.straight) if b":index:" in key
            )
            assert listed == self.after.count, "what has expired is listed no more"

    def fails(self) -> bool:
        """Call the verb while it may fail; if it does, it fails in one piece and succeeds when healed."""
        failure = None
        try:
            self.succeeds()
        except StorageUnavailableError as error:
            failure = error
        if failure is not None:
            assert failure.retryable
            found = Seen.of(self.straight)
            happened = found == self.after
            assert happened or found.without_staged(self.before) == self.before
        self.proxy.heal()
        if failure is not None:
            self.succeeds(before=not happened)
        self.leaves_no_connection()
        return failure is not None

    def succeeds_soon(self) -> None:
        """Call the verb until it does what the model does: on a busy machine, an answer may come too late."""
        tries = count()

        def done() -> bool:
            try:
                self.succeeds(before=next(tries) == 0)
            except StorageUnavailableError:
                return False
            return True

        until(done, "the verb to be answered")
        self.leaves_no_connection()

    def leaves_no_connection(self) -> None:
        assert self.proxy.connections <= 2, "no connection is left behind"


@pytest.fixture
def proxy(places: Any) -> Iterator[FaultProxy]:
    with FaultProxy(places["valkey"].url) as proxy:
        yield proxy


@pytest.fixture
def engine(proxy: FaultProxy, straight: RedisEngine, redis_engine: Callable[..., RedisEngine]) -> RedisEngine:
    """An engine that waits as long as a busy machine may need: what breaks is told at once."""
    return redis_engine("valkey", url=proxy.url, prefix=straight._keys.prefix, socket_timeout=20)


@pytest.fixture
def straight(redis_engine: Callable[..., RedisEngine]) -> RedisEngine:
    """An engine on the same store, with nothing between."""
    return redis_engine("valkey")


@pytest.fixture(params=["first call", "connected"])
def warm(request: pytest.FixtureRequest, engine: RedisEngine) -> None:
    """An engine that has not called yet, and one that has a connection."""
    if request.param == "connected":
        assert engine.health().reachable


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("fault", BRIEF)
@pytest.mark.usefixtures("warm")
def test_a_connection_that_breaks_once_is_nobodys_concern(
    proxy: FaultProxy, engine: RedisEngine, straight: RedisEngine, fault: str, verb: str
) -> None:
    store = Store(proxy, engine, straight, VERBS[verb])
    BRIEF[fault](proxy)
    store.succeeds()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("fault", LASTING)
@pytest.mark.usefixtures("warm")
def test_a_network_that_fails_leaves_the_old_state_or_the_new(
    proxy: FaultProxy, engine: RedisEngine, straight: RedisEngine, fault: str, verb: str
) -> None:
    store = Store(proxy, engine, straight, VERBS[verb])
    LASTING[fault](proxy)
    assert store.fails() or fault not in COMPLETE


@pytest.mark.parametrize("connected", [False, True], ids=["first call", "connected"])
@pytest.mark.parametrize("verb", VERBS)
def test_who_does_not_answer_is_waited_for_twice_and_no_longer(
    proxy: FaultProxy,
    straight: RedisEngine,
    redis_engine: Callable[..., RedisEngine],
    verb: str,
    connected: bool,
) -> None:
    engine = redis_engine("valkey", url=proxy.url, prefix=straight._keys.prefix, socket_timeout=0.1)
    store = Store(proxy, engine, straight, VERBS[verb])
    if connected:
        until(lambda: engine.health().reachable, "it is connected")
    proxy.black_hole()
    waited: list[float] = []
    while not waited or (waited[-1] >= 0.7 and len(waited) < 10):  # a busy machine makes some longer, not all
        start = time.monotonic()
        with pytest.raises(StorageUnavailableError, match="did not answer in time"):
            VERBS[verb](engine)
        waited.append(time.monotonic() - start)
    assert 0.2 <= min(waited) < 0.7  # twice 0.1 s and a pause; nested retries are 0.8 s and more
    assert Seen.of(straight) == store.before
    proxy.heal()
    store.succeeds_soon()


@pytest.mark.parametrize("nth", range(2, 8))
@pytest.mark.parametrize("verb", ["commit much", "stage", "read", "spaces", "count", "purge", "health"])
def test_any_reply_of_a_verb_that_asks_several_times_may_be_lost(
    proxy: FaultProxy, engine: RedisEngine, straight: RedisEngine, verb: str, nth: int
) -> None:
    assert engine.health().reachable
    store = Store(proxy, engine, straight, VERBS[verb])
    proxy.drop_replies(1, after=nth - 1)
    store.succeeds(before=verb != "purge")  # which is not told how many a lost reply spoke of


def test_to_discard_nothing_discards_nothing_when_the_reply_is_lost(
    proxy: FaultProxy, engine: RedisEngine
) -> None:
    assert engine.health().reachable
    proxy.drop_replies(1)
    assert engine.discard(MADE) is False


@pytest.mark.parametrize("nth", range(2, 8))
@pytest.mark.parametrize("verb", ["commit much", "stage", "read", "spaces", "count", "purge", "health"])
def test_any_verb_may_fail_on_its_way(
    proxy: FaultProxy, engine: RedisEngine, straight: RedisEngine, verb: str, nth: int
) -> None:
    assert engine.health().reachable
    store = Store(proxy, engine, straight, VERBS[verb])
    proxy.drop_replies(after=nth - 1)
    assert store.fails() or nth > 2


# --- with replicas to wait for ------------------------------------------------------------------


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a replica."""
    directory = tmp_path_factory.mktemp("replicated")
    config: dict[str, str | int] = {"repl-diskless-sync-delay": 0}
    with server(directory / "primary", config=config) as primary:
        following = {"replicaof": f"127.0.0.1 {primary.port}"}
        with server(directory / "replica", config=following), primary.client() as asked:
            asked.set("a write", "to wait for", px=1000)
            until(lambda: asked.wait(1, 1000), "the replica to have it")
            yield primary


@pytest.fixture
def waiting(replicated: Server) -> Iterator[Callable[[str], Store]]:
    """Return a store whose engine waits for the replica."""
    engines: list[RedisEngine] = []

    def store(verb: str) -> Store:
        assert engines[0].health().reachable
        return Store(proxy, *engines, VERBS[verb])

    with FaultProxy(replicated.url) as proxy:
        options = RedisOptions(proxy.url, socket_timeout=10)
        engines.append(RedisEngine(options, min_replicas=1, replica_timeout=8))
        engines.append(RedisEngine(RedisOptions(replicated.url)))
        yield store
        redis_keyspace.remove(engines[1])
        for each in engines:
            each.close()


@pytest.mark.parametrize("verb", ["create", "commit", "commit much", "delete", "discard"])
@pytest.mark.parametrize("fault", BRIEF)
def test_who_waits_for_replicas_is_not_concerned_either(
    waiting: Callable[[str], Store], fault: str, verb: str
) -> None:
    store = waiting(verb)
    BRIEF[fault](store.proxy)
    store.succeeds()


@pytest.mark.parametrize("verb", ["create", "commit", "commit much", "delete", "discard"])
@pytest.mark.parametrize("fault", LASTING)
def test_who_waits_for_replicas_finds_the_old_state_or_the_new(
    waiting: Callable[[str], Store], fault: str, verb: str
) -> None:
    store = waiting(verb)
    LASTING[fault](store.proxy)
    assert store.fails() or fault not in COMPLETE


# --- many faults, many changes ------------------------------------------------------------------

_CONTENTS = [b"", b"one", b"two" * 700, b"five" * 30_000, *HUGE[:2]]
_FAULTS = st.one_of(
    st.just(FaultProxy.heal),
    st.builds(
        lambda n, direction, times: partial(FaultProxy.cut_after, nbytes=n, direction=direction, times=times),
        st.integers(0, 200_000) | st.integers(0, 500),
        st.sampled_from(DIRECTIONS),
        st.integers(1, 3),
    ),
    st.just(FaultProxy.reset),
    st.builds(
        lambda n, m: partial(FaultProxy.drop_replies, count=n, after=m), st.integers(1, 3), st.integers(0, 4)
    ),
    *[st.just(partial(FaultProxy.drop_replies, count=n)) for n in (1, 2, 3)],
    st.just(FaultProxy.refuse),
    st.just(partial(FaultProxy.delay, seconds=0.002)),
    st.just(partial(FaultProxy.throttle, bytes_per_second=20_000_000)),
)
_BLOBS = st.lists(st.sampled_from(range(len(_CONTENTS))), max_size=4, unique=True)
_STEPS = st.one_of(
    st.fixed_dictionaries(
        {
            "do": st.just("commit"),
            "blobs": _BLOBS,
            "keep": st.booleans(),
            "log": st.lists(st.binary(max_size=20), max_size=3),
            "stale": st.sampled_from([False, False, False, True]),
            "body": st.binary(max_size=40) | st.none(),
        }
    ),
    st.fixed_dictionaries({"do": st.just("stage"), "blobs": _BLOBS}),
    st.fixed_dictionaries({"do": st.just("touch"), "ttl": st.sampled_from([600.0, 900.0])}),
    st.fixed_dictionaries({"do": st.just("discard")}),
)


def _called(engine: Engine, step: dict[str, Any], revision: Revision, expected: Revision | None) -> Any:
    """Make one step; return what came of it."""
    given = held(*(_CONTENTS[i] for i in step.get("blobs", ())))
    try:
        match step["do"]:
            case "commit":
                keep = frozenset(given) if step["keep"] else None
                change = Change(expected, revision, step["body"], given, keep, step["log"], 600.0)
                return engine.commit(A, change)
            case "stage":
                return engine.stage(A, given)
            case "touch":
                return engine.touch(A, step["ttl"])
            case "discard":
                return engine.discard(A)
    except Conflict:
        return Conflict


@pytest.mark.timeout(600)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(_FAULTS, st.booleans(), _STEPS), max_size=12))
def test_random_faults_never_make_a_change_half_or_twice(
    proxy: FaultProxy, engine: RedisEngine, straight: RedisEngine, steps: list[Any]
) -> None:
    """Whoever is told of a failure asks again with the same change, or looks what has become of it."""
    model = MemoryEngine()
    proxy.heal()
    redis_keyspace.remove(straight)
    for fault, asks_again, step in steps:
        revision, head = new_revision(), model.load(A)
        expected = None if head is None else head.revision
        if step.get("stale"):
            expected = Revision(b"stale".ljust(16))
        before = Seen.of(model)
        fault(proxy)
        try:
            found, told = _called(engine, step, revision, expected), True
        except StorageUnavailableError as error:
            assert error.retryable  # noqa: PT017 - it may as well not be raised
            told = False
        if not told and asks_again:
            proxy.heal()
            found, told = _called(engine, step, revision, expected), step["do"] != "discard"
        if not told and Seen.of(straight).without_staged(before) == before:
            with suppress(StorageUnavailableError):  # what is staged may be there or not, so it is made sure
                proxy.heal()
                _called(engine, step, revision, expected)
        result = _called(model, step, revision, expected)
        assert not told or found == result
        assert Seen.of(straight) == Seen.of(model)


@pytest.mark.parametrize("seed", range(3))
def test_no_acknowledged_change_of_many_writers_is_lost_and_none_happens_twice(
    proxy: FaultProxy, straight: RedisEngine, redis_engine: Callable[..., RedisEngine], seed: int
) -> None:
    engine = redis_engine("valkey", url=proxy.url, prefix=straight._keys.prefix, socket_timeout=0.3)
    random = Random(seed)
    spaces = [space("session", f"writer-{i}") for i in range(4)]
    over = threading.Event()
    failures: list[str] = []
    acknowledged: dict[Space, list[bytes]] = {each: [] for each in spaces}

    def write(mine: Space) -> None:
        """Commit again and again until it is acknowledged, then the next."""
        expected: Revision | None = None
        while not over.is_set():
            entry = b"%d" % len(acknowledged[mine])
            change = Change(expected, new_revision(), entry, held(NEW), log=[entry], ttl=600)
            for _ in range(10_000):
                try:
                    engine.commit(mine, change)
                    break
                except StorageUnavailableError as error:
                    failures.append(str(error))
            acknowledged[mine].append(entry)
            expected = change.revision

    def moved(commits: int, what: str, or_failed: int | None = None) -> None:
        """Wait for so many more commits, or failures."""

        def left() -> bool:
            done = sum(map(len, acknowledged.values())) - before
            return done >= commits or (or_failed is not None and len(failures) >= failed + or_failed)

        before, failed = sum(map(len, acknowledged.values())), len(failures)
        until(left, what, 30)

    threads = [threading.Thread(target=write, args=(each,)) for each in spaces]
    for thread in threads:
        thread.start()
    faults: list[Callable[[], None]] = [
        proxy.reset,
        lambda: proxy.cut_after(random.randrange(300_000), "requests", random.randrange(1, 9)),
        lambda: proxy.cut_after(random.randrange(50), "replies", random.randrange(1, 9)),
        lambda: proxy.drop_replies(random.randrange(1, 9)),
        proxy.black_hole,
        proxy.refuse,
    ]
    try:
        for _ in range(20):
            random.choice(faults)()
            moved(20, "the fault to be felt, or to be over", or_failed=3)
            proxy.heal()
            moved(5, "writers to go on when it is healed")
    finally:
        over.set()
        proxy.heal()
        for thread in threads:
            thread.join()
    assert failures, "faults were felt"
    for each in spaces:
        assert straight.log(each) == acknowledged[each]
