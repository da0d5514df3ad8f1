"""A fault proxy that leads on to another server, as a name does that is moved."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from framekeep.testing.fault_proxy import FaultProxy


def test_connections_made_after_it_is_redirected_lead_to_the_other_server() -> None:
    with ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        one, other = (f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in listening)
        proxy = stack.enter_context(FaultProxy(one))
        pairs = []
        for each in listening:
            each.settimeout(20)
            client = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), timeout=20))
            pairs.append((client, stack.enter_context(each.accept()[0])))
            proxy.redirect(other)
        for client, server in pairs:
            server.settimeout(20)
            client.sendall(b"hello")
            assert server.recv(5) == b"hello"
        with pytest.raises(ValueError, match="one host and its port"):
            proxy.redirect("tcp://nowhere")
