"""A backend that hangs keeps nobody: not the end of the process, not the schedules at its start."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from backends.base import BlobReader
from backends.errors import BackendFullError
from backends.source import Digest
from sidecar import control_plane
from sidecar import schedules as schedules_module
from sidecar.catalogue import open_catalogue
from sidecar.clock import SystemClock
from sidecar.control_plane import CoreOptions
from sidecar.errors import BackendTimeoutError, ExhaustedError
from sidecar.model import CopyState, OperationState, Preset, ScheduleSpec, Trigger
from sidecar.observe import BackendFigures
from sidecar.records import decode_restore_outcome
from sidecar.storage import Storage, StorageOptions
from sidecar.usecases import CreateSnapshot
from tests.support.control_bench import ControlBench, disk_at, until
from tests.support.fake_engine import dump_fake
from tests.unit.sidecar.test_storage_faults import ScriptedBackend, make_storage

HOUR = timedelta(hours=1)
PATIENCE_SECONDS = 20.0  # far below what a backend may take for a payload


async def hanging(tmp_path: Path) -> tuple[ControlBench, ScriptedBackend]:
    """Boot on one backend, whose calls of `put` can be made to hang for ever."""
    backend = ScriptedBackend(tmp_path / "s")
    bench = ControlBench(tmp_path)
    await bench.boot(CoreOptions(storages=(make_storage(backend, "s", 3600),)))
    return bench, backend


async def test_stop_does_not_wait_for_the_backend_that_a_safety_cut_goes_to(
    tmp_path: Path,
) -> None:
    """The switch is done and recorded: the next boot says so, and ships what was replaced."""
    bench, backend = await hanging(tmp_path)
    bench.engine.data = {"k": "old"}
    snapshot = await bench.take()
    bench.engine.data = {"k": "new"}
    backend.gate.clear()
    operation = await bench.core.control_plane.restores.restore(snapshot.snapshot_id)
    await until(lambda: bench.engine.commits == 1)
    await until(lambda: bench.core.ground.storages["s"].figures.calls_running == 1)
    stopping = asyncio.create_task(bench.core.stop())
    done, _ = await asyncio.wait([stopping], timeout=PATIENCE_SECONDS)
    backend.gate.set()
    assert done, "the stop waited for the backend"
    bench._drop()
    await bench.boot(CoreOptions(storages=(make_storage(ScriptedBackend(tmp_path / "s"), "s"),)))
    known = bench.core.ground.operations.get(operation.operation_id)
    assert known.state is OperationState.DONE
    assert known.result
    outcome = decode_restore_outcome(known.result)
    await bench.core.maintain()
    safety = bench.core.control_plane.snapshots.get(str(outcome.safety_snapshot_id))
    assert safety.manifest.trigger is Trigger.SAFETY
    await bench.stop()


async def test_schedules_run_while_a_spooled_cut_goes_to_a_hanging_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_plane, "FIRST_SETTLE_SECONDS", 0.05)
    bench, backend = await hanging(tmp_path)
    bench.core.pipeline.stop()
    backend.gate.clear()
    await bench.core.control_plane.snapshots.create(CreateSnapshot())
    await until(lambda: any(name.endswith(".proof.json") for name in bench.spool_files()))
    await bench.core.stop()
    bench._drop()
    await until(lambda: len(bench.spool_files()) == 4)  # a thread that packs ends at its next look
    slow = ScriptedBackend(tmp_path / "s")
    slow.gate.clear()
    await bench.boot(CoreOptions(storages=(make_storage(slow, "s", 3600),)))
    bench.core.start()
    await until(lambda: bench.core.figures.schedule_next_run_at != {})
    bench.clock.advance(timedelta(hours=1))
    await until(lambda: bench.engine.cuts == 1)
    await bench.core.stop()
    slow.gate.set()
    backend.gate.set()
    bench._drop()


class SilentBackend(ScriptedBackend):
    """One that can be made to keep silent to readers, too."""

    def open_reader(
        self, key: str, *, offset_bytes: int = 0, length_bytes: int | None = None
    ) -> BlobReader:
        self.gate.wait(30)
        return super().open_reader(key, offset_bytes=offset_bytes, length_bytes=length_bytes)


async def two_backends(tmp_path: Path) -> tuple[ControlBench, SilentBackend]:
    """Boot on `good`, and on `bad`, which can be made to hang in all it does."""
    bench, bad = ControlBench(tmp_path), SilentBackend(tmp_path / "bad")
    good = make_storage(ScriptedBackend(tmp_path / "good"), "good")
    await bench.boot(CoreOptions(storages=(make_storage(bad, "bad", 3600), good)))
    bench.engine.data = {"k": "v"}
    return bench, bad


async def test_change_of_a_schedule_does_not_wait_for_a_backend_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules_module, "PUT_GRACE_SECONDS", 0.01)
    bench, bad = await two_backends(tmp_path)
    bad.gate.clear()
    schedules = bench.core.control_plane.schedules
    async with asyncio.timeout(PATIENCE_SECONDS):
        await schedules.update("hourly", ScheduleSpec(preset=Preset.DAILY))
    assert bench.core.ground.storages["bad"].figures.calls_running == 1
    bad.gate.set()
    await until(lambda: len(list((tmp_path / "bad").glob("**/schedules/hourly/*.json"))) == 2)
    await bench.stop()


async def test_start_reads_the_others_while_one_backend_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalogue is lost: what the good one has is listed, though the other one is not read."""
    monkeypatch.setattr(control_plane, "BOOT_READ_SECONDS", 0.5)
    bench, bad = await two_backends(tmp_path)
    snapshot = await bench.take()
    bench.engine.rdb.write_bytes(dump_fake({}))
    await bench.stop()
    bad.gate.clear()
    storages = (
        make_storage(bad, "bad", 3600),
        make_storage(ScriptedBackend(tmp_path / "good"), "good"),
    )
    catalogue = open_catalogue(bench.data_dir / "perdure.db", bench.clock.now(), HOUR).catalogue
    catalogue.replace_copies("good", [])
    catalogue.close()
    await bench.boot(CoreOptions(storages=storages))
    assert bench.core.rebuild.pending == {"bad"}
    assert [s.snapshot_id for s in bench.listed()] == [snapshot.snapshot_id]
    bad.gate.set()
    await bench.core.maintain()
    assert bench.core.rebuild.pending == set()
    await bench.stop()


