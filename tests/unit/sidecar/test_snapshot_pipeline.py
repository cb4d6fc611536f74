"""A snapshot's life, and a kill at each of its steps: goal, nothing lost and nothing twice."""

from __future__ import annotations

import errno
import json
from datetime import timedelta
from pathlib import Path

import pytest

from sidecar.errors import RequestIdReusedError
from sidecar.model import Compression, CopyState, Operation, OperationState, Trigger
from sidecar.spool import CutTarget
from sidecar.usecases import CreateSnapshot
from tests.support.control_bench import ControlBench, disk_at
from tests.support.fake_engine import LOG_POSITION, FakeEngineError, dump_fake

STEPS = (
    "snapshot.planned",
    "snapshot.cut",
    "snapshot.cut_recorded",
    "snapshot.verified",
    "snapshot.proof_recorded",
    "snapshot.packed",
    "snapshot.payload_put",
    "snapshot.manifest_put",
    "snapshot.catalogued",
    "snapshot.shipped",
    "snapshot.cleaned",
)


async def test_snapshot_is_stored_with_a_manifest_that_says_what_it_is(bench: ControlBench) -> None:
    snapshot = await bench.take()
    manifest = snapshot.manifest
    assert snapshot.state is CopyState.AVAILABLE
    assert manifest.trigger is Trigger.MANUAL
    assert manifest.keys == 2
    assert manifest.compression is Compression.ZSTD
    assert manifest.payload.endswith(".rdb.zst")
    assert manifest.log_position == tuple(LOG_POSITION.values())
    assert bench.spool_files() == []
    assert bench.core.figures.snapshot_attempts["manual", "ok"] == 1


async def test_uncompressed_payload_is_the_rdb_itself(bench: ControlBench) -> None:
    operation = await bench.core.control_plane.snapshots.create(
        CreateSnapshot(compression=Compression.NONE)
    )
    done = await bench.ended(operation)
    assert done.result
    snapshot = bench.core.control_plane.snapshots.get(str(done.result["snapshot_id"]))
    path = bench.data_dir / "snapshots" / snapshot.copies[0].payload_key
    assert path.read_bytes() == dump_fake({"a": "1", "b": "2"})


async def test_same_request_id_gives_the_first_operation(bench: ControlBench) -> None:
    create = bench.core.control_plane.snapshots.create
    first = await create(CreateSnapshot(), "r1")
    second = await create(CreateSnapshot(), "r1")
    assert second.operation_id == first.operation_id
    await bench.ended(first)
    assert (await create(CreateSnapshot(), "r1")).operation_id == first.operation_id
    with pytest.raises(RequestIdReusedError):
        await create(CreateSnapshot(compression=Compression.NONE), "r1")
    assert bench.engine.cuts == 1


@pytest.mark.parametrize("step", STEPS)
async def test_kill_at_each_step_ships_a_whole_cut_once(tmp_path: Path, step: str) -> None:
    """Copy the disk at the step, boot on the copy, settle: one snapshot, or none before the cut."""
    first = ControlBench(tmp_path)
    await first.boot()
    first.engine.data = {"a": "1"}
    started: list[Operation] = []

    async def act() -> None:
        operation = await first.core.control_plane.snapshots.create(CreateSnapshot(), "request")
        started.append(operation)
        await first.ended(operation)

    disk = await disk_at(first, step, act)
    await first.stop()
    second = ControlBench(disk, server={"boot_source": "empty"})
    await second.boot()
    await second.core.maintain()
    operation = second.core.ground.operations.get(started[0].operation_id)
    if step == "snapshot.planned":
        assert second.listed() == []
        assert operation.state is OperationState.FAILED
        assert operation.error
        assert operation.error["code"] == "OPERATION_INTERRUPTED"
    else:
        assert len(second.listed()) == 1
        assert operation.state is OperationState.DONE
        assert operation.result == {"snapshot_id": second.listed()[0].snapshot_id}
    assert second.spool_files() == []
    await second.core.maintain()
    assert len(second.files("**/manifest.json")) == len(second.listed())
    assert second.core.figures.cuts_quarantined == 0
    await second.stop()


async def test_unfinished_file_is_swept_and_counted(tmp_path: Path) -> None:
    first = ControlBench(tmp_path)
    await first.boot()
    disk = await disk_at(first, "snapshot.cut", first.take)
    await first.stop()
    rdb = next((disk / "data" / "spool").glob("*.rdb"))
    rdb.write_bytes(rdb.read_bytes()[:-1])
    second = ControlBench(disk, server={"boot_source": "empty"})
    await second.boot()
    await second.core.maintain()
    assert second.listed() == []
    assert second.core.figures.cuts_unfinished == 1
    assert second.spool_files() == []
    await second.stop()


async def test_finished_cut_that_changed_is_quarantined_not_deleted(tmp_path: Path) -> None:
    first = ControlBench(tmp_path)
    await first.boot()
    disk = await disk_at(first, "snapshot.proof_recorded", first.take)
    await first.stop()
    rdb = next((disk / "data" / "spool").glob("*.rdb"))
    raw = bytearray(rdb.read_bytes())
    raw[-1] ^= 1
    rdb.write_bytes(raw)
    second = ControlBench(disk, server={"boot_source": "empty"})
    await second.boot()
    await second.core.maintain()
    assert second.listed() == []
    assert second.core.figures.cuts_quarantined == 1
    assert list((disk / "data" / "spool" / "quarantine").glob("*/*.rdb"))
    await second.stop()


