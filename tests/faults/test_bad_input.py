"""Bad files and names, damage on the backend, a full disk: typed errors, exit codes, data kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dataset import write_strings
from tests.support.processes import RedisServer, Sidecar, wait_for

EXIT_NOT_FOUND, EXIT_CONFLICT, EXIT_CORRUPT, EXIT_EXHAUSTED = 3, 4, 6, 7
EXIT_DATA_UNREADABLE = 11
KEYS = 3_000


def _good_rdb(tmp_path: Path) -> bytes:
    with RedisServer(tmp_path / "origin") as origin:
        write_strings(origin.port, KEYS, seed=5)
        with origin.client() as client:
            client.save()
        return (origin.folder / "dump.rdb").read_bytes()


def _flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "alien", "empty", "stream"])
def test_a_bad_dump_refuses_the_start_and_is_left_alone(tmp_path: Path, damage: str) -> None:
    good = _good_rdb(tmp_path) if damage in {"truncated", "flipped"} else b""
    content = {
        "truncated": good[: len(good) // 2],
        "flipped": _flip(good, len(good) // 2) if good else b"",
        "alien": b"SQLite format 3\x00" + bytes(200),
        "empty": b"",
        "stream": _rdb_with_a_stream(tmp_path) if damage == "stream" else b"",
    }[damage]
    data = tmp_path / "sidecar" / "data"
    data.mkdir(parents=True)
    (data / "dump.rdb").write_bytes(content)

    sidecar = Sidecar(tmp_path / "sidecar", is_awaited=False)
    assert sidecar.wait() == EXIT_DATA_UNREADABLE, sidecar.tail()
    said = sidecar.tail()
    assert "Error:" in said
    assert "Try:" in said
    if damage == "stream":
        assert "mystream" in said
        assert "a stream" in said
    assert (data / "dump.rdb").read_bytes() == content
    assert not sidecar.ready_file.exists()


def _rdb_with_a_stream(tmp_path: Path) -> bytes:
    with RedisServer(tmp_path / "streams") as origin, origin.client() as client:
        client.xadd("mystream", {"a": "b"})
        client.save()
        return (origin.folder / "dump.rdb").read_bytes()


def test_an_unknown_snapshot_is_not_found(sidecar: Sidecar) -> None:
    for command in (["snapshot", "get"], ["snapshot", "verify"], ["snapshot", "delete"]):
        done = sidecar.cli(*command, "20200101t000000z-hourly-abcd", code=EXIT_NOT_FOUND)
        assert "Try:" in done.stderr
    assert "Try:" in sidecar.cli("restore", "nothing-like-this", code=EXIT_NOT_FOUND).stderr
    assert "Missing argument" in sidecar.cli("restore", code=2).stderr


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_payload_damaged_on_the_backend_is_never_loaded(sidecar: Sidecar, damage: str) -> None:
    write_strings(sidecar.ports["resp"], KEYS, seed=1)
    name = sidecar.json("snapshot", "create")["name"]
    payload = _payload(sidecar, name)
    content = payload.read_bytes()
    payload.chmod(0o600)
    payload.unlink()
    if damage != "missing":
        payload.write_bytes(
            _flip(content, len(content) // 2) if damage == "flipped" else content[:-20]
        )
    with sidecar.client() as client:
        client.set("newer", "data")
    digest = sidecar.digest()

    restored = sidecar.cli("restore", name, code=EXIT_CORRUPT)
    assert "Error:" in restored.stderr
    assert "Try:" in restored.stderr
    assert sidecar.digest() == digest
    sidecar.cli("snapshot", "verify", name, code=EXIT_CORRUPT)
    assert sidecar.json("snapshot", "get", name)["state"] == "STATE_DAMAGED"
    assert sidecar.cli("restore", name, code=None).returncode in {EXIT_CONFLICT, EXIT_CORRUPT}
    with sidecar.client() as client:
        assert client.set("still", "writable")


def _payload(sidecar: Sidecar, name: str) -> Path:
    snapshot_id = name.partition("/")[2]
    (found,) = [
        path
        for path in (sidecar.data / "snapshots").rglob("dump-*.rdb*")
        if path.parent.name == snapshot_id
    ]
    return found


def test_of_two_restores_at_once_one_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "held"
    env = {"PERDURE_FAILPOINTS": f"commit.base_written=pause:{marker}"}
    with Sidecar(tmp_path / "sidecar", env=env) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        digest = sidecar.digest()
        name = sidecar.json("snapshot", "create")["name"]
        first = sidecar.json("restore", name, "--no-wait")["name"]
        wait_for(marker.exists, "the first restore to be held")
        second = sidecar.cli("restore", name, code=EXIT_CONFLICT)
        assert first.partition("/")[2] in second.stderr
        with sidecar.client() as client:
            assert client.set("meanwhile", "served")
        marker.unlink()
        wait_for(lambda: sidecar.json("operation", "get", first).get("done"), "the first restore")
        assert sidecar.digest() == digest


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("snapshot.child_written=error:ENOSPC", EXIT_EXHAUSTED),
        ("snapshot.child_fsynced=error:EIO", 9),
        ("snapshot.packed=error:ENOSPC", EXIT_EXHAUSTED),
    ],
)
def test_a_disk_error_fails_the_snapshot_and_the_data_is_served(
    tmp_path: Path, step: str, code: int
) -> None:
    with Sidecar(tmp_path, env={"PERDURE_FAILPOINTS": step}) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        digest = sidecar.digest()
        done = sidecar.cli("snapshot", "create", "--compression", "zstd", code=code)
        assert "Try:" in done.stderr
        assert sidecar.digest() == digest
        with sidecar.client() as client:
            assert client.set("after", "1")


@pytest.mark.parametrize(
    "step",
    [
        "commit.base_written=error:ENOSPC",
        "commit.safety_cut=error:EIO",
        "commit.before_rename=error:EIO",
        "restore.loaded=error:ENOSPC",
    ],
)
def test_a_failed_restore_leaves_the_running_data(tmp_path: Path, step: str) -> None:
    with Sidecar(tmp_path, env={"PERDURE_FAILPOINTS": step}) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        name = sidecar.json("snapshot", "create")["name"]
        write_strings(sidecar.ports["resp"], KEYS // 2, seed=2)
        digest = sidecar.digest()
        done = sidecar.cli("restore", name, code=None)
        assert done.returncode in {EXIT_EXHAUSTED, 9}, done.stderr
        assert "Error:" in done.stderr
        assert "Try:" in done.stderr
        assert sidecar.digest() == digest
        with sidecar.client() as client:
            assert client.set("after", "1"), "writes stayed paused"
            assert client.bgsave()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a file system of 8 MiB of its own."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted by root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"this machine does not allow mounts: {mounted.stderr}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_reported_and_heals(small_disk: Path) -> None:
    """Snapshots and saves fail typed, writes get MISCONF as in Redis, and space heals it all."""
    with Sidecar(small_disk, redis_args=("--save", "")) as sidecar, sidecar.client() as client:
        for index in range(64):
            client.set(f"big:{index}", os.urandom(100_000))
        digest = sidecar.digest()
        ballast = small_disk / "ballast"
        with ballast.open("wb") as filling:
            filling.write(bytes(max(0, shutil.disk_usage(small_disk).free - 65_536)))
        done = sidecar.cli("snapshot", "create", code=EXIT_EXHAUSTED)
        assert "Try:" in done.stderr
        assert sidecar.digest() == digest
        assert client.set("still", "writable")
        ballast.unlink()
        client.delete(*(f"big:{index}" for index in range(60)))
        assert sidecar.json("snapshot", "create")["state"] == "STATE_AVAILABLE"