async def test_payload_of_which_no_byte_moves_is_given_up(tmp_path: Path) -> None:
    backend = ScriptedBackend(tmp_path / "s")
    options = StorageOptions("scripted", 3600, 3600, stall_timeout_seconds=0.05)
    storage = Storage("s", lambda: backend, SystemClock(), BackendFigures(), options)
    payload = tmp_path / "payload"
    payload.write_bytes(b"x")
    backend.gate.clear()
    with pytest.raises(BackendTimeoutError, match=r"within 0\.05 s"):
        await storage.put_file("a", payload, Digest(1, sha256(b"x").hexdigest()))
    assert storage.figures.is_up is False
    backend.gate.set()
    await until(lambda: storage.figures.calls_running == 0)


async def test_maintenance_of_one_backend_does_not_wait_for_another(tmp_path: Path) -> None:
    """Both have a cut to get; the one that hangs keeps the other from neither cut nor purge."""
    bench, _ = await two_backends(tmp_path)
    disk = await disk_at(bench, "snapshot.proof_recorded", bench.take)
    await bench.stop()
    again, silent = ControlBench(disk, server={"boot_source": "empty"}), SilentBackend(disk / "bad")
    good = make_storage(ScriptedBackend(disk / "good"), "good")
    await again.boot(CoreOptions(storages=(make_storage(silent, "bad", 3600), good)))
    silent.gate.clear()
    again.core.start()
    await until(lambda: len(again.listed()) == 1)
    assert [copy.backend for copy in again.listed()[0].copies] == ["good"]
    swept_at = again.core._swept_at
    await until(lambda: swept_at.get("good") == again.clock.now())
    assert "bad" not in swept_at
    silent.gate.set()
    await until(lambda: len(again.listed()[0].copies) == 2)
    await again.stop()


async def test_deletion_on_a_hanging_backend_keeps_no_other_one_waiting(tmp_path: Path) -> None:
    bench, bad = await two_backends(tmp_path)
    snapshots = bench.core.control_plane.snapshots
    there = [
        await bench.ended(await snapshots.create(CreateSnapshot((name,))))
        for name in ("bad", "good")
    ]
    on_bad, on_good = [str(done.result["snapshot_id"]) for done in there if done.result]
    bad.gate.clear()
    hanging_one = asyncio.create_task(snapshots.delete(on_bad))
    await until(lambda: bench.core.ground.storages["bad"].figures.calls_running == 1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await snapshots.delete(on_good)).state is CopyState.DELETING
    assert not hanging_one.done()
    bad.gate.set()
    assert (await hanging_one).state is CopyState.DELETING
    await bench.stop()


async def test_copies_get_their_tombstones_whatever_another_backend_does(tmp_path: Path) -> None:
    """It refuses, then hangs: what fails is told at the end, and repeating does the rest."""
    bench, bad = await two_backends(tmp_path)
    snapshots = bench.core.control_plane.snapshots
    taken = [await bench.take() for _ in range(2)]
    bad.failure = lambda _key: BackendFullError("full")
    with pytest.raises(ExhaustedError):
        await snapshots.delete(taken[0].snapshot_id)
    assert _buried(bench, taken[0].snapshot_id) == ["good"]
    bad.failure = lambda _key: None
    bad.gate.clear()
    hanging_one = asyncio.create_task(snapshots.delete(taken[1].snapshot_id))
    await until(lambda: _buried(bench, taken[1].snapshot_id) == ["good"])
    again = asyncio.create_task(snapshots.delete(taken[1].snapshot_id))
    bad.gate.set()
    await asyncio.gather(hanging_one, again)
    await snapshots.delete(taken[0].snapshot_id)
    for snapshot in taken:
        assert _buried(bench, snapshot.snapshot_id) == ["bad", "good"]
        for name in ("bad", "good"):
            notes = (tmp_path / name).glob(f"**/{snapshot.snapshot_id}/notes/*")
            assert len(list(notes)) == 1, "deleted twice, buried once"
    await bench.stop()


def _buried(bench: ControlBench, snapshot_id: str) -> list[str]:
    copies = bench.core.control_plane.snapshots.get(snapshot_id).copies
    return sorted(copy.backend for copy in copies if copy.state is CopyState.DELETING)


async def test_changes_of_one_schedule_follow_one_another(tmp_path: Path) -> None:
    bench, bad = await two_backends(tmp_path)
    schedules = bench.core.control_plane.schedules
    bad.gate.clear()
    changes = [
        asyncio.create_task(schedules.update("hourly", ScheduleSpec(cron=f"{n} * * * *")))
        for n in range(3)
    ]
    await until(lambda: bench.core.ground.storages["bad"].figures.calls_running > 0)
    bad.gate.set()
    revisions = [(await change).schedule.revision for change in changes]
    assert revisions == [2, 3, 4]
    assert schedules.get("hourly").schedule.spec.cron == "2 * * * *"
    await bench.stop()
