"""Restore: whatever fails, the running data stays; a kill at each step ships the safety cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar import failpoints
from sidecar.errors import (
    ExhaustedError,
    NotFoundError,
    RestoreInProgressError,
    SnapshotNotAvailableError,
)
from sidecar.model import CopyState, Operation, OperationState, Phase, Snapshot, Trigger
from sidecar.records import decode_restore_outcome
from tests.support.control_bench import ControlBench, disk_at, until
from tests.support.fake_engine import FakeEngineError, dump_fake

OLD, NEW = {"k": "old"}, {"k": "new", "l": "new"}
BEFORE = (
    "restore.planned",
    "restore.fetched",
    "restore.unpacked",
    "restore.loaded",
    "restore.before_commit",
)
AFTER = ("restore.committed", "restore.safety_recorded", "restore.safety_shipped")


async def prepared(bench: ControlBench) -> Snapshot:
    """Store OLD, then serve NEW, on the disk too."""
    bench.engine.data = dict(OLD)
    snapshot = await bench.take()
    bench.engine.data = dict(NEW)
    bench.engine.rdb.write_bytes(dump_fake(NEW))
    return snapshot


def error_code(operation: Operation) -> str:
    assert operation.error, operation
    return str(operation.error["code"])


def damage(bench: ControlBench, snapshot: Snapshot) -> None:
    """Flip a bit of the stored payload."""
    path = bench.data_dir / "snapshots" / snapshot.copies[0].payload_key
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.unlink()
    path.write_bytes(raw)


async def test_restore_switches_and_ships_what_was_replaced(bench: ControlBench) -> None:
    snapshot = await prepared(bench)
    done = await bench.restored(snapshot.snapshot_id)
    assert done.state is OperationState.DONE, done.error
    assert done.result
    outcome = decode_restore_outcome(done.result)
    assert (outcome.keys, outcome.replaced_keys) == (1, 2)
    assert bench.engine.data == OLD
    safety = bench.core.control_plane.snapshots.get(str(outcome.safety_snapshot_id))
    assert safety.manifest.trigger is Trigger.SAFETY
    assert safety.manifest.keys == 2
    assert bench.spool_files() == []
    figures = bench.core.figures
    assert set(figures.restore_phase_seconds) == {"fetch", "load", "commit", "total"}
    assert figures.snapshot_last_verified_at == safety.manifest.verification.verified_at
    back = await bench.restored(safety.snapshot_id)
    assert back.state is OperationState.DONE
    assert bench.engine.data == NEW


async def test_dry_run_plans_and_changes_nothing(bench: ControlBench) -> None:
    snapshot = await prepared(bench)
    done = await bench.restored(snapshot.snapshot_id, is_dry_run=True)
    assert done.result
    outcome = decode_restore_outcome(done.result)
    assert outcome.is_dry_run
    assert outcome.plan.replaced_keys == 2
    assert outcome.plan.problems == ()
    assert bench.engine.data == NEW
    assert bench.engine.commits == 0


async def test_unknown_snapshot_is_not_found(bench: ControlBench) -> None:
    with pytest.raises(NotFoundError) as caught:
        await bench.core.control_plane.restores.restore("20200101t000000z-manual-00000000")
    assert caught.value.code == "SNAPSHOT_NOT_FOUND"


async def test_deleted_snapshot_is_refused(bench: ControlBench) -> None:
    snapshot = await prepared(bench)
    await bench.core.control_plane.snapshots.delete(snapshot.snapshot_id)
    with pytest.raises(SnapshotNotAvailableError):
        await bench.core.control_plane.restores.restore(snapshot.snapshot_id)


async def test_damaged_payload_leaves_the_data_and_says_so(bench: ControlBench) -> None:
    snapshot = await prepared(bench)
    damage(bench, snapshot)
    done = await bench.restored(snapshot.snapshot_id)
    assert error_code(done) == "SNAPSHOT_DAMAGED"
    assert bench.engine.data == NEW
    assert bench.spool_files() == []


async def test_verify_marks_a_damaged_copy_for_good(bench: ControlBench) -> None:
    snapshot = await prepared(bench)
    snapshots = bench.core.control_plane.snapshots
    good = await bench.ended(await snapshots.verify(snapshot.snapshot_id))
    assert good.state is OperationState.DONE
    damage(bench, snapshot)
    done = await bench.ended(await snapshots.verify(snapshot.snapshot_id))
    assert error_code(done) == "SNAPSHOT_DAMAGED"
    assert snapshots.get(snapshot.snapshot_id).state is CopyState.DAMAGED
    with pytest.raises(SnapshotNotAvailableError):
        await bench.core.control_plane.restores.restore(snapshot.snapshot_id)
    assert bench.core.figures.verifications == {"passed": 1, "failed": 1}


async def test_second_restore_is_refused_and_names_the_first(bench: ControlBench) -> None:
    snapshot = await prepared(bench)
    bench.engine.hold("load_beside")
    restores = bench.core.control_plane.restores
    first = await restores.restore(snapshot.snapshot_id, request_id="r")
    again = await restores.restore(snapshot.snapshot_id, request_id="r")
    assert again.operation_id == first.operation_id
    with pytest.raises(RestoreInProgressError) as caught:
        await restores.restore(snapshot.snapshot_id)
    assert caught.value.context["operation_id"] == first.operation_id
    await until(lambda: "load_beside" in bench.engine.waiting)
    await bench.core.ground.operations.cancel(first.operation_id)
    assert (await bench.ended(first)).state is OperationState.CANCELLED
    assert bench.engine.data == NEW
    bench.engine.release("load_beside")
    assert (await bench.restored(snapshot.snapshot_id)).state is OperationState.DONE


@pytest.mark.parametrize(
    ("job", "code"),
    [("load_beside", "RDB_CORRUPT"), ("load_beside", "OUT_OF_MEMORY"), ("commit", "DISK_FULL")],
)
async def test_engine_failure_leaves_the_data_and_no_stage(
    bench: ControlBench, job: str, code: str
) -> None:
    snapshot = await prepared(bench)
    bench.engine.fail_next[job] = FakeEngineError(code)
    done = await bench.restored(snapshot.snapshot_id)
    assert error_code(done) == code
    assert bench.engine.data == NEW
    assert bench.engine.stages == {}
    assert bench.spool_files() == []


async def test_disk_that_is_full_at_the_commit_leaves_no_stage(
    bench: ControlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine holds one stage: one that nobody frees would refuse every later restore."""
    snapshot = await prepared(bench)
    catalogue = bench.core.ground.catalogue
    keep = catalogue.put_operation

    def put(operation: Operation, *also: str) -> None:
        if operation.progress.phase == Phase.COMMIT and not operation.is_done:
            raise ExhaustedError("no room left for the catalogue", code="DISK_FULL")
        keep(operation, *also)

    monkeypatch.setattr(catalogue, "put_operation", put)
    done = await bench.restored(snapshot.snapshot_id)
    assert error_code(done) == "DISK_FULL"
    assert bench.engine.data == NEW
    assert bench.engine.stages == {}
    assert bench.spool_files() == []


