"""Runs the compose file's Redis on this machine as it stands there, with real servers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from framekeep.testing.redis_process import claimed_port
from framekeep.testing.redis_servers import until

ROOT = Path(__file__).parents[2]
CONF = ROOT / "deploy" / "redis.conf"
MOUNTED = "/usr/local/etc/redis/redis.conf"
# Whatever it is, neither the shell nor the server's configuration reads it.
PASSWORD = r"""pass word with $HOME, `id`, 'quotes', "more" of them, \ and a \" here # there\n"""


class Container:
    """What the compose file would run, on this machine: the same words, in a directory of its own."""

    def __init__(self, directory: Path, service: dict[str, Any], binary: str, port: int) -> None:
        self.directory, self.service, self.port = directory, service, port
        self.data = directory / "data"
        self.data.mkdir(parents=True)
        conf = directory / "redis.conf"
        conf.write_text(
            f"{CONF.read_text(encoding='utf-8')}\nbind 127.0.0.1\nport {port}\n", encoding="utf-8"
        )
        programs = directory / "bin"
        programs.mkdir()
        (programs / "redis-server").symlink_to(binary)
        if (client := shutil.which("redis-cli")) is not None:
            (programs / "redis-cli").write_text(
                f'#!/bin/sh\nexec {client} -p {port} "$@"\n', encoding="utf-8"
            )
            (programs / "redis-cli").chmod(0o755)
        self.environment = {"PATH": f"{programs}:{os.environ['PATH']}", "REDIS_PASSWORD": PASSWORD}
        self.command = [word.replace("$$", "$").replace(MOUNTED, str(conf)) for word in service["command"]]
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.data,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        with self.client() as client:
            until(lambda: self._answers(client), "the server answers")

    def _answers(self, client: redis.Redis) -> bool:
        assert self.process.poll() is None, self.log()
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(60)

    def log(self) -> str:
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def client(self, **options: Any) -> redis.Redis:
        given: dict[str, Any] = {"password": PASSWORD, "socket_timeout": 10.0, "retry": Retry(NoBackoff(), 0)}
        return redis.Redis(port=self.port, **given | options)

    def healthy(self) -> bool:
        kind, test = self.service["healthcheck"]["test"]
        assert kind == "CMD-SHELL"
        words = ["/bin/sh", "-c", test.replace("$$", "$")]
        done = subprocess.run(words, env=self.environment, capture_output=True, timeout=60, check=False)
        return done.returncode == 0


@contextmanager
def started(directory: Path, service: dict[str, Any], binary: str) -> Iterator[Container]:
    with claimed_port() as port:
        container = Container(directory, service, binary, port)
        try:
            container.start()
            yield container
        finally:
            if container.process.poll() is None:
                container.process.kill()
            container.process.wait()