async def test_cut_that_does_not_verify_fails_with_its_code(bench: ControlBench) -> None:
    bench.engine.fail_next["verify"] = FakeEngineError("RDB_CORRUPT")
    operation = await bench.core.control_plane.snapshots.create(CreateSnapshot())
    done = await bench.ended(operation)
    assert done.error
    assert done.error["code"] == "CUT_DAMAGED"
    assert bench.files("**/dump-*") == []
    assert bench.core.figures.cuts_quarantined == 1


async def test_failed_fork_leaves_nothing_behind(bench: ControlBench) -> None:
    bench.engine.fail_next["cut"] = FakeEngineError("DISK_FULL", is_retryable=True)
    done = await bench.ended(await bench.core.control_plane.snapshots.create(CreateSnapshot()))
    assert done.error
    assert done.error["code"] == "DISK_FULL"
    assert bench.spool_files() == []


async def test_cancel_during_the_cut_removes_it(bench: ControlBench) -> None:
    bench.engine.hold("cut")
    operation = await bench.core.control_plane.snapshots.create(CreateSnapshot())
    while "cut" not in bench.engine.waiting:
        await bench.core.ground.operations.wait(operation.operation_id, 0.01)
    await bench.core.ground.operations.cancel(operation.operation_id)
    done = await bench.ended(operation)
    assert done.state is OperationState.CANCELLED
    assert bench.engine.cancelled
    assert bench.spool_files() == []
    bench.engine.release("cut")
    await bench.take()


async def test_full_spool_refuses_a_new_cut(tmp_path: Path) -> None:
    bench = ControlBench(tmp_path, spool={"size_bytes_max": 1 << 20})
    await bench.boot()
    (bench.data_dir / "spool" / "x.rdb").write_bytes(bytes(2 << 20))
    done = await bench.ended(await bench.core.control_plane.snapshots.create(CreateSnapshot()))
    assert done.error
    assert done.error["code"] == "SPOOL_FULL"
    assert bench.engine.cuts == 0
    await bench.stop()


async def test_full_spool_never_drops_what_a_restore_replaced(tmp_path: Path) -> None:
    """The oldest cut goes at the limit, but a safety cut is the only copy of its data."""
    limit = {"size_bytes_max": 1 << 20, "at_limit": "keep-newest"}
    bench = ControlBench(tmp_path, spool=limit)
    await bench.boot()
    spool, clock = bench.core.ground.spool, bench.clock
    kinds = {Trigger.SAFETY: "20261122t000000z-safety-00000000", Trigger.MANUAL: "x"}
    waiting = {}
    for trigger, snapshot_id in kinds.items():
        target = CutTarget(snapshot_id, trigger, ("local",), Compression.NONE)
        waiting[trigger] = spool.plan([target], clock.now())
        clock.advance(timedelta(seconds=1))
    waiting[Trigger.SAFETY].rdb.write_bytes(bytes(1 << 19))
    waiting[Trigger.MANUAL].rdb.write_bytes(bytes(1 << 19))
    await bench.take()
    assert waiting[Trigger.SAFETY].rdb.exists()
    assert not waiting[Trigger.MANUAL].rdb.exists()
    assert bench.core.figures.cuts_dropped == 1
    waiting[Trigger.SAFETY].rdb.write_bytes(bytes(2 << 20))
    done = await bench.ended(await bench.core.control_plane.snapshots.create(CreateSnapshot()))
    assert done.error
    assert done.error["code"] == "SPOOL_FULL"
    assert waiting[Trigger.SAFETY].rdb.exists()
    await bench.stop()


async def test_stored_snapshot_has_not_failed_because_its_cut_cannot_be_removed(
    bench: ControlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refuses; the cut goes when it does no more, and is not stored a second time."""
    unlink = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path.suffix == ".rdb":
            raise OSError(errno.EIO, "refused", str(path))
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        await bench.take()
    assert any(name.endswith(".rdb") for name in bench.spool_files())
    await bench.core.settling.settle()
    assert bench.spool_files() == []
    assert len(bench.files("**/dump-*")) == 1


@pytest.mark.parametrize("word", ["trigger", "compression"])
async def test_plan_of_a_newer_version_is_set_aside(bench: ControlBench, word: str) -> None:
    spool = bench.core.ground.spool
    target = CutTarget("m", Trigger.MANUAL, ("local",), Compression.NONE)
    plan = spool.plan([target], bench.clock.now()).record("plan")
    document = json.loads(plan.read_text())
    document["targets"][0][word] = "of-tomorrow"
    plan.write_text(json.dumps(document))
    await bench.crash()
    await bench.boot()
    assert bench.spool_files() == []
    assert len(list((bench.data_dir / "spool/quarantine").glob(f"*/{plan.name}"))) == 1
