"""Snapshots out to a real redis-server and RDB files of one in, over a real sidecar."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from perdure import transfers, verbs
from perdure.client import Client
from perdure.errors import PerdureError
from tests.support.dataset import write_dataset
from tests.support.holding_proxy import hang_up
from tests.support.processes import RedisServer, Sidecar, digest_of, wait_for

KEYS, SEED = 3000, 11


class CuttingProxy:
    """Passes bytes between clients and a port, and cuts the first connection behind some bytes.

    When it `is_half_dead`, only the client sees the cut: the server's side stays open and silent.
    """

    def __init__(
        self,
        port: int,
        cut_after_bytes: int,
        *,
        is_upload: bool = False,
        is_half_dead: bool = False,
    ) -> None:
        self._port = port
        self._cut_after_bytes = cut_after_bytes
        self._is_upload = is_upload
        self._is_half_dead = is_half_dead
        self._kept: list[socket.socket] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._port))
            is_first = self.connections == 1
            ends = [client, server]
            if is_first and self._is_half_dead:
                ends.remove(server)
                self._kept.append(server)
            for is_up, path in ((True, (client, server)), (False, (server, client))):
                is_cut = is_first and is_up is self._is_upload
                args = (*path, self._cut_after_bytes if is_cut else None, ends)
                threading.Thread(target=self._pump, args=args, daemon=True).start()

    def _pump(
        self,
        source: socket.socket,
        sink: socket.socket,
        left_bytes: int | None,
        ends: list[socket.socket],
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if left_bytes is not None:
                    left_bytes -= len(data)
                    if left_bytes < 0:
                        break
                sink.sendall(data)
        for end in ends:
            hang_up(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self._listener, *self._kept):
            hang_up(end)


def test_downloaded_file_is_read_by_a_redis_server(tmp_path: Path) -> None:
    """CLI download, redis-server on the file, equal DEBUG DIGEST; a second one is refused."""
    with Sidecar(tmp_path / "s") as sidecar:
        write_dataset(sidecar.ports["resp"], KEYS, SEED)
        made = sidecar.json("snapshot", "create", "--compression", "zstd")
        folder = tmp_path / "redis"
        folder.mkdir()
        goal = folder / "dump.rdb"
        found = sidecar.json("snapshot", "download", made["name"], str(goal))
        assert found["sha256"] == made["payload"]["raw_sha256"]
        assert hashlib.sha256(goal.read_bytes()).hexdigest() == found["sha256"]
        again = sidecar.cli("snapshot", "download", made["name"], str(goal), code=4)
        assert "FILE_EXISTS" in again.stderr or "is there already" in again.stderr
        with RedisServer(folder) as redis_server:
            assert redis_server.digest() == sidecar.digest()


def test_cut_connection_is_resumed_and_the_file_is_whole(tmp_path: Path) -> None:
    """A proxy cuts the connection behind 1 MiB; the client goes on from there by itself."""
    with Sidecar(tmp_path / "s") as sidecar:
        with sidecar.client() as client:
            draw = random.Random(SEED)
            for number in range(40):
                client.set(f"big:{number}", draw.randbytes(1 << 17))
        made = sidecar.json("snapshot", "create", "--compression", "none")
        proxy = CuttingProxy(sidecar.ports["control"], 1 << 20)
        seen: list[int] = []
        with proxy, Client(proxy.target) as client:
            call = transfers.download_snapshot(
                made["name"], tmp_path / "x.rdb", on_bytes=lambda done, _total: seen.append(done)
            )
            found = client.run(call)
        assert proxy.connections >= 2
        assert seen == sorted(set(seen)), "no byte was asked for twice"
        assert found.sha256 == made["payload"]["raw_sha256"]
        content = (tmp_path / "x.rdb").read_bytes()
        assert hashlib.sha256(content).hexdigest() == found.sha256


@pytest.mark.parametrize(
    ("is_half_dead", "reasons"),
    [(False, ("the client went", "sent again")), (True, ("sent again",))],
    ids=["seen", "unseen"],
)
def test_cut_upload_is_sent_again_and_is_one_snapshot(
    tmp_path: Path,
    is_half_dead: bool,  # noqa: FBT001
    reasons: tuple[str, ...],
) -> None:
    """A cut behind 1 MiB of 5 leaves a failed operation and no file, though the server misses it.

    An unseen one is ended by the repeat: by itself it would end after 60 s, of another reason.
    """
    with Sidecar(tmp_path / "s") as sidecar:
        with sidecar.client() as client:
            draw = random.Random(SEED)
            for number in range(40):
                client.set(f"big:{number}", draw.randbytes(1 << 17))
        made = sidecar.json("snapshot", "create")
        sidecar.cli("snapshot", "download", made["name"], str(tmp_path / "x.rdb"))
        port = sidecar.ports["control"]
        proxy = CuttingProxy(port, 1 << 20, is_upload=True, is_half_dead=is_half_dead)
        with proxy, Client(proxy.target) as client:
            imported = client.snapshots.import_file(tmp_path / "x.rdb")
        assert proxy.connections >= 2
        assert imported.payload.raw_sha256 == made["payload"]["raw_sha256"]
        listed = sidecar.json("snapshot", "list")["snapshots"]
        triggers = [snapshot["trigger"] for snapshot in listed]
        assert triggers.count("TRIGGER_IMPORT") == 1
        operations = sidecar.json("operation", "list")["operations"]
        errors = [operation["error"] for operation in operations if operation.get("error")]
        assert [error["code"] for error in errors] == [10], "ABORTED, of the first"
        assert errors[0]["details"][0]["reason"] == "IMPORT_BROKEN"
        message = errors[0]["message"]
        assert any(reason in message for reason in reasons), message
        assert list((sidecar.data / "spool").glob("scratch-*")) == []


def test_file_of_a_redis_server_is_imported_and_restored(tmp_path: Path) -> None:
    """Equal DEBUG DIGEST; the live data is untouched by the import itself."""
    with RedisServer(tmp_path / "redis") as redis_server:
        with redis_server.client() as client:
            write_dataset(redis_server.port, KEYS, SEED)
            client.save()
        wanted = redis_server.digest()
    with Sidecar(tmp_path / "s") as sidecar:
        with sidecar.client() as client:
            client.set("mine", "1")
            before = digest_of(client)
        made = sidecar.json("snapshot", "import", str(tmp_path / "redis" / "dump.rdb"))
        assert made["trigger"] == "TRIGGER_IMPORT"
        assert sidecar.digest() == before
        sidecar.cli("restore", made["name"])
        assert sidecar.digest() == wanted


def _flipped(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = path.with_name("damaged.rdb")
    damaged.write_bytes(bytes(content))
    return damaged


def _too_new(path: Path) -> Path:
    content = path.read_bytes()
    newer = path.with_name("newer.rdb")
    newer.write_bytes(b"REDIS0099" + content[9:])
    return newer


@pytest.mark.parametrize("spoil", [_flipped, _too_new])
def test_damaged_or_too_new_file_is_refused_and_leaves_nothing(
    tmp_path: Path, spoil: object
) -> None:
    with RedisServer(tmp_path / "redis") as redis_server, redis_server.client() as client:
        write_dataset(redis_server.port, KEYS, SEED)
        client.save()
    assert callable(spoil)
    path = spoil(tmp_path / "redis" / "dump.rdb")
    with Sidecar(tmp_path / "s") as sidecar:
        done = sidecar.cli("snapshot", "import", str(path), code=6)
        assert "refused" in done.stderr
        assert sidecar.json("snapshot", "list") == {"snapshots": []}
        spool = sidecar.data / "spool"
        assert [p.name for p in spool.iterdir() if p.is_file()] == []


@pytest.mark.parametrize("step", ["import.received", "import.placed", "snapshot.payload_put"])
def test_kill_during_an_import_leaves_nothing_or_one_snapshot(tmp_path: Path, step: str) -> None:
    """SIGKILL at the step, start again: nothing listed before the file had its place, else one."""
    with RedisServer(tmp_path / "redis") as redis_server, redis_server.client() as client:
        write_dataset(redis_server.port, KEYS, SEED)
        client.save()
    dump = tmp_path / "redis" / "dump.rdb"
    with Sidecar(tmp_path / "s", env={"PERDURE_FAILPOINTS": f"{step}=kill"}) as sidecar:
        # How it ends is not the point: the answer may come before the kill.
        with Client(sidecar.target) as client, suppress(PerdureError):
            operation = client.run(transfers.import_snapshot(dump))
            client.run(verbs.wait_operation(operation))
        sidecar.wait()
    with Sidecar(tmp_path / "s") as sidecar:

        def settled() -> bool:
            running = sidecar.json("operation", "list")["operations"]
            return all(operation["done"] for operation in running)

        wait_for(settled, "the import's operation to end")
        listed = sidecar.json("snapshot", "list")["snapshots"]
        triggers = [snapshot["trigger"] for snapshot in listed]
        assert triggers.count("TRIGGER_IMPORT") == (0 if step == "import.received" else 1)
        assert [p.name for p in (sidecar.data / "spool").glob("scratch-*")] == []
