"""What lies on one backend while another has still to take it: deleted, purged, of another cut."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from backends.errors import BackendUnavailableError
from sidecar.control_plane import CoreOptions
from sidecar.errors import ConflictError
from sidecar.lanes import RETRY_FIRST
from sidecar.model import CopyState, OperationState, Snapshot
from sidecar.storage import Storage
from sidecar.usecases import CreateSnapshot
from tests.support.control_bench import ControlBench, until
from tests.support.fault_backend import Fault, FaultBackend
from tests.support.memory_backend import MemoryBackend
from tests.unit.sidecar.test_storage_faults import make_storage

HOUR = timedelta(hours=1)


class Pair:
    """A bench on `a`, which takes all, and `b`, whose faults a test scripts."""

    def __init__(self, folder: Path) -> None:
        self.a, self.b = MemoryBackend(), MemoryBackend()
        self.faulty = FaultBackend(self.b)
        self.bench = ControlBench(
            folder,
            snapshots={"deletion_grace": 0},
            schedules={"hourly": {"preset": "hourly", "keep_last": 0}},
        )

    def storages(self) -> tuple[Storage, Storage]:
        return make_storage(self.a, "a"), make_storage(self.faulty, "b")

    async def boot(self) -> ControlBench:
        await self.bench.boot(CoreOptions(storages=self.storages()))
        self.bench.engine.data = {"secret": "1"}
        return self.bench

    def lose_b(self) -> None:
        error = BackendUnavailableError("away")
        self.faulty.faults = [Fault("put", on_call=0, match="/dump-", error=error)]

    async def take_on_a(self) -> Snapshot:
        """Take a snapshot that only `a` has, and that waits for `b`."""
        self.lose_b()
        bench = self.bench
        done = await bench.ended(await bench.core.control_plane.snapshots.create(CreateSnapshot()))
        assert done.state is OperationState.FAILED
        (snapshot,) = bench.listed()
        assert [copy.backend for copy in snapshot.copies] == ["a"]
        return snapshot

    async def maintain(self) -> None:
        """Let the pause of a failing backend pass, and do all that waits."""
        for _ in range(2):
            self.bench.clock.advance(HOUR + RETRY_FIRST)
            await self.bench.core.maintain()


def manifests(backend: MemoryBackend) -> list[str]:
    return [key for key in backend.blobs if key.endswith("/manifest.json")]


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_deleted_snapshot_does_not_come_to_the_backend_that_was_away(
    tmp_path: Path, *, is_restarted: bool
) -> None:
    pair = Pair(tmp_path)
    bench = await pair.boot()
    snapshot = await pair.take_on_a()
    gone = await bench.core.control_plane.snapshots.delete(snapshot.snapshot_id)
    assert gone.state is CopyState.DELETING
    if is_restarted:
        await bench.crash()
        await pair.boot()
    pair.faulty.faults.clear()
    await pair.maintain()
    assert manifests(pair.a) == manifests(pair.b) == []
    assert bench.listed() == []
    assert bench.spool_files() == []
    await bench.stop()


async def test_purged_copy_is_not_stored_again_after_a_restart(tmp_path: Path) -> None:
    """Retention purged it on one backend; the other one has still to take it, and gets it."""
    pair = Pair(tmp_path)
    bench = await pair.boot()
    snapshot = await pair.take_on_a()
    await bench.core.rotation.bury(snapshot.copies[0], "asked for")
    await pair.maintain()
    assert manifests(pair.a) == []
    await bench.crash()
    await pair.boot()
    await pair.maintain()
    assert manifests(pair.a) == []
    pair.faulty.faults.clear()
    await pair.maintain()
    assert (len(manifests(pair.a)), len(manifests(pair.b))) == (0, 1)
    assert bench.spool_files() == []
    await bench.stop()


@pytest.mark.parametrize("match", ["/dump-", "/manifest.json"])
async def test_delete_while_a_backend_takes_it(tmp_path: Path, match: str) -> None:
    """A payload on its way is taken back; while the manifest is, the delete is refused."""
    pair, go = Pair(tmp_path), threading.Event()
    fault = Fault("put", match=match, hold=go)
    bench = await pair.boot()
    pair.faulty.faults.append(fault)
    bench.clock.advance(HOUR)
    (operation,) = bench.core.scheduler.run_due()
    await until(fault.reached.is_set)
    await until(lambda: len(bench.listed()) == 1)
    snapshot_id = bench.listed()[0].snapshot_id
    snapshots = bench.core.control_plane.snapshots
    if match == "/manifest.json":
        with pytest.raises(ConflictError, match="backend b") as refused:
            await snapshots.delete(snapshot_id)
        assert (refused.value.code, refused.value.is_retryable) == ("SNAPSHOT_IN_USE", True)
    else:
        await snapshots.delete(snapshot_id)
    go.set()
    await bench.ended(operation)
    assert len(manifests(pair.b)) == (match == "/manifest.json")
    await snapshots.delete(snapshot_id)
    await pair.maintain()
    assert bench.listed() == []
    assert not [key for key in (*pair.a.blobs, *pair.b.blobs) if snapshot_id in key]
    assert bench.spool_files() == []
    await bench.stop()


async def test_second_content_under_an_id_is_set_aside(tmp_path: Path) -> None:
    """Whatever brought it about: the other backend does not get it, and a person can look."""
    pair = Pair(tmp_path)
    bench = await pair.boot()
    snapshot = await pair.take_on_a()
    pair.faulty.faults.clear()
    spool, now = bench.core.ground.spool, bench.clock.now()
    (cut,), _ = spool.entries()
    other = spool.plan(cut.targets, now)
    bench.engine.data = {"secret": "2"}
    await bench.core.engine.cut(other.rdb, "cut", lambda _progress: None)
    proof = await bench.core.engine.verify(other.rdb, lambda _progress: None)
    spool.record_proof(other, proof, now)
    spool.remove(cut)
    await pair.maintain()
    assert (len(manifests(pair.a)), manifests(pair.b)) == (1, [])
    assert bench.listed()[0].manifest.raw_sha256 == snapshot.manifest.raw_sha256
    assert bench.spool_files() == []
    assert len(list((bench.data_dir / "spool/quarantine").glob("*/*.rdb"))) == 1
    await bench.stop()
