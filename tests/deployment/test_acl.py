"""The user of docs/deploy.md may do what the service does, and nothing else."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis

from framekeep.config import Settings
from framekeep.engines.base import Change, blobs
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.errors import BlobMissing, StorageUnavailableError
from framekeep.manager import DataManager
from framekeep.names import digest_of, new_revision, space
from framekeep.testing.redis_servers import Server, cluster, server, until, valkey_binary

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
PASSWORD = "a-long-password"

CLUSTER = {"command", "cluster|slots", "asking"}
"""What is only asked of a Cluster."""


def words() -> list[str]:
    """Return what the page has behind redis-cli."""
    block = re.search(r"<!-- acl: begin.*?```sh\n(.*?)```", PAGE, re.S)
    assert block is not None
    program, *rest = shlex.split(block[1].replace("\\\n", " "))
    assert program == "redis-cli"
    return rest


def allowed() -> set[str]:
    return {word.removeprefix("+") for word in words() if word.startswith("+")}


@pytest.fixture
def guarded(binary: str, tmp_path: Path) -> Iterator[Server]:
    """A server with that user, whose counters stand at nought."""
    with server(tmp_path / "server", binary=binary, password="of-the-operator") as running:
        with running.client(decode_responses=True) as operator:
            version = operator.info("server")["redis_version"]
            without = {"+client|setinfo"} if version.startswith("7.0.") else set()  # as the page says
            assert operator.execute_command(*(word for word in words() if word not in without))
            operator.config_resetstat()
        yield running


@contextmanager
def engine_of(running: Server, db: int = 0, **options: Any) -> Iterator[RedisEngine]:
    reached = RedisOptions(running.url, db=db, username="framekeep", password=PASSWORD)
    engine = RedisEngine(reached, **options)
    try:
        yield engine
    finally:
        engine.close()


def counted(running: Server) -> dict[str, int]:
    """Return how often each command ran since the fixture, also inside scripts."""
    with running.client(decode_responses=True) as operator:
        stats = operator.info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


def use_all(engine: RedisEngine) -> None:
    """Call every method so that every branch sends what it can."""
    kept, large = b"x" * 10, [secrets.token_bytes(700_000) for _ in range(4)]
    one = space("session", f"owner.{secrets.token_hex(4)}")
    parts = {digest_of(part): part for part in (kept, *large)}
    first, second = new_revision(), new_revision()
    engine.commit(
        one, Change(None, first, b"head", blobs=parts, keep=frozenset(parts), log=[b"made"], ttl=60)
    )
    assert engine.load(one) is not None
    assert engine.touch(one, 120)
    assert blobs(engine, one, list(parts)) == list(parts.values())
    with pytest.raises(BlobMissing):
        blobs(engine, one, [digest_of(b"nowhere"), *(digest_of(bytes([i])) for i in range(20))])
    assert engine.log(one) == [b"made"]
    assert [info.space for info in engine.spaces("session:")] == [one]
    assert engine.count("session:") == 1
    left = frozenset([digest_of(kept)])
    engine.commit(one, Change(first, second, b"next", keep=left, log=[b"changed"]))  # drops the large ones
    lasting = space("temp", "for-ever")
    engine.commit(lasting, Change(None, new_revision(), b"head"))
    engine.purge()
    engine.rehearse()
    gone = new_revision()
    for _ in range(2):  # the second time as after a lost reply
        engine.commit(one, Change(second, gone, None))
    assert engine.discard(lasting)
    assert engine.count() == 0
    health = engine.health()
    assert (health.error, health.details["warnings"]) == (None, [])
    assert health.details["version"]


def test_the_user_may_do_all_that_the_engine_does(guarded: Server) -> None:
    with engine_of(guarded) as engine:
        use_all(engine)
    with guarded.client(decode_responses=True) as operator:
        assert operator.acl_log() == []


def test_the_user_may_do_nothing_that_the_engine_does_not(guarded: Server, tmp_path: Path) -> None:
    with engine_of(guarded) as engine:
        use_all(engine)
        with guarded.client() as operator:
            operator.script_flush()
        use_all(engine)  # scripts are sent anew
    with engine_of(guarded, min_replicas=1, replica_timeout=0.01) as engine:
        with guarded.client() as operator:
            operator.script_flush()
        with pytest.raises(StorageUnavailableError, match="Only 0 of 1 replicas"):
            engine.commit(space("session", "a"), Change(None, new_revision(), b"head", ttl=60))
    with engine_of(guarded, db=1) as engine:
        assert engine.load(space("session", "a")) is None
    assert allowed() - CLUSTER - {"client|setinfo"} - set(counted(guarded)) == set()


def test_the_user_may_do_all_that_scripts_do() -> None:
    called = {
        name.lower()
        for path in (ROOT / "src" / "framekeep" / "engines" / "scripts").glob("*.lua")
        for name in re.findall(r"redis\.p?call\('(\w+)'", path.read_text(encoding="utf-8"))
    }
    assert {"hset", "unlink"} <= called
    assert called - allowed() == set()


def test_the_user_may_do_all_that_a_manager_does(guarded: Server, tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None, redis_enabled=True, storage_fallback_to_memory=False, storage_dir=tmp_path / "store",
        redis_url=guarded.url, redis_username="framekeep", redis_password=PASSWORD,
    )  # fmt: skip
    frame = pd.DataFrame({"age": [34.0, None, 51.0]})
    with DataManager(settings) as manager:
        assert manager.get_backend_type() == "redis"
        session = manager.create_session(frame, "people.csv")
        with manager.edit(session, "Fill ages") as df:
            df["age"] = df["age"].fillna(40)
        manager.undo(session)
        pd.testing.assert_frame_equal(manager.get_dataframe(session), frame)
        with manager.lock(session):
            manager.set_intentional_missing(session, "age", [1])
        assert len(manager.get_audit_log(session)) > 1
        assert manager.delete_session(session)
        assert manager.get_backend_health()["status"] == "healthy"
    with guarded.client(decode_responses=True) as operator:
        assert operator.acl_log() == []


REFUSED = r"(?i)no permissions|ACL failure in script|The user executing the script can't"


@pytest.mark.parametrize(
    "command",
    [
        *("FLUSHALL", "FLUSHDB", "KEYS *", "SCAN 0", "CONFIG GET requirepass", "CONFIG SET maxmemory 0"),
        *("SHUTDOWN", "ACL LIST", "ACL SETUSER framekeep allkeys", "CLIENT LIST", "CLIENT KILL TYPE normal"),
        *("MONITOR", "SCRIPT FLUSH", "REPLICAOF NO ONE", "MODULE LIST", "SAVE", "PUBLISH a b", "SWAPDB 0 1"),
        *("SUBSCRIBE a", "GET other", "SET other 1", "SET framekeep 1", "SET framekeep:a 1"),
        *("SET {framekeep}:a 1", "SET {other:00}:a 1", "UNLINK {framekeep:00}:a other"),
        "EVAL return(redis.call('GET','other')) 0",
        "EVAL return(redis.call('FLUSHALL')) 0",
        "EVAL return(redis.call('SET',KEYS[1],'1')) 1 other",
    ],
)
def test_the_user_is_refused_everything_else(guarded: Server, command: str) -> None:
    with (
        guarded.client(username="framekeep", password=PASSWORD, protocol=2) as client,
        pytest.raises(redis.ResponseError, match=REFUSED),
    ):
        client.execute_command(*command.split())


def test_the_same_words_are_a_line_of_an_acl_file(tmp_path: Path) -> None:
    line = " ".join(["user", *words()[2:]])
    with (
        server(tmp_path / "server", binary=valkey_binary(), users=[line]) as running,
        engine_of(running) as engine,
    ):
        use_all(engine)


def test_the_user_may_do_all_that_a_cluster_needs(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", replicas=0) as running:
        for node in running.servers:
            with node.client() as operator:
                operator.execute_command(*words())
                operator.config_resetstat()
        reached = RedisOptions(running.url, username="framekeep", password=PASSWORD)
        engine = RedisEngine(reached)
        try:
            use_all(engine)
        finally:
            engine.close()
        used: set[str] = set()
        for node in running.servers:
            with node.client(decode_responses=True) as operator:
                assert operator.acl_log() == []
            with node.client(username="framekeep", password=PASSWORD) as client:
                assert client.execute_command("ASKING")  # sent while slots move
            used |= set(counted(node))
        assert used >= CLUSTER


# --- what the page says of messages -------------------------------------------------------------------


def rows() -> list[str]:
    """Return what the page's table of messages quotes first in each row."""
    table = PAGE.partition("## When something is wrong")[2].partition("\n## ")[0]
    return re.findall(r"(?m)^\| `([^`]+)`", table)


