"""The main job, end to end, as its users do it: no step is taken by reaching into the process."""

from __future__ import annotations

import shutil
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from google.longrunning import operations_pb2_grpc as lro_grpc
from google.longrunning import operations_proto_pb2 as lro

from perdure.control.v1 import restore_pb2, server_service_pb2, server_service_pb2_grpc
from tests.support.dataset import DATABASES, write_dataset
from tests.support.processes import RedisServer, Sidecar, debian_tool, wait_for
from tests.support.shell import run

KEYS = 1_000_000
SEED = 20_261_122
WRITES = (
    "APPEND order:log one;",
    "RPUSH order:queue first second",
    "HSET order:fields state paid total 12.50",
    "SADD order:tags new 7",
    "ZADD order:ranks 1.5 first -inf last",
)
KEYS_THEN = KEYS + len(WRITES) + 1


def test_a_scheduled_snapshot_brings_back_what_was_lost(tmp_path: Path) -> None:
    """Load a real server's file, write, let a schedule cut, lose it all, restore over gRPC.

    The same DEBUG DIGEST stands in the real server, after our load, after the restore, and in a
    real server that loads the payload as it lies on the backend.
    """
    data = tmp_path / "sidecar" / "data"
    data.mkdir(parents=True)
    with RedisServer(tmp_path / "redis") as origin:
        write_dataset(origin.port, KEYS, SEED, plain_node_bytes=6_000)
        with origin.client() as client:
            client.save()
        loaded_digest = origin.digest()
        shutil.move(origin.folder / "dump.rdb", data / "dump.rdb")

    with Sidecar(tmp_path / "sidecar") as sidecar:
        assert sidecar.digest() == loaded_digest
        _redis_cli(sidecar, "-n", "1", "SET", "order:1", "paid", "EX", "864000")
        for command in WRITES:
            _redis_cli(sidecar, *command.split())
        written_digest = sidecar.digest()
        assert written_digest != loaded_digest

        sidecar.json("schedule", "create", "each-minute", "--cron", "* * * * *", "--keep-last", "3")
        snapshot = wait_for(lambda: _newest(sidecar, "each-minute"), "the schedule to cut", 150)
        assert int(snapshot["key_count"]) == KEYS_THEN
        assert _redis_cli(sidecar, "FLUSHALL") == "OK"
        assert _redis_cli(sidecar, "DBSIZE") == "0"

        listed = sidecar.json("snapshot", "list")["snapshots"]
        assert snapshot["name"] in [found["name"] for found in listed]
        plan = sidecar.cli("restore", snapshot["name"], "--dry-run")
        assert snapshot["name"].partition("/")[2] in plan.stdout
        assert _redis_cli(sidecar, "DBSIZE") == "0", "a dry run changed data"

        _restore_over_grpc(sidecar, snapshot["name"])
        assert sidecar.digest() == written_digest
        assert _keys_by_database(sidecar) == KEYS_THEN
        _assert_metrics(sidecar)
        payload = _payload(data / "snapshots", snapshot["name"])
        assert sidecar.stop() == 0

    with Sidecar(tmp_path / "sidecar") as again:
        assert again.digest() == written_digest, "the restored data is not what a restart finds"

    reader = tmp_path / "reader"
    reader.mkdir()
    shutil.copy(payload, reader / "dump.rdb")
    run(debian_tool("redis-check-rdb"), reader / "dump.rdb")
    with RedisServer(reader) as server:
        assert server.digest() == written_digest


def _redis_cli(sidecar: Sidecar, *args: str) -> str:
    return run(debian_tool("redis-cli"), "-p", sidecar.ports["resp"], *args).stdout.strip()


def _newest(sidecar: Sidecar, schedule: str) -> Any:
    snapshots = sidecar.json("snapshot", "list")["snapshots"]
    found = [s for s in snapshots if s.get("schedule") == f"schedules/{schedule}"]
    return max(found, key=lambda s: str(s["name"])) if found else None


def _restore_over_grpc(sidecar: Sidecar, name: str) -> None:
    with grpc.insecure_channel(sidecar.target) as channel:
        server = server_service_pb2_grpc.ServerServiceStub(channel)
        request = server_service_pb2.RestoreSnapshotRequest(name=name)
        operation = server.RestoreSnapshot(request)
        operations = lro_grpc.OperationsStub(channel)

        def done() -> lro.Operation | None:
            now = operations.GetOperation(lro.GetOperationRequest(name=operation.name))
            return now if now.done else None

        finished = wait_for(done, "the restore to end", 120)
        assert finished.WhichOneof("result") == "response", finished
        result = restore_pb2.RestoreResult()
        assert finished.response.Unpack(result), finished.response.type_url
        assert result.key_count == KEYS_THEN
        assert result.safety_snapshot.startswith("snapshots/")


def _keys_by_database(sidecar: Sidecar) -> int:
    total = 0
    for database in DATABASES:
        with sidecar.client(db=database) as client:
            total += client.dbsize()
    return total


def _assert_metrics(sidecar: Sidecar) -> None:
    url = f"http://127.0.0.1:{sidecar.ports['http']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    values = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line and not line.startswith("#")
    }
    assert values['perdure_fork_duration_seconds_count{purpose="cut"}'] >= 1
    verified = [v for k, v in values.items() if "last_verified" in k]
    assert verified
    assert max(verified) > datetime.now(UTC).timestamp() - 600
    assert values["perdure_aof_enabled"] == 1
    assert "perdure_aof_fsync_lag_seconds" in values


def _payload(backend: Path, name: str) -> Path:
    snapshot_id = name.partition("/")[2]
    (found,) = [p for p in backend.rglob("dump-*.rdb") if p.parent.name == snapshot_id]
    return found
