"""The forms of REDIS_URL, and what is said of one that has none: never a part of it."""

from __future__ import annotations

import os
import signal
import subprocess
import traceback
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from framekeep.engines.redis import RedisEngine
from framekeep.engines.redis_topology import Admission, Place, RedisOptions, Topology, parsed
from framekeep.errors import ConfigurationError, StorageUnavailableError
from framekeep.names import space
from framekeep.testing.redis_servers import server

SECRET = "correct-horse-battery"


def place(url: str, **options: object) -> Place:
    return parsed(RedisOptions(url, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "db"),
    [
        ("redis://", "single", [("localhost", 6379)], 0),
        ("redis://db.example", "single", [("db.example", 6379)], 0),
        ("redis://db.example/", "single", [("db.example", 6379)], 0),
        ("redis://127.0.0.1:7000/3", "single", [("127.0.0.1", 7000)], 3),
        ("redis://127.0.0.1:7000?db=4", "single", [("127.0.0.1", 7000)], 4),
        ("redis://[::1]:7000/3", "single", [("::1", 7000)], 3),
        ("redis://[fe80::1:2]/1", "single", [("fe80::1:2", 6379)], 1),
        ("rediss://[2001:db8::7]:6380", "single", [("2001:db8::7", 6380)], 0),
        ("redis://bücher.example:1", "single", [("bücher.example", 1)], 0),
        ("redis+sentinel://a,b:1,[::1]:2/mymaster", "sentinel", [("a", 26379), ("b", 1), ("::1", 2)], 0),
        ("rediss+sentinel://a/mymaster/5", "sentinel", [("a", 26379)], 5),
        ("redis+cluster://a,b:1", "cluster", [("a", 6379), ("b", 1)], 0),
        ("rediss+cluster://a:1/0", "cluster", [("a", 1)], 0),
    ],
)
def test_a_url_says_where_redis_is(url: str, kind: str, hosts: list[tuple[str, int]], db: int) -> None:
    found = place(url)
    assert (found.kind, list(found.hosts), found.db) == (kind, hosts, db)
    assert found.tls == url.startswith("rediss")


@pytest.mark.parametrize(
    ("url", "path", "db"),
    [
        ("unix:///run/redis.sock", "/run/redis.sock", 0),
        ("unix:///run/redis.sock?db=2", "/run/redis.sock", 2),
        ("unix://:secret@/run/my%20redis.sock", "/run/my redis.sock", 0),
    ],
)
def test_a_url_may_name_a_socket(url: str, path: str, db: int) -> None:
    found = place(url)
    assert (found.kind, found.path, found.db, str(found)) == ("unix", path, db, path)


@pytest.mark.parametrize(
    ("url", "username", "password"),
    [
        ("redis://:p@h", None, "p"),
        ("redis://u:p@h", "u", "p"),
        ("redis://u@h", "u", None),
        ("redis://u:@h", "u", ""),
        ("redis://u:p:q@h", "u", "p:q"),
        ("redis://u:p@q@h", "u", "p@q"),
        ("redis://a%40b:p%40%2F%3A%23%3F%25%20q@h", "a@b", "p@/:#?% q"),
        ("redis://u:%C3%BC%E2%82%AC@h", "u", "ü€"),
        ("redis+sentinel://u:p@a,b/m", "u", "p"),
        ("redis+cluster://u:p@a,b", "u", "p"),
        ("redis://u:p+q@h", "u", "p+q"),
    ],
)
def test_user_and_password_may_be_percent_encoded(
    url: str, username: str | None, password: str | None
) -> None:
    found = place(url)
    assert (found.username, found.password) == (username, password)


def test_options_win_over_the_url() -> None:
    found = place("redis://u:p@h/1", db=7, username="v", password="q")
    assert (found.db, found.username, found.password) == (7, "v", "q")
    assert place("redis://h/1", db=0).db == 0
    assert place("redis://:p@h", password="").password == ""