def write(engine: RedisEngine) -> None:
    engine.commit(space("session", "a"), Change(None, new_revision(), b"head", ttl=60))


def full(operator: redis.Redis, directory: Path) -> None:
    operator.config_set("maxmemory", 1)


def replica(operator: redis.Redis, directory: Path) -> None:
    operator.execute_command("REPLICAOF", "127.0.0.1", "1")


def unsaved(operator: redis.Redis, directory: Path) -> None:
    (directory / "dump.rdb").mkdir()  # where the file should be put
    operator.config_set("save", "3600 1")
    operator.bgsave()
    until(lambda: operator.info("persistence")["rdb_last_bgsave_status"] == "err", "a snapshot fails")


def locked_out(operator: redis.Redis, directory: Path) -> None:
    operator.execute_command("ACL", "SETUSER", "framekeep", "resetpass", ">another")


def limited(operator: redis.Redis, directory: Path) -> None:
    operator.execute_command("ACL", "SETUSER", "framekeep", "resetkeys", "~{other:*")


def forbidden(operator: redis.Redis, directory: Path) -> None:
    operator.execute_command("ACL", "SETUSER", "framekeep", "-hset")


@pytest.mark.parametrize(
    ("trouble", "quoted"),
    [
        (full, "has reached its maxmemory"),
        (replica, "is a replica and takes no writes"),
        (unsaved, "cannot save to its disk (MISCONF)"),
        (locked_out, "does not let this user in"),
        (limited, "does not let this user in"),
        (forbidden, "does not let this user in"),
    ],
)
def test_the_page_explains_the_message(
    guarded: Server, trouble: Callable[[redis.Redis, Path], None], quoted: str
) -> None:
    assert quoted in rows()
    with guarded.client() as operator:
        trouble(operator, guarded.directory)
    with engine_of(guarded) as engine, pytest.raises(Exception, match=re.escape(quoted)) as raised:
        write(engine)
    assert PASSWORD not in str(raised.value)


def test_the_page_explains_that_nothing_listens(guarded: Server, tmp_path: Path) -> None:
    guarded.stop()
    settings = Settings(
        _env_file=None, redis_enabled=True, storage_fallback_to_memory=False, storage_dir=tmp_path / "store",
        redis_url=guarded.url, redis_username="framekeep", redis_password=PASSWORD,
    )  # fmt: skip
    with pytest.raises(RuntimeError) as raised:
        DataManager(settings)
    for quoted in (
        "RedisBackend is not available",
        "Connection refused",
        "Failed to initialize RedisBackend",
    ):
        assert quoted in rows()
        assert quoted in str(raised.value)
    assert PASSWORD not in str(raised.value)


def test_every_link_of_the_page_leads_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)[^)]*\)", PAGE)
    assert targets != []
    assert [target for target in targets if not (ROOT / "docs" / target).exists()] == []
