"""Clones over a fake provisioner, the fake engine and a driven clock: making, leases, ends."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from sidecar import clone_plan
from sidecar.clone_record import Clone, CloneState, ProcessMark, Seed, read_record
from sidecar.control_plane import CoreOptions
from sidecar.errors import (
    CloneBusyError,
    ExhaustedError,
    InvalidArgumentError,
    NotFoundError,
    PerdureError,
    RequestIdReusedError,
    RevisionMismatchError,
    SnapshotNotAvailableError,
)
from sidecar.model import Compression, Operation, OperationState
from sidecar.paging import ListRequest
from sidecar.usecases import CloneFilter, CreateClone, CreateSnapshot, ImportSnapshot
from tests.support.control_bench import ControlBench, until
from tests.support.fake_engine import FakeEngineError, dump_fake, load_fake
from tests.support.fake_provisioner import RUNNING, FakeProvisioner, folders_below

HOUR = timedelta(hours=1)
LIVE = CreateClone(is_live=True)


class CloneBench(ControlBench):
    """A control plane with a world of processes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, server={"boot_source": "empty"})
        self.world = FakeProvisioner()

    async def begin(self) -> None:
        """Start on what is on the disk, with some data in the engine."""
        await self.boot(CoreOptions(provisioner=self.world))
        self.engine.data = {"a": "1", "b": "2"}

    @property
    def clones(self) -> list[Clone]:
        """Return what is listed."""
        return list(self.core.clones.list(ListRequest(), CloneFilter()).items)

    async def made(self, request: CreateClone = LIVE) -> Clone:
        """Make one and wait for it."""
        done = await self.ended(await self.core.clones.create(request))
        assert done.state is OperationState.DONE, done.error
        return self.core.clones.get(done.target.removeprefix("clones/"))

    async def failed(self, request: CreateClone = LIVE) -> Operation:
        """Fail to make one; nothing of it may be left."""
        done = await self.ended(await self.core.clones.create(request))
        assert done.state is not OperationState.DONE
        self.assert_nothing_left()
        return done

    async def driven(self, operation: Operation, stride: timedelta) -> Operation:
        """Let time pass until it has ended."""
        while self.core.ground.operations.is_running(operation.operation_id):
            self.clock.advance(stride)
            await asyncio.sleep(0.001)
        return await self.ended(operation)

    def assert_nothing_left(self) -> None:
        """Hold what a failure and a deletion promise."""
        assert self.clones == []
        assert self.world.alive == []
        assert folders_below(self.data_dir) == []


