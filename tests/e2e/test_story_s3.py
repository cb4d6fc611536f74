"""The main job against a real S3 server that is killed in the middle of an upload."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import redis

from tests.support.dataset import write_dataset
from tests.support.holding_proxy import HoldingProxy
from tests.support.processes import RedisServer, Sidecar, digest_of, wait_for
from tests.support.s3_server import CREDENTIALS, VersityGateway

KEYS = 50_000
SEED = 20_261_123
BUCKET = "snapshots"
MIDDLE_BYTES = 12 << 20
CONFIG = """
[backends.s3]
type = "s3"
bucket = "{bucket}"
prefix = "backups"
store = "versitygw"
endpoint_url = "{url}"
part_size_bytes = 5242880

[schedules.yearly]
cron = "0 0 1 1 *"
keep_last = 1
"""


def test_snapshot_survives_the_store_and_brings_everything_back(tmp_path: Path) -> None:
    """Snapshot, kill the store in the middle, bring it back, list, restore, clone.

    The same digest stands in the server that wrote, after the restore, in the clone, and in a real
    server that loads the object as it lies in the bucket.
    """
    with (
        VersityGateway(tmp_path / "store") as store,
        HoldingProxy(store.port) as proxy,
    ):
        store.make_bucket(BUCKET)
        config = CONFIG.format(bucket=BUCKET, url=proxy.url)
        with Sidecar(tmp_path / "sidecar", config=config, env=CREDENTIALS) as sidecar:
            assert "FAILED" not in sidecar.cli("backend", "check", "s3").stdout.upper()
            digest = _fill(sidecar)
            snapshot = _snapshot_despite_a_crash(sidecar, store, proxy)
            _lose_all_and_restore(sidecar, snapshot, digest)
            _clone(sidecar, snapshot, digest)
            assert sidecar.stop() == 0
        assert _digest_in_a_real_server(store, snapshot, tmp_path / "reader") == digest


def _fill(sidecar: Sidecar) -> str:
    write_dataset(sidecar.ports["resp"], KEYS, SEED)
    with sidecar.client() as client:
        for number in range(24):
            client.set(f"large:{number}", os.urandom(1 << 20))
    return sidecar.digest()


def _snapshot_despite_a_crash(
    sidecar: Sidecar, store: VersityGateway, proxy: HoldingProxy
) -> dict[str, Any]:
    """Kill the store when half of the payload is there; return the snapshot that came of it."""
    proxy.hold_after(MIDDLE_BYTES)
    sidecar.cli("snapshot", "create", "--no-wait")
    assert proxy.held.wait(60)
    assert len(store.uploads(BUCKET)) == 1, "it was not in the middle of an upload"
    store.kill()
    proxy.let_go()
    wait_for(lambda: proxy.refused_count, "an attempt that finds nobody")
    assert sidecar.json("snapshot", "list")["snapshots"] == []
    with sidecar.client() as client:
        assert client.get("large:0"), "a dead store keeps nobody from reading"
    store.start()

    def stored() -> dict[str, Any] | None:
        found: list[dict[str, Any]] = sidecar.json("snapshot", "list")["snapshots"]
        return found[0] if found else None

    return wait_for(stored, "the snapshot to be stored", 150)


def _lose_all_and_restore(sidecar: Sidecar, snapshot: dict[str, Any], digest: str) -> None:
    with sidecar.client() as client:
        client.flushall()
    assert sidecar.digest() != digest
    sidecar.cli("restore", snapshot["name"])
    assert sidecar.digest() == digest


def _clone(sidecar: Sidecar, snapshot: dict[str, Any], digest: str) -> None:
    clone = sidecar.json("clone", "create", "--snapshot", snapshot["name"])
    try:
        host, _, port = clone["endpoints"]["resp"].rpartition(":")
        with redis.Redis(host=host, port=int(port), socket_timeout=300) as client:
            assert digest_of(client) == digest
    finally:
        sidecar.cli("clone", "delete", clone["name"])


def _digest_in_a_real_server(store: VersityGateway, snapshot: dict[str, Any], folder: Path) -> str:
    snapshot_id = snapshot["name"].partition("/")[2]
    (key,) = [k for k in store.keys(BUCKET) if snapshot_id in k and "/dump-" in k]
    assert key.startswith("backups/")
    folder.mkdir()
    client = store.client()
    client.download_file(BUCKET, key, str(folder / "dump.rdb"))
    client.close()
    with RedisServer(folder) as server:
        return server.digest()
