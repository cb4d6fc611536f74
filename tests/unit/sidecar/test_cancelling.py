"""Cancelling: every kind of operation, at every step before its commit, leaves nothing behind."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from sidecar import storage as storage_module
from sidecar.control_plane import CoreOptions
from sidecar.errors import NotCancellableError
from sidecar.failpoints import add_observer
from sidecar.model import Operation, OperationState
from sidecar.paging import ListRequest
from sidecar.spool import CutTarget, SpooledCut
from sidecar.usecases import CloneFilter, CreateClone, CreateSnapshot, ImportSnapshot
from tests.support.control_bench import ControlBench, until
from tests.support.fake_engine import dump_fake
from tests.support.fake_provisioner import FakeProvisioner, folders_below
from tests.support.fault_backend import Fault, FaultBackend
from tests.support.memory_backend import MemoryBackend
from tests.unit.sidecar.test_storage_faults import make_storage

Begin = Callable[[ControlBench], Awaitable[Operation]]


def _name(value: object) -> str:
    return str(getattr(value, "__name__", value))


async def _snapshot(bench: ControlBench) -> Operation:
    return await bench.core.control_plane.snapshots.create(CreateSnapshot())


async def _run(bench: ControlBench) -> Operation:
    return await bench.core.control_plane.schedules.run("hourly")


async def _verify(bench: ControlBench) -> Operation:
    return await bench.core.control_plane.snapshots.verify(_newest(bench))


async def _restore(bench: ControlBench) -> Operation:
    bench.engine.data = {"other": "data"}
    return await bench.core.control_plane.restores.restore(_newest(bench))


async def _check(bench: ControlBench) -> Operation:
    return await bench.core.control_plane.backends.check("local")


async def _import(bench: ControlBench) -> Operation:
    content = dump_fake({"from": "outside"})
    announced = ImportSnapshot(len(content), hashlib.sha256(content).hexdigest())

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    return await bench.core.control_plane.transfers.import_file(announced, chunks())


async def _clone(bench: ControlBench) -> Operation:
    return await bench.core.clones.create(CreateClone(is_live=True))


def _newest(bench: ControlBench) -> str:
    return bench.listed()[0].snapshot_id


CUTTING = ("planned", "cut", "cut_recorded", "verified", "proof_recorded", "packed")
CASES: list[tuple[Begin, str]] = [
    *((_snapshot, f"snapshot.{step}") for step in CUTTING),
    *((_run, f"snapshot.{step}") for step in CUTTING),
    *((_import, f"import.{step}") for step in ("verified", "planned", "placed", "proof_recorded")),
    (_import, "snapshot.packed"),
    *((_verify, f"verify.{step}") for step in ("fetched", "unpacked")),
    *((_restore, f"restore.{step}") for step in ("planned", "fetched", "unpacked", "loaded")),
]
PAST_COMMIT: list[tuple[Begin, str]] = [
    *((_restore, f"restore.{step}") for step in ("before_commit", "committed", "safety_recorded")),
]


class Canceller:
    """Cancels the operation that begins next when a step is hit for the first time."""

    def __init__(self, bench: ControlBench, step: str) -> None:
        self.bench, self.step = bench, step
        self.operation: Operation | None = None
        self.asked: asyncio.Future[Operation] | None = None
        self._loop = asyncio.get_running_loop()
        self._remove = add_observer(self._observe)

    def _observe(self, name: str) -> None:
        if name == self.step:
            self._remove()
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        assert self.operation is not None
        operation_id = self.operation.operation_id
        self.asked = asyncio.ensure_future(self.bench.core.ground.operations.cancel(operation_id))

    async def run(self, begin: Begin) -> Operation:
        """Begin, and give the operation as it ended."""
        self.operation = await begin(self.bench)
        ended = await self.bench.ended(self.operation)
        assert self.asked is not None, f"{self.step} was never hit"
        return ended


def _left(bench: ControlBench) -> tuple[list[str], list[str], dict[str, str], list[str]]:
    """Give what an operation could leave: spool, backend, live data, the engine's stages."""
    stages = [str(stage) for stage in getattr(bench.engine, "stages", {})]
    return bench.spool_files(), bench.files(), dict(bench.engine.data), stages


@pytest.mark.parametrize(("begin", "step"), CASES, ids=_name)
async def test_cancel_before_the_commit_leaves_nothing(
    bench: ControlBench, begin: Begin, step: str
) -> None:
    await bench.take()
    spool, blobs, data, stages = _left(bench)
    before = (spool, blobs, {"other": "data"} if begin is _restore else data, stages)
    canceller = Canceller(bench, step)
    ended = await canceller.run(begin)
    assert ended.state is OperationState.CANCELLED
    assert ended.error is not None
    assert ended.error["code"] == "CANCELLED"
    assert _left(bench) == before
    assert len(bench.listed()) == 1
    assert await bench.take(), "the next one is not in anybody's way"


@pytest.mark.parametrize("step", ["payload_put", "manifest_put", "catalogued"])
@pytest.mark.parametrize("begin", [_snapshot, _run, _import], ids=_name)
async def test_cancel_around_the_manifest_leaves_a_whole_snapshot_or_nothing(
    bench: ControlBench, begin: Begin, step: str
) -> None:
    """Whether the manifest's put came through decides; what is there is listed, and only that."""
    await Canceller(bench, f"snapshot.{step}").run(begin)
    for snapshot in bench.listed():
        assert bench.files(f"**/{snapshot.snapshot_id}/manifest.json")
        assert bench.files(f"**/{snapshot.snapshot_id}/dump-*")
    folders = {name.split("/")[2] for name in bench.files() if "/dump-" in name}
    assert folders == {snapshot.snapshot_id for snapshot in bench.listed()}
    assert bench.spool_files() == []
    assert await bench.take()


