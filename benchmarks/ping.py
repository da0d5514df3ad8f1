"""The lightest client of Redis there is: PING on one socket, again and again; milliseconds as JSON on stdout.

``python -m benchmarks.ping PORT SECONDS`` imports nothing large, and only waits for the server.
"""

from __future__ import annotations

import json
import socket
import sys
from time import perf_counter


def ping(port: int, seconds: float) -> list[float]:
    """Ask PING, each when the last is answered; return what each answer took, in milliseconds."""
    took: list[float] = []
    with socket.create_connection(("127.0.0.1", port), 60) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stop = perf_counter() + seconds
        while not took or perf_counter() < stop:
            start = perf_counter()
            line.sendall(b"PING\r\n")
            answer = line.recv(64)
            took.append((perf_counter() - start) * 1e3)
            if answer != b"+PONG\r\n":
                raise RuntimeError(f"PING was answered with {answer!r}")
    return took


if __name__ == "__main__":
    print(json.dumps([round(each, 4) for each in ping(int(sys.argv[1]), float(sys.argv[2]))]))
