"""Several backends at once: one that hangs or fails costs nobody but itself, and is tried again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backends import errors as theirs
from sidecar.control_plane import CoreOptions
from sidecar.errors import BackendUnavailableError, InvalidArgumentError, NotFoundError
from sidecar.lanes import RETRY_FIRST, RETRY_MAX, Lane
from sidecar.model import (
    Compression,
    CopyState,
    Operation,
    OperationState,
    Retention,
    Trigger,
)
from sidecar.observe import BackendFigures
from sidecar.paging import ListRequest
from sidecar.spool import CutTarget, SpooledCut
from sidecar.usecases import CreateSnapshot
from tests.support.control_bench import ControlBench, disk_at, until
from tests.support.driven_clock import DrivenClock
from tests.support.fake_engine import dump_fake
from tests.unit.sidecar.test_storage_faults import ScriptedBackend, make_storage

HOUR = timedelta(hours=1)
HOURLY = {"hourly": {"preset": "hourly", "keep_last": 0, "compression": "none"}}


class TwoBackends:
    """A bench on `good` and `bad`, whose faults a test scripts."""

    def __init__(self, folder: Path, **tables: dict[str, Any]) -> None:
        self.good = ScriptedBackend(folder / "good")
        self.bad = ScriptedBackend(folder / "bad")
        self.bench = ControlBench(folder, **tables)

    async def boot(self) -> ControlBench:
        storages = (make_storage(self.good, "good"), make_storage(self.bad, "bad"))
        await self.bench.boot(CoreOptions(storages=storages))
        self.bench.engine.data = {"a": "1"}
        return self.bench

    def copies(self) -> list[list[str]]:
        """The backends of each snapshot, the newest snapshot first."""
        return [[copy.backend for copy in s.copies] for s in self.bench.listed()]

    def bad_ships(self, result: str) -> int:
        return self.bench.core.figures.backends["bad"].ships[result]


def away(_key: str) -> Exception:
    return theirs.BackendUnavailableError("away")


def well(_key: str) -> None:
    return None


async def run_hourly(bench: ControlBench) -> list[Operation]:
    """Let an hour pass and begin what is due then."""
    bench.clock.advance(HOUR)
    operations = bench.core.scheduler.run_due()
    assert len(operations) == 1
    return operations


async def test_copy_on_one_backend_does_not_wait_for_one_that_hangs(tmp_path: Path) -> None:
    two = TwoBackends(tmp_path)
    bench = await two.boot()
    two.bad.gate.clear()
    operation = await bench.core.control_plane.snapshots.create(CreateSnapshot())
    await until(lambda: two.copies() == [["good"]])
    assert bench.core.figures.snapshot_last_success_at is not None
    assert not bench.core.ground.operations.get(operation.operation_id).is_done
    await bench.core.settling.measure()
    by_name = bench.core.figures.backends
    assert (by_name["good"].pending_snapshots, by_name["bad"].pending_snapshots) == (0, 1)
    two.bad.gate.set()
    assert (await bench.ended(operation)).state is OperationState.DONE
    assert two.copies() == [["bad", "good"]]
    await bench.stop()


async def test_schedule_runs_on_while_a_backend_hangs_and_the_newest_goes_next(
    tmp_path: Path,
) -> None:
    """Four due times: one put hangs, the two after it give way, the newest follows the hang."""
    two = TwoBackends(tmp_path, schedules=HOURLY)
    bench = await two.boot()
    two.bad.gate.clear()
    operations = []
    for count in range(1, 5):
        operations += await run_hourly(bench)
        await until(lambda count=count: two.copies() == [["good"]] * count)  # type: ignore[misc]
    assert bench.engine.cuts == 4
    assert bench.core.figures.backends["bad"].calls_running == 1
    ended = [await bench.ended(operation) for operation in operations[1:3]]
    assert [str((one.error or {})["code"]) for one in ended] == ["SNAPSHOT_SUPERSEDED"] * 2
    assert two.bad_ships("superseded") == 2
    two.bad.gate.set()
    for operation in (operations[0], operations[3]):
        assert (await bench.ended(operation)).state is OperationState.DONE
    assert two.copies() == [["bad", "good"], ["good"], ["good"], ["bad", "good"]]
    await bench.core.maintain()
    assert two.copies() == [["bad", "good"]] * 4
    assert bench.spool_files() == []
    assert bench.core.control_plane.schedules.get("hourly").status.missed_total == 0
    await bench.stop()


async def test_failing_backend_is_tried_again_with_growing_pauses(tmp_path: Path) -> None:
    two = TwoBackends(tmp_path)
    bench = await two.boot()
    figures = bench.core.figures.backends["bad"]
    two.bad.failure = away
    await bench.ended(await bench.core.control_plane.snapshots.create(CreateSnapshot()))
    pause = RETRY_FIRST
    for tries in range(1, 8):
        assert two.bad_ships("failed") == tries
        assert figures.ship_retry_at == bench.clock.now() + pause
        bench.clock.advance(pause - timedelta(seconds=1))
        await bench.core.maintain()
        assert two.bad_ships("failed") == tries, "tried before its time"
        assert figures.pending_snapshots == 1
        bad = bench.core.control_plane.backends.list(ListRequest()).items[0]
        assert (bad.name, bad.pending_snapshots) == ("bad", 1)
        assert bad.next_retry_at == figures.ship_retry_at
        bench.clock.advance(timedelta(seconds=1))
        await bench.core.maintain()
        pause = min(pause * 2, RETRY_MAX)
    two.bad.failure = well
    bench.clock.advance(RETRY_MAX)
    await bench.core.maintain()
    assert two.copies() == [["bad", "good"]]
    assert (two.bad_ships("ok"), figures.ship_retry_at) == (1, None)
    assert figures.pending_snapshots == 0
    assert bench.engine.cuts == 1
    await bench.stop()


async def test_only_the_newest_is_retried_and_the_older_follow_it(tmp_path: Path) -> None:
    two = TwoBackends(tmp_path, schedules=HOURLY)
    bench = await two.boot()
    two.bad.failure = away
    for _ in range(3):
        for operation in await run_hourly(bench):
            assert (await bench.ended(operation)).error
    ids = [snapshot.snapshot_id for snapshot in bench.listed()]
    asked: list[str] = []

    def note(key: str) -> Exception | None:
        asked.extend(one for one in ids if one in key and "/dump-" in key)
        return away(key) if len(asked) == 1 else None

    two.bad.failure = note
    for _ in range(2):
        bench.clock.advance(RETRY_MAX)
        await bench.core.maintain()
    assert asked == [ids[0], *ids]
    assert two.copies() == [["bad", "good"]] * 3
    await bench.stop()


async def test_new_snapshot_is_tried_at_once_and_ends_the_pause(tmp_path: Path) -> None:
    two = TwoBackends(tmp_path)
    bench = await two.boot()
    two.bad.failure = away
    await bench.ended(await bench.core.control_plane.snapshots.create(CreateSnapshot()))
    two.bad.failure = well
    bench.clock.advance(timedelta(seconds=1))
    await bench.take()
    await bench.core.maintain()
    assert two.copies() == [["bad", "good"]] * 2
    await bench.stop()


async def test_snapshot_goes_only_where_its_schedule_says(tmp_path: Path) -> None:
    only = {"hourly": {"preset": "hourly", "backends": ["good"]}}
    two = TwoBackends(tmp_path, schedules=only)
    bench = await two.boot()
    for operation in await run_hourly(bench):
        assert (await bench.ended(operation)).state is OperationState.DONE
    assert two.copies() == [["good"]]
    await bench.stop()


async def test_each_backend_keeps_what_its_retention_says(tmp_path: Path) -> None:
    table = {"preset": "hourly", "keep_last": 3, "retention": {"bad": {"keep_last": 1}}}
    two = TwoBackends(tmp_path, schedules={"hourly": table})
    bench = await two.boot()
    for _ in range(4):
        for operation in await run_hourly(bench):
            await bench.ended(operation)

    def living(backend: str) -> int:
        copies = bench.core.ground.catalogue.copies(backend)
        return sum(copy.state is CopyState.AVAILABLE for copy in copies)

    assert (living("good"), living("bad")) == (3, 1)
    schedules = bench.core.control_plane.schedules
    known = schedules.get("hourly").schedule.spec
    assert known.backend_retention == {"bad": Retention(1)}
    with pytest.raises(NotFoundError):
        await schedules.update("hourly", replace(known, backend_retention={"x": Retention(1)}))
    with pytest.raises(InvalidArgumentError):
        await schedules.update("hourly", replace(known, backends=("good",)))
    bench.engine.rdb.write_bytes(dump_fake({}))
    await bench.stop()
    await two.boot()  # read from the database
    await bench.stop()
    for path in bench.data_dir.glob("perdure.db*"):
        path.unlink()
    bench.tables["schedules"] = {"other": {"preset": "daily"}}
    await two.boot()  # read from the backends; the configuration has dropped it since
    found = bench.core.ground.catalogue.find_schedule("hourly")
    assert found is not None
    assert found.spec.backend_retention == {"bad": Retention(1)}
    await bench.stop()


@pytest.mark.parametrize("trigger", [Trigger.SCHEDULE, Trigger.SAFETY])
async def test_snapshot_whose_backend_left_the_configuration_waits_for_it(
    tmp_path: Path, trigger: Trigger
) -> None:
    """One that was meant for a backend goes nowhere else; a safety cut goes to what there is."""
    two = TwoBackends(tmp_path)
    bench = await two.boot()
    spool, clock = bench.core.ground.spool, bench.clock
    snapshot_id = f"20261122t000000z-{trigger.value}-00000000"
    target = CutTarget(snapshot_id, trigger, ("gone",), Compression.NONE)
    cut = spool.plan([target], clock.now())
    result = await bench.core.engine.cut(cut.rdb, "cut", lambda _progress: None)
    spool.record_cut(cut, result)
    await bench.core.maintain()
    if trigger is Trigger.SAFETY:
        assert two.copies() == [["bad", "good"]]
        assert bench.core.figures.spool_pending == 0
    else:
        assert two.copies() == []
        assert cut.rdb.exists()
        assert bench.core.figures.spool_pending == 1
    await bench.stop()


@pytest.mark.parametrize("at", ["snapshot.cut", "snapshot.proof_recorded"])
async def test_cut_that_a_kill_left_is_shipped_in_the_first_turn(tmp_path: Path, at: str) -> None:
    """No time passes after the start: nothing waits for the next turn of the maintenance."""
    two = TwoBackends(tmp_path)
    bench = await two.boot()
    disk = await disk_at(bench, at, bench.take)
    await bench.stop()
    again = ControlBench(disk, server={"boot_source": "empty"})
    await again.boot(CoreOptions(storages=(make_storage(ScriptedBackend(disk / "g"), "good"),)))
    again.core.start()
    await until(lambda: len(again.listed()) == 1)
    await again.stop()


async def test_stop_that_is_taken_back_ships_what_it_cut_off(tmp_path: Path) -> None:
    """The end is refused: the operation that the stop left goes on, and ends well."""
    two = TwoBackends(tmp_path)
    bench = await two.boot()
    two.bad.gate.clear()
    operation = await bench.core.control_plane.snapshots.create(CreateSnapshot())
    await until(lambda: two.copies() == [["good"]])
    await bench.core.stop()
    assert not bench.core.ground.operations.get(operation.operation_id).is_done
    two.bad.gate.set()
    await bench.core.resume()
    await until(lambda: two.copies() == [["bad", "good"]])
    assert (await bench.ended(operation)).state is OperationState.DONE
    await bench.take()
    await bench.stop()


async def test_restore_takes_the_copy_of_a_backend_that_is_up(tmp_path: Path) -> None:
    """`bad` comes first by its name, and is down: nobody has to say which copy."""
    two = TwoBackends(tmp_path)
    bench = await two.boot()
    snapshot = await bench.take()
    two.bad.failure = away
    await bench.ended(await bench.core.control_plane.snapshots.create(CreateSnapshot()))
    done = await bench.restored(snapshot.snapshot_id)
    assert done.plan is not None
    assert done.plan["backend"] == "good"
    await bench.stop()


# --- the lane ----------------------------------------------------------------------------


def _cut(number: int, schedule: str | None) -> tuple[SpooledCut, CutTarget]:
    planned_at = datetime(2026, 11, 22, 7, number, tzinfo=UTC)
    target = CutTarget(str(number), Trigger.RUN, ("s",), Compression.NONE, schedule)
    return SpooledCut(str(number), Path(), planned_at, (target,)), target


async def test_lane_serves_one_at_a_time_the_newest_first_and_survives_cancels() -> None:
    lane = Lane("s", DrivenClock(), BackendFigures())
    served: list[str] = []
    go_on = asyncio.Event()

    async def pass_by(number: int, schedule: str | None = None) -> None:
        cut, target = _cut(number, schedule)
        async with lane.turn(cut, target):
            served.append(cut.cut_id)
            await go_on.wait()

    tasks = [asyncio.create_task(pass_by(number)) for number in (1, 2, 3, 4)]
    await until(lambda: served == ["1"])
    await asyncio.sleep(0)
    tasks[3].cancel()
    go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert served == ["1", "3", "2"]
    assert isinstance(results[3], asyncio.CancelledError)
    go_on.clear()
    holding = asyncio.create_task(pass_by(5))
    waiting = asyncio.create_task(pass_by(6))
    await until(lambda: served[-1] == "5")
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    waiting.cancel()  # the lane was handed to it, and it never ran
    await asyncio.gather(waiting, return_exceptions=True)
    go_on.set()
    await asyncio.wait_for(pass_by(7), 30)


async def test_lane_supersedes_only_the_same_schedule() -> None:
    lane = Lane("s", DrivenClock(), BackendFigures())
    go_on = asyncio.Event()

    async def pass_by(number: int, schedule: str | None) -> int:
        async with lane.turn(*_cut(number, schedule)):
            await go_on.wait()
        return number

    tasks = []
    for number, schedule in ((1, "a"), (2, "a"), (3, "b"), (4, None), (5, "a")):
        tasks.append(asyncio.create_task(pass_by(number, schedule)))
        await asyncio.sleep(0)
    go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[1], BackendUnavailableError)
    assert [result for result in results if isinstance(result, int)] == [1, 3, 4, 5]