class SlowDisk:
    """Holds the writing of records until `go` is set."""

    def __init__(self, bench: CloneBench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self._writing = threading.Event(), threading.Event()
        store = bench.core.clones._parts.store
        replace = store.replace

        def held(clone: Clone) -> None:
            self._writing.set()
            assert self.go.wait(30)
            replace(clone)

        monkeypatch.setattr(store, "replace", held)

    def is_writing(self) -> bool:
        """Return whether a record is being written, or was."""
        return self._writing.is_set()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[CloneBench]:
    """Give a running control plane."""
    bench = CloneBench(tmp_path)
    await bench.begin()
    yield bench
    await bench.stop()


async def test_a_clone_of_a_snapshot_begins_with_its_data(bench: CloneBench) -> None:
    snapshot = await bench.take()
    bench.engine.data = {}
    clone = await bench.made(CreateClone(snapshot_id=snapshot.snapshot_id))
    assert clone.state is CloneState.READY
    assert clone.snapshot_id == snapshot.snapshot_id
    assert clone.cut_at == snapshot.manifest.cut_at
    assert clone.keys == 2
    assert clone.endpoints["resp"] == "127.0.0.1:1"
    assert clone.lease_end_at is None
    folder = bench.core.clones.folder_of(clone.clone_id)
    assert load_fake(folder.rdb) == {"a": "1", "b": "2"}
    assert bench.world.specs[0].server_name != "default"
    assert bench.world.specs[0].directives["save"] == ""


async def test_without_a_source_it_is_the_newest_snapshot(bench: CloneBench) -> None:
    with pytest.raises(SnapshotNotAvailableError):
        await bench.core.clones.create(CreateClone())
    await bench.take()
    bench.clock.advance(HOUR)
    newest = await bench.take()
    assert (await bench.made(CreateClone())).snapshot_id == newest.snapshot_id


async def test_without_a_source_it_is_no_import_while_there_is_anything_else(
    bench: CloneBench,
) -> None:
    own = await bench.take()
    bench.clock.advance(HOUR)
    file = dump_fake({"from": "outside"})

    async def chunks() -> AsyncIterator[bytes]:
        yield file

    announced = ImportSnapshot(len(file), hashlib.sha256(file).hexdigest())
    transfers = bench.core.control_plane.transfers
    imported = await bench.ended(await transfers.import_file(announced, chunks()))
    assert (await bench.made(CreateClone())).snapshot_id == own.snapshot_id
    await bench.core.control_plane.snapshots.delete(own.snapshot_id)
    assert imported.result == {"snapshot_id": (await bench.made(CreateClone())).snapshot_id}


async def test_a_clone_of_the_live_data_lists_no_snapshot(bench: CloneBench) -> None:
    clone = await bench.made()
    assert clone.seed is Seed.CUT
    assert clone.cut_at == bench.clock.now()
    assert bench.listed() == []


@pytest.mark.parametrize("fault", ["fail_launch", "lost_keys", "ends_at_once"])
async def test_a_clone_that_does_not_come_to_serve_leaves_nothing(
    bench: CloneBench, fault: str
) -> None:
    setattr(bench.world, fault, {"ends_at_once": "ended with exit code 11"}.get(fault, 1))
    done = await bench.failed()
    assert done.error is not None
    assert done.error["code"] == "CLONE_FAILED"
    if fault == "ends_at_once":
        assert "Error: it is only a test" in str(done.error["message"]), "the log's end is told"
    assert bench.core.figures.clone_creations["failed"] == 1


async def test_a_damaged_payload_makes_no_clone(bench: CloneBench) -> None:
    snapshot = await bench.take()
    [payload] = (bench.data_dir / "snapshots").glob("**/dump-*")
    payload.write_bytes(payload.read_bytes()[:-1])
    done = await bench.failed(CreateClone(snapshot_id=snapshot.snapshot_id))
    assert done.error is not None
    assert bench.world.specs == [], "no process was started on it"


async def test_a_plain_payload_is_linked_and_still_read_back(bench: CloneBench) -> None:
    """Another file of the same form, put in the payload's place, makes no clone."""
    plain = CreateSnapshot(compression=Compression.NONE)
    await bench.ended(await bench.core.control_plane.snapshots.create(plain))
    clone = await bench.made(CreateClone())
    [payload] = (bench.data_dir / "snapshots").glob("**/dump-*")
    assert clone.seed is Seed.LINK
    assert bench.core.clones.folder_of(clone.clone_id).rdb.samefile(payload)
    await bench.ended(await bench.core.clones.delete(clone.clone_id))
    payload.write_bytes(dump_fake({"a": "1", "b": "3"}))
    done = await bench.failed(CreateClone())
    assert done.error is not None
    assert done.error["code"] == "SNAPSHOT_DAMAGED"
    assert len(bench.world.specs) == 1, "no process was started on it"


async def test_a_start_that_takes_too_long_is_given_up(bench: CloneBench) -> None:
    bench.world.is_slow = True
    operation = await bench.core.clones.create(LIVE)
    await until(lambda: RUNNING in bench.world.states.values())
    done = await bench.driven(operation, timedelta(minutes=1))
    assert done.error is not None
    assert done.error["code"] == "CLONE_START_TIMEOUT"
    bench.assert_nothing_left()


async def test_a_cancelled_clone_leaves_nothing(bench: CloneBench) -> None:
    bench.world.is_slow = True
    operation = await bench.core.clones.create(LIVE)
    await until(lambda: RUNNING in bench.world.states.values())
    [clone] = bench.clones
    assert clone.state is CloneState.CREATING
    with pytest.raises(CloneBusyError):
        await bench.core.clones.delete(clone.clone_id)
    with pytest.raises(CloneBusyError):
        await bench.core.clones.renew(clone.clone_id, 60)
    await bench.core.ground.operations.cancel(operation.operation_id)
    assert (await bench.ended(operation)).state is OperationState.CANCELLED
    bench.assert_nothing_left()


async def test_a_lease_begins_when_the_clone_is_ready_and_takes_it_when_over(
    bench: CloneBench,
) -> None:
    clone = await bench.made(CreateClone(is_live=True, lease_seconds=3600))
    assert clone.lease_end_at == bench.clock.now() + HOUR
    bench.clock.advance(HOUR - timedelta(seconds=1))
    await bench.core.clones.tend()
    assert bench.clones == [clone]
    bench.clock.advance(timedelta(seconds=1))
    await bench.core.clones.tend()
    bench.assert_nothing_left()
    assert bench.world.patience == [10.0], "it was asked to end first"
    assert bench.core.figures.clone_deletions == {"lease": 1}


async def test_a_renewal_counts_from_now(bench: CloneBench) -> None:
    clone = await bench.made(CreateClone(is_live=True, lease_seconds=60))
    bench.clock.advance(timedelta(seconds=59))
    renewed = await bench.core.clones.renew(clone.clone_id, 7200, clone.etag)
    assert renewed.lease_end_at == bench.clock.now() + 2 * HOUR
    with pytest.raises(RevisionMismatchError):
        await bench.core.clones.renew(clone.clone_id, 60, clone.etag)
    bench.clock.advance(2 * HOUR - timedelta(seconds=1))
    await bench.core.clones.tend()
    assert len(bench.clones) == 1
    with pytest.raises(InvalidArgumentError):
        await bench.core.clones.renew(clone.clone_id, 0)


async def test_what_is_renewed_while_its_lease_ends_stays(
    bench: CloneBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease is over while the renewal is written; the renewal is answered with success."""
    clone = await bench.made(CreateClone(is_live=True, lease_seconds=10))
    disk = SlowDisk(bench, monkeypatch)
    renewing = asyncio.create_task(bench.core.clones.renew(clone.clone_id, 3600))
    await until(disk.is_writing)
    bench.clock.advance(timedelta(seconds=11))
    tending = asyncio.create_task(bench.core.clones.tend())
    await asyncio.sleep(0)
    disk.go.set()
    renewed = await renewing
    await tending
    assert bench.clones == [renewed]
    assert bench.world.alive == [clone.process]


async def test_a_deletion_by_etag_does_not_take_what_changed_meanwhile(
    bench: CloneBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The etag is right when the deletion is asked for, while a renewal is being written."""
    clone = await bench.made(CreateClone(is_live=True, lease_seconds=10))
    disk = SlowDisk(bench, monkeypatch)
    renewing = asyncio.create_task(bench.core.clones.renew(clone.clone_id, 3600))
    await until(disk.is_writing)
    deletion = await bench.core.clones.delete(clone.clone_id, clone.etag)
    disk.go.set()
    renewed = await renewing
    done = await bench.ended(deletion)
    assert done.error is not None
    assert done.error["code"] == "REVISION_MISMATCH"
    assert bench.clones == [renewed]
    assert bench.world.alive == [clone.process]


async def test_a_renewal_that_is_cancelled_while_it_is_written_is_known_as_it_lies_on_the_disk(
    bench: CloneBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a later change waits for it, so that the older record never comes after the newer."""
    clone = await bench.made(CreateClone(is_live=True, lease_seconds=10))
    disk = SlowDisk(bench, monkeypatch)
    renewing = asyncio.create_task(bench.core.clones.renew(clone.clone_id, 3600))
    await until(disk.is_writing)
    renewing.cancel()
    later = asyncio.create_task(bench.core.clones.renew(clone.clone_id, 7200))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not later.done()
    assert bench.core.clones._changing.locked(), "the later one waits"
    disk.go.set()
    with pytest.raises(asyncio.CancelledError):
        await renewing
    renewed = await later
    record = bench.core.clones.folder_of(clone.clone_id).record
    assert read_record(record) == renewed == bench.clones[0]
    assert renewed.revision == clone.revision + 2


async def test_a_repeated_renewal_answers_the_first_result(bench: CloneBench) -> None:
    request_id = "0b9f7f1e-7b0e-4a53-9d54-0f6f7f1f3d12"
    clone = await bench.made()
    first = await bench.core.clones.renew(clone.clone_id, 60, None, request_id)
    bench.clock.advance(timedelta(seconds=30))
    assert await bench.core.clones.renew(clone.clone_id, 60, None, request_id) == first
    assert bench.clones == [first]
    await bench.ended(await bench.core.clones.delete(clone.clone_id))
    assert await bench.core.clones.renew(clone.clone_id, 60, None, request_id) == first


async def test_without_a_lease_it_stays_until_it_is_deleted(bench: CloneBench) -> None:
    clone = await bench.made()
    bench.clock.advance(timedelta(days=400))
    await bench.core.clones.tend()
    assert bench.clones == [clone]
    done = await bench.ended(await bench.core.clones.delete(clone.clone_id, clone.etag))
    assert done.state is OperationState.DONE
    bench.assert_nothing_left()
    with pytest.raises(NotFoundError):
        await bench.core.clones.delete(clone.clone_id)


async def test_a_clone_that_ends_by_itself_is_shown_as_failed_and_not_started_again(
    bench: CloneBench,
) -> None:
    clone = await bench.made(CreateClone(is_live=True, lease_seconds=3600))
    assert clone.process is not None
    bench.world.crash(clone.process)
    await bench.core.clones.tend()
    [shown] = bench.clones
    assert shown.state is CloneState.FAILED
    assert shown.error is not None
    assert "SIGKILL" in str(shown.error["message"])
    assert shown.log_tail.endswith("Error: it is only a test")
    assert bench.core.figures.clones == {"failed": 1}
    assert len(bench.world.specs) == 1
    bench.clock.advance(HOUR)
    await bench.core.clones.tend()
    bench.assert_nothing_left()


async def test_one_clone_that_cannot_be_looked_at_keeps_no_other_from_its_end(
    bench: CloneBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's look raises what nobody expects; the others' ends and leases count."""
    odd = await bench.made()
    crashed = await bench.made()
    await bench.made(CreateClone(is_live=True, lease_seconds=60))
    find_end = bench.world.find_end

    def raise_for_one(mark: ProcessMark) -> str | None:
        if mark == odd.process:
            raise ValueError("40 is not a valid Signals")
        return find_end(mark)

    monkeypatch.setattr(bench.world, "find_end", raise_for_one)
    assert crashed.process is not None
    bench.world.crash(crashed.process)
    bench.clock.advance(HOUR)
    await bench.core.clones.tend()
    states = {clone.clone_id: clone.state for clone in bench.clones}
    assert states == {odd.clone_id: CloneState.READY, crashed.clone_id: CloneState.FAILED}


async def test_a_repeated_request_makes_one_clone(bench: CloneBench) -> None:
    request_id = "0b9f7f1e-7b0e-4a53-9d54-0f6f7f1f3d11"
    first = await bench.core.clones.create(LIVE, request_id)
    second = await bench.core.clones.create(LIVE, request_id)
    assert second.operation_id == first.operation_id
    await bench.ended(first)
    assert len(bench.clones) == 1
    with pytest.raises(RequestIdReusedError):
        await bench.core.clones.create(CreateClone(is_live=True, lease_seconds=5), request_id)


async def test_no_more_clones_than_configured(bench: CloneBench) -> None:
    bench.tables["clones"] = {"count_max": 1}
    await bench.stop()
    await bench.begin()
    await bench.made()
    with pytest.raises(ExhaustedError) as refusal:
        await bench.core.clones.create(LIVE)
    assert refusal.value.code == "CLONES_EXHAUSTED"


async def test_what_clones_being_made_will_take_is_counted(
    bench: CloneBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory for one and a half of them lets one through, and the next when that is done."""
    room = clone_plan.PROCESS_BYTES * 3 // 2
    monkeypatch.setattr(clone_plan, "available_memory_bytes", lambda: room)
    bench.engine.hold("cut")
    first = await bench.core.clones.create(LIVE)
    with pytest.raises(ExhaustedError) as refusal:
        await bench.core.clones.create(LIVE)
    assert refusal.value.code == "MEMORY_EXHAUSTED"
    await until(lambda: "cut" in bench.engine.waiting)
    bench.engine.release("cut")
    await bench.ended(first)
    await bench.made()


async def test_a_busy_engine_is_asked_again(bench: CloneBench) -> None:
    bench.engine.fail_next["cut"] = FakeEngineError("CHILD_BUSY", is_retryable=True)
    operation = await bench.core.clones.create(LIVE)
    assert (await bench.driven(operation, timedelta(seconds=1))).state is OperationState.DONE


async def test_a_deletion_on_a_full_disk_goes_on(
    bench: CloneBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = await bench.made()

    def refuse(_clone: Clone) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bench.core.clones._parts.store, "replace", refuse)
    with pytest.raises(PerdureError) as full:
        await bench.core.clones.renew(clone.clone_id, 60)
    assert full.value.code == "DISK_FULL"
    await bench.ended(await bench.core.clones.delete(clone.clone_id))
    bench.assert_nothing_left()