HOSTILE = [
    "",
    "redis",
    SECRET,
    f"{SECRET}://h",
    f"redis:{SECRET}",
    f"redis//:{SECRET}@h",
    f"http://:{SECRET}@h",
    f"redis+{SECRET}://h",
    f"redis+sentinel+cluster://:{SECRET}@h",
    f"redis://:{SECRET}@h:port",
    f"redis://:{SECRET}@h:0",
    f"redis://:{SECRET}@h:65536",
    f"redis://:{SECRET}@h:-1",
    f"redis://:{SECRET}@h:1:2",
    f"redis://:{SECRET}@h:99999999999999999999",
    f"redis://:{SECRET}@a,b",
    f"redis://:{SECRET}@h/{SECRET}",
    f"redis://:{SECRET}@h/-1",
    f"redis://:{SECRET}@h/1.5",
    f"redis://:{SECRET}@h/٣x",
    f"redis://:{SECRET}@h/1/2",
    f"redis://:{SECRET}@h?password={SECRET}",
    f"redis://h?{SECRET}",
    f"redis://h?db={SECRET}",
    f"redis://:{SECRET}@[::1",
    f"redis://:{SECRET}@::1",
    f"redis://:{SECRET}@[{SECRET}]",
    f"redis://:{SECRET}@[::1]x:1",
    f"redis://:{SECRET}@h h",
    f"redis://:{SECRET}@h\0h",
    f"redis://:{SECRET}@h\x07",
    f"redis://:{SECRET}@a..b",
    f"redis://:{SECRET}@{'h' * 64}",
    f"redis://:{SECRET}@h℀:1",
    f"redis://:{SECRET}/1@h",
    f"redis://:{SECRET}#@h",
    f"redis://:{SECRET}@,",
    f"redis+sentinel://:{SECRET}@a,b",
    f"redis+sentinel://:{SECRET}@/mymaster",
    f"redis+sentinel://:{SECRET}@a,,b/mymaster",
    f"redis+sentinel://:{SECRET}@a/mymaster/x",
    f"redis+sentinel://a/mymaster?other={SECRET}",
    f"redis+cluster://:{SECRET}@",
    f"redis+cluster://:{SECRET}@a,b/1",
    f"redis+cluster://:{SECRET}@a?db=1",
    f"unix://:{SECRET}@",
    f"unix://?password={SECRET}",
    f"unix:///run/%00{SECRET}",
    f"unix+cluster:///{SECRET}",
    f"unix:///run/redis.sock?db={SECRET}",
    f"unix://:{SECRET}@run/redis.sock",
    f"unix://{SECRET}/redis.sock",
]


@pytest.mark.parametrize("url", HOSTILE, ids=range(len(HOSTILE)))
def test_a_malformed_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"REDIS_URL|REDIS_DB") as caught:
        RedisEngine(RedisOptions(url, username="someone"))
    whole = "".join(traceback.format_exception(caught.value))
    assert SECRET not in whole + repr(caught.value)
    assert caught.value.__context__ is None, "what is there goes along into logs"
    assert "\0" not in whole


@pytest.mark.parametrize("options", [{"db": 1}, {"db": 15}])
def test_a_cluster_has_one_database(options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="database 0 only"):
        place("redis+cluster://a", **options)
    assert place("redis+cluster://a", db=0).db == 0


@pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_certificates_without_tls_are_a_contradiction(name: str) -> None:
    with pytest.raises(ConfigurationError, match="rediss"):
        place("redis://h", **{name: "/a/file"})


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"ssl_ca_certs": "nowhere.pem"}, "REDIS_SSL_CA_CERTS"),
        ({"ssl_ca_certs": "."}, "REDIS_SSL_CA_CERTS"),
        ({"ssl_ca_certs": "text"}, "REDIS_SSL_CA_CERTS"),
        ({"ssl_certfile": "nowhere.pem"}, "REDIS_SSL_CERTFILE"),
        ({"ssl_certfile": "text", "ssl_keyfile": "text"}, "REDIS_SSL_KEYFILE"),
        ({"ssl_keyfile": "text"}, "REDIS_SSL_KEYFILE"),
    ],
)
@pytest.mark.parametrize("form", ["rediss://h", "rediss+sentinel://h/m", "rediss+cluster://h"])
def test_files_for_tls_that_cannot_be_used_stop_the_start(
    tmp_path: Path, form: str, given: dict[str, str], variable: str
) -> None:
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(ConfigurationError, match=variable):
        RedisEngine(RedisOptions(form, **{name: str(tmp_path / file) for name, file in given.items()}))