@pytest.mark.parametrize("step", [*BEFORE, *AFTER])
async def test_kill_at_each_step_leaves_a_whole_data_set(tmp_path: Path, step: str) -> None:
    """Before the commit the new data boots; after it the old, and what was replaced is shipped."""
    first = ControlBench(tmp_path)
    await first.boot()
    snapshot = await prepared(first)
    started: list[Operation] = []

    async def act() -> None:
        started.append(await first.restored(snapshot.snapshot_id))

    disk = await disk_at(first, step, act)
    await first.stop()
    second = ControlBench(disk)
    await second.boot()
    await second.core.maintain()
    assert second.engine.data == (NEW if step in BEFORE else OLD)
    safeties = [s for s in second.listed() if s.manifest.trigger is Trigger.SAFETY]
    assert len(safeties) == (0 if step in BEFORE else 1)
    assert second.spool_files() == []
    operation = second.core.ground.operations.get(started[0].operation_id)
    if step == "restore.safety_shipped":  # the result was kept before the cut went out
        assert operation.state is OperationState.DONE
    else:
        assert operation.state is OperationState.FAILED
        assert error_code(operation) == "OPERATION_INTERRUPTED"
    await second.stop()


async def test_kill_between_safety_cut_and_switch_ships_a_harmless_extra(tmp_path: Path) -> None:
    first = ControlBench(tmp_path)
    await first.boot()
    snapshot = await prepared(first)
    first.engine.on_job = failpoints.hit
    disk = await disk_at(first, "commit.cut", lambda: first.restored(snapshot.snapshot_id))
    await first.stop()
    second = ControlBench(disk)
    await second.boot()
    await second.core.maintain()
    assert second.engine.data == NEW
    assert [s.manifest.trigger for s in second.listed()].count(Trigger.SAFETY) == 1
    await second.stop()


async def test_switch_that_is_not_durable_keeps_the_safety_cut(bench: ControlBench) -> None:
    snapshot = await prepared(bench)

    def fail(kind: str) -> None:
        if kind == "commit.switched":
            raise FakeEngineError("COMMIT_NOT_DURABLE")

    bench.engine.on_job = fail
    done = await bench.restored(snapshot.snapshot_id)
    assert error_code(done) == "COMMIT_NOT_DURABLE"
    assert bench.engine.data == OLD
    await bench.core.maintain()
    assert [s.manifest.trigger for s in bench.listed()].count(Trigger.SAFETY) == 1


def miscount(bench: ControlBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine find one key more than the manifest promises."""
    honest = bench.engine._verify
    monkeypatch.setattr(
        bench.engine, "_verify", lambda path: honest(path) | {"keys": len(NEW) + len(OLD) + 9}
    )


async def test_payload_that_is_not_what_its_manifest_says_is_not_restored(
    bench: ControlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = await prepared(bench)
    miscount(bench, monkeypatch)
    done = await bench.restored(snapshot.snapshot_id)
    assert error_code(done) == "SNAPSHOT_DAMAGED"
    assert bench.engine.data == NEW
    assert bench.engine.stages == {}
    assert bench.engine.commits == 0


async def test_verify_compares_with_the_manifest(
    bench: ControlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = await prepared(bench)
    miscount(bench, monkeypatch)
    snapshots = bench.core.control_plane.snapshots
    done = await bench.ended(await snapshots.verify(snapshot.snapshot_id))
    assert error_code(done) == "SNAPSHOT_DAMAGED"
    assert snapshots.get(snapshot.snapshot_id).state is CopyState.DAMAGED
