"""The command table beside a real redis-server: what clients and proxies read of each command.

Every command and subcommand that exists here is described as Redis 7.0 describes it: arity, flags,
keys, categories, hints, group and version. Summaries are our own; what is missing is in the README.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis

from tests.support.processes import RedisServer, Sidecar

# The last of the ten fields of COMMAND INFO.
SUBCOMMANDS = 9
# Redis 7.2's, so the peer does not know them.
NEWER = {"waitaof"}


def _call(client: redis.Redis, *call: str) -> Any:
    client.response_callbacks.clear()
    return client.execute_command(*call)  # type: ignore[no-untyped-call]


def _described(info: list[Any]) -> list[Any]:
    """Give one command's description without its subcommands, which are asked for one by one."""
    return info[:SUBCOMMANDS]


def _docs(client: redis.Redis, name: str) -> dict[bytes, Any]:
    """Give the group and version of one command."""
    (found,) = _call(client, "COMMAND", "DOCS", name).values()
    return {field: found[field] for field in (b"group", b"since")}


def test_every_command_is_described_as_redis_describes_it(tmp_path: Path) -> None:
    """Compare COMMAND INFO and COMMAND DOCS of all names that COMMAND LIST gives here."""
    with RedisServer(tmp_path / "redis") as peer, Sidecar(tmp_path / "ours") as sidecar:
        theirs, ours = peer.client(), sidecar.client()
        listed = [name.decode() for name in _call(ours, "COMMAND", "LIST")]
        names = [name for name in listed if name not in NEWER]
        expected = _call(theirs, "COMMAND", "INFO", *names)
        found = _call(ours, "COMMAND", "INFO", *names)
        for name, real, own in zip(names, expected, found, strict=True):
            assert real is not None, f"{name}: redis-server has no such command"
            assert _described(own) == _described(real), name
            assert _docs(ours, name) == _docs(theirs, name), name
        assert len(listed) == len(set(listed)) == len(names) + len(NEWER)
        assert sidecar.stop() == 0