def test_a_key_with_a_pass_phrase_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=x", "-passout", "pass:phrase"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with pytest.raises(ConfigurationError, match="no pass phrase"):
        RedisEngine(RedisOptions("rediss://h", ssl_certfile=str(certificate), ssl_keyfile=str(key)))


def test_options_and_places_do_not_show_a_password() -> None:
    options = RedisOptions(f"redis://u:{SECRET}@h", password=SECRET)
    found = place(f"redis+sentinel://u:{SECRET}@h/m?sentinel_password={SECRET}")
    assert SECRET not in repr(options) + repr(found) + str(found)
    engine = RedisEngine(options)
    assert SECRET not in repr(engine) + engine.where + repr(vars(engine))
    engine.close()


@pytest.mark.parametrize(
    "url",
    ["unix:///nowhere/redis.sock", f"unix:///{'x' * 200}", f"redis://{'h.' * 200}", "redis://127.0.0.1:1"],
)
def test_nobody_there_is_unavailable(url: str) -> None:
    engine = RedisEngine(RedisOptions(url, password=SECRET, socket_connect_timeout=1.0))
    with pytest.raises(StorageUnavailableError, match="RedisBackend is not available") as caught:
        engine.load(space("session", "a"))
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    health = engine.health()
    assert (health.reachable, health.latency_ms >= 0) == (False, True)
    assert "RedisBackend is not available" in str(health.error)
    engine.close()


@pytest.mark.parametrize("url", ["redis+cluster://127.0.0.1:1,127.0.0.1:2", "redis+sentinel://127.0.0.1:1/m"])
def test_nobody_there_is_unavailable_in_larger_topologies(url: str) -> None:
    with pytest.raises(StorageUnavailableError) as caught:
        RedisEngine(RedisOptions(url, password=SECRET)).load(space("session", "a"))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_password_of_odd_characters_lets_in(tmp_path_factory: pytest.TempPathFactory) -> None:
    odd = "p@/:#?% q"
    with server(tmp_path_factory.mktemp("odd"), password=odd) as running:
        there = f"redis://:p%40%2F%3A%23%3F%25%20q@127.0.0.1:{running.port}/0"
        engine = RedisEngine(RedisOptions(there))
        assert engine.load(space("session", "a")) is None
        engine.close()
        wrong = RedisEngine(RedisOptions(there, password=SECRET))
        with pytest.raises(StorageUnavailableError, match="REDIS_PASSWORD") as caught:
            wrong.load(space("session", "a"))
        wrong.close()
        whole = "".join(traceback.format_exception(caught.value))
        assert SECRET not in whole
        assert odd not in whole


def why_not(url: str, **given: Any) -> str:
    """Return what is said of a place that cannot be used."""
    engine = RedisEngine(RedisOptions(url, **given))
    with pytest.raises(StorageUnavailableError) as caught:
        engine.rehearse()  # so that every node of a Cluster would be asked
    engine.close()
    said = str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert "<redis." not in said
    return said


def test_a_url_of_another_topology_is_named(places: Any) -> None:
    node = places["cluster"].url.removeprefix("redis+cluster://").partition(",")[0]
    server = places["valkey"].url.removeprefix("redis://").partition("/")[0]
    assert "is one node of a Cluster" in why_not(f"redis://{node}")
    assert "is no Cluster" in why_not(f"redis+cluster://{server}")
    assert "know no primary of that name" in why_not(f"{places['sentinel'].url.rpartition('/')[0]}x/0")


def test_who_is_not_let_into_a_cluster_or_by_sentinels_is_told_so(
    places: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert "does not let this user in" in why_not(places["cluster"].url, password=SECRET)
    with server(tmp_path_factory.mktemp("closed"), password=SECRET) as closed:
        assert "see sentinel_password" in why_not(f"redis+sentinel://127.0.0.1:{closed.port}/mymaster")
    assert "do not answer: ConnectionError" in why_not("redis+sentinel://127.0.0.1:1/mymaster")


def test_a_child_waits_for_nobody_who_is_only_in_its_parent(places: Any) -> None:
    admission = Admission(1, 0.1)
    assert admission.enter()
    topology = Topology(places.options("valkey"))
    topology._make._running = Future()  # as another thread of the parent has it, at the instant of the fork
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        ended = admission.enter() and not admission.enter() and topology.client.ping()
        os._exit(0 if ended else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not admission.enter(), "the parent's place is still taken"
    topology.close()
