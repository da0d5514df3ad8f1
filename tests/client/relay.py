"""A wire that breaks where a test wants it to: it stands between a client and a service."""

from __future__ import annotations

import re
import socket
import threading
from collections import deque
from types import TracebackType
from typing import Self

PASS = "pass"
"""Hand the request on, and its answer back."""
LOSE_REQUEST = "lose the request"
"""Read the request and hang up."""
LOSE_ANSWER = "lose the answer"
"""Hand the request on, wait for the answer, and hang up."""
CUT_ANSWER = "cut the answer"
"""Hand back all of the answer but its last bytes, and hang up."""


class Relay:
    """Passes requests on to a service, one a connection; what is planned happens to the next ones.

    Attributes:
        url: where it listens.
        requests: the heads of the requests that came, in order.
        answers: what is sent instead of asking the service, if there is something.
    """

    def __init__(self, url: str = "") -> None:
        self._to = url
        self._plan: deque[str] = deque()
        self.requests: list[str] = []
        self.answers: deque[bytes] = deque()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(60)

    def plan(self, *actions: str) -> None:
        """Say what happens to the next requests; later ones pass."""
        self._plan.extend(actions)

    def keys(self) -> list[str]:
        """Return the Idempotency-Key of each request that had one."""
        found = (re.search(r"(?im)^idempotency-key: (\S+)", head) for head in self.requests)
        return [each[1] for each in found if each]

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(60)
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        request = _request(connection)
        if not request:
            return
        self.requests.append(request.partition(b"\r\n\r\n")[0].decode("latin-1"))
        action = self._plan.popleft() if self._plan else PASS
        if action == LOSE_REQUEST:
            return
        answer = self.answers.popleft() if self.answers else self._ask(request)
        if action == LOSE_ANSWER:
            return
        connection.sendall(answer[:-5] if action == CUT_ANSWER else answer)

    def _ask(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        host, port = self._to.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as service:
            service.sendall(b"\r\n".join([*lines, b"connection: close"]) + b"\r\n\r\n" + body)
            parts = []
            while part := service.recv(1 << 16):
                parts.append(part)
            return b"".join(parts)


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(1 << 16)
        if not part:
            return b""
        data += part
    head = data.partition(b"\r\n\r\n")[0]
    if re.search(rb"(?im)^transfer-encoding: chunked", head):
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += connection.recv(1 << 16)
        return data
    length = re.search(rb"(?im)^content-length: (\d+)", head)
    whole = len(head) + 4 + (int(length[1]) if length else 0)
    while len(data) < whole:
        data += connection.recv(1 << 16)
    return data
