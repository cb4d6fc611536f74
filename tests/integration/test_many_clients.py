"""Clients up to `maxclients`, whatever the soft limit on open files was."""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack
from pathlib import Path

from tests.support.processes import Sidecar

CLIENTS = 1500


def test_more_clients_than_the_soft_limit_on_open_files(tmp_path: Path) -> None:
    """Start under 1024 descriptors, as most systems give; 1500 clients are served at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= 2 * CLIENTS + 1024
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        sidecar = Sidecar(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with sidecar, ExitStack() as open_clients:
            address = ("127.0.0.1", sidecar.ports["resp"])
            clients = [
                open_clients.enter_context(socket.create_connection(address, timeout=30))
                for _ in range(CLIENTS)
            ]
            for client in clients:
                client.sendall(b"PING\r\n")
            assert [client.recv(64) for client in clients] == [b"+PONG\r\n"] * CLIENTS
            assert "maxclients_lowered" not in sidecar.tail()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_low_hard_limit_lowers_maxclients_and_says_so(tmp_path: Path) -> None:
    """`prlimit` gives the sidecar a hard limit of 1024 only."""
    limited = tmp_path / "limited"
    with Sidecar(limited, prefix=("prlimit", "--nofile=1024:1024")) as sidecar:
        assert "maxclients_lowered" in sidecar.tail()
        with sidecar.client() as client:
            assert client.config_get("maxclients") == {"maxclients": "512"}