@pytest.mark.parametrize(("begin", "step"), PAST_COMMIT, ids=_name)
async def test_cancel_past_the_commit_is_refused_and_the_work_ends_well(
    bench: ControlBench, begin: Begin, step: str
) -> None:
    await bench.take()
    canceller = Canceller(bench, step)
    ended = await canceller.run(begin)
    assert ended.state is OperationState.DONE
    assert canceller.asked is not None
    with pytest.raises(NotCancellableError):
        await canceller.asked
    assert bench.engine.data == {"a": "1", "b": "2"}


CLONE_STEPS = (
    "planned",
    "recorded",
    "seeded",
    "verified",
    "launched",
    "process_recorded",
    "released",
)


@pytest.mark.parametrize("step", CLONE_STEPS)
async def test_cancelled_clone_leaves_neither_process_nor_folder(tmp_path: Path, step: str) -> None:
    bench, world = ControlBench(tmp_path), FakeProvisioner()
    await bench.boot(CoreOptions(provisioner=world))
    bench.engine.data = {"a": "1"}
    world.is_slow = True  # its process does not serve before the cancel comes
    ended = await Canceller(bench, f"clone.{step}").run(_clone)
    assert ended.state is OperationState.CANCELLED
    assert list(bench.core.clones.list(ListRequest(), CloneFilter()).items) == []
    assert folders_below(bench.data_dir) == []
    assert world.alive == []
    assert bench.spool_files() == []
    await bench.stop()


async def test_cancel_while_the_plan_is_written_leaves_no_plan(
    bench: ControlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that writes it is held until the cancel has come; nobody knows of the cut yet."""
    held, go = threading.Event(), threading.Event()
    spool = bench.core.ground.spool
    plan = spool.plan

    def slow(targets: Sequence[CutTarget], now: datetime) -> SpooledCut:
        held.set()
        assert go.wait(30)
        return plan(targets, now)

    monkeypatch.setattr(spool, "plan", slow)
    operation = await _snapshot(bench)
    await until(held.is_set)
    await bench.core.ground.operations.cancel(operation.operation_id)
    go.set()
    assert (await bench.ended(operation)).state is OperationState.CANCELLED
    assert bench.spool_files() == []


async def test_cancelled_check_leaves_nothing_on_the_backend(bench: ControlBench) -> None:
    """The suite's thread goes on until its own end, and cleans up; nobody waits for it."""
    await bench.take()
    before = bench.files()
    operation = await _check(bench)
    (storage,) = bench.core.ground.storages
    await until(lambda: storage.figures.calls_running > 0)
    await bench.core.ground.operations.cancel(operation.operation_id)
    assert (await bench.ended(operation)).state is OperationState.CANCELLED
    await until(lambda: storage.figures.calls_running == 0)
    assert bench.files() == before


async def test_cancel_while_the_manifest_is_sent_leaves_it_its_payload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The put of the manifest hangs beyond the cancel, and lands afterwards (I2)."""
    monkeypatch.setattr(storage_module, "CANCEL_WAIT_SECONDS", 0.05)
    memory, go = MemoryBackend(), threading.Event()
    fault = Fault("put", match="/manifest.json", hold=go)
    bench, storage = ControlBench(tmp_path), make_storage(FaultBackend(memory, fault), "s", 30)
    await bench.boot(CoreOptions(storages=(storage,)))
    bench.engine.data = {"a": "1"}
    operation = await _snapshot(bench)
    await until(fault.reached.is_set)
    await bench.core.ground.operations.cancel(operation.operation_id)
    assert (await bench.ended(operation)).state is OperationState.CANCELLED
    go.set()
    await until(lambda: storage.figures.calls_running == 0)
    names = {key.rpartition("/")[2].partition("-")[0] for key in memory.blobs}
    assert {"manifest.json", "dump"} <= names
    await bench.stop()


async def test_cancel_of_one_leaves_the_other_its_shared_cut(tmp_path: Path) -> None:
    """Schedules due at once share a cut; who cancels gives up the own snapshot only."""
    bench = ControlBench(tmp_path)
    await bench.boot()
    bench.engine.data = {"a": "1"}
    bench.clock.advance(bench.core.rotation._grace)
    first, *others = bench.core.scheduler.run_due()
    await bench.core.ground.operations.cancel(first.operation_id)
    assert (await bench.ended(first)).state is OperationState.CANCELLED
    for other in others:
        assert (await bench.ended(other)).state is OperationState.DONE
    assert bench.engine.cuts == 1
    await bench.stop()


async def test_cut_whose_operations_never_began_is_not_made(tmp_path: Path) -> None:
    """Cancelled before the first line of any: nobody wants the cut, and the schedules go on."""
    bench = ControlBench(tmp_path)
    await bench.boot()
    bench.engine.data = {"a": "1"}
    begun = [await _snapshot(bench), await _run(bench)]
    for operation in begun:
        await bench.core.ground.operations.cancel(operation.operation_id)
    for operation in begun:
        assert (await bench.ended(operation)).state is OperationState.CANCELLED
    attempts = bench.core.figures.snapshot_attempts
    assert sorted(attempts.items()) == [
        (("manual", "cancelled"), 1),
        (("run", "cancelled"), 1),
    ]
    await bench.take()
    assert bench.engine.cuts == 1
    assert len(bench.listed()) == 1
    assert bench.spool_files() == []
    assert (await bench.ended(await _run(bench))).state is OperationState.DONE
    await bench.stop()
