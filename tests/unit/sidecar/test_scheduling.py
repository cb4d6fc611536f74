"""Schedules under a driven clock: each due time once, at most one late run, one shared cut."""

from __future__ import annotations

import asyncio
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sidecar import catalogue
from sidecar.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    RevisionMismatchError,
    ScheduleRunningError,
)
from sidecar.model import (
    Operation,
    OperationState,
    Preset,
    Retention,
    ScheduleSpec,
    Snapshot,
    Trigger,
)
from sidecar.paging import ListRequest
from tests.support.control_bench import ControlBench, disk_at, until
from tests.support.fake_engine import FakeEngineError

HOUR = timedelta(hours=1)
ONLY_HOURLY = {"hourly": {"preset": "hourly", "keep_last": 0, "compression": "none"}}


async def run_due(bench: ControlBench) -> list[Snapshot]:
    """Run what is due and wait; return the snapshots that came of it."""
    done = [await bench.ended(operation) for operation in bench.core.scheduler.run_due()]
    assert all(operation.state is OperationState.DONE for operation in done), done
    ids = {str(operation.result["snapshot_id"]) for operation in done if operation.result}
    return [snapshot for snapshot in bench.listed() if snapshot.snapshot_id in ids]


async def test_due_time_is_in_the_id_and_runs_once(bench: ControlBench) -> None:
    assert await run_due(bench) == []
    bench.clock.advance(timedelta(minutes=31))
    (snapshot,) = await run_due(bench)
    uid = bench.core.ground.identity.layout.uid
    assert snapshot.snapshot_id == f"20261122t080000z-hourly-{uid[:4]}"
    assert snapshot.manifest.due_at == datetime(2026, 11, 22, 8, tzinfo=UTC)
    assert await run_due(bench) == []


async def test_one_cut_serves_all_that_is_due_at_once(bench: ControlBench) -> None:
    bench.clock.advance(timedelta(hours=16, minutes=30))  # midnight: all three presets
    snapshots = await run_due(bench)
    assert sorted(str(s.manifest.schedule) for s in snapshots) == ["daily", "every-12h", "hourly"]
    assert bench.engine.cuts == 1
    assert len(bench.files("**/manifest.json")) == 3


async def test_long_sleep_makes_one_late_run_and_counts_the_missed(bench: ControlBench) -> None:
    bench.clock.advance(5 * HOUR)
    snapshots = [s for s in await run_due(bench) if s.manifest.schedule == "hourly"]
    assert [s.manifest.due_at for s in snapshots] == [datetime(2026, 11, 22, 12, tzinfo=UTC)]
    status = bench.core.control_plane.schedules.get("hourly").status
    assert status.missed_total == 4
    assert status.next_due_at == datetime(2026, 11, 22, 13, tzinfo=UTC)
    assert bench.core.figures.schedule_late_runs["hourly"] == 1


async def test_runs_of_a_schedule_do_not_overlap(bench: ControlBench) -> None:
    bench.clock.advance(HOUR)
    bench.engine.hold("cut")
    (operation,) = bench.core.scheduler.run_due()
    bench.clock.advance(HOUR)
    assert bench.core.scheduler.run_due() == []
    with pytest.raises(ScheduleRunningError):
        await bench.core.control_plane.schedules.run("hourly")
    await until(lambda: "cut" in bench.engine.waiting)
    bench.engine.release("cut")
    await bench.ended(operation)
    (late,) = await run_due(bench)
    assert late.manifest.due_at == datetime(2026, 11, 22, 9, tzinfo=UTC)


async def test_failed_run_is_tried_again_for_the_same_due_time(bench: ControlBench) -> None:

    bench.clock.advance(HOUR)
    bench.engine.fail_next["cut"] = FakeEngineError("FORK_FAILED")
    (operation,) = bench.core.scheduler.run_due()
    assert (await bench.ended(operation)).error
    assert bench.core.scheduler.run_due() == []
    bench.clock.advance(timedelta(seconds=61))
    (snapshot,) = await run_due(bench)
    assert snapshot.manifest.due_at == datetime(2026, 11, 22, 8, tzinfo=UTC)


async def test_cancelled_due_time_does_not_come_back(bench: ControlBench) -> None:
    """Neither when it was cut nor when it was proved already; the next one runs as ever."""
    for held in ("cut", "verify"):
        bench.clock.advance(HOUR)
        bench.engine.hold(held)
        (operation,) = bench.core.scheduler.run_due()
        await until(lambda held=held: held in bench.engine.waiting)  # type: ignore[misc]
        await bench.core.ground.operations.cancel(operation.operation_id)
        bench.engine.release(held)
        assert (await bench.ended(operation)).state is OperationState.CANCELLED
        bench.clock.advance(timedelta(minutes=5))
        assert await run_due(bench) == []
    bench.clock.advance(HOUR)
    assert len(await run_due(bench)) == 1


async def test_due_time_that_a_stop_cut_off_is_open_still(bench: ControlBench) -> None:
    bench.clock.advance(HOUR)
    bench.engine.hold("cut")
    bench.core.scheduler.run_due()
    await until(lambda: "cut" in bench.engine.waiting)
    stopping = asyncio.create_task(bench.stop())
    await asyncio.sleep(0)
    bench.engine.release("cut")
    await stopping
    await bench.boot()
    assert bench.core.ground.catalogue.get_run("hourly").last_due_at is None
    await bench.core.maintain()
    await run_due(bench)
    assert len(bench.listed()) == 1


async def test_due_time_of_an_unproved_cut_is_not_cut_a_second_time(tmp_path: Path) -> None:
    """Killed between the cut's end and its record: proving may take longer than the start waits."""
    first = ControlBench(tmp_path, schedules=dict(ONLY_HOURLY))
    await first.boot()
    first.engine.data = {"v": "first"}
    first.clock.advance(HOUR)
    disk = await disk_at(first, "snapshot.cut", lambda: run_due(first))
    await first.stop()
    bench = ControlBench(disk, schedules=dict(ONLY_HOURLY))
    bench.clock.advance(HOUR + timedelta(minutes=1))
    await bench.boot()
    bench.engine.data = {"v": "second"}
    await bench.core.scheduler.look()
    assert bench.core.scheduler.run_due() == []
    await bench.core.maintain()
    await bench.core.scheduler.look()
    assert bench.core.scheduler.run_due() == []
    assert bench.engine.cuts == 0
    assert len(bench.files("**/manifest.json")) == 1
    await bench.stop()


async def test_scheduler_looks_into_the_spool_before_it_runs(
    bench: ControlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    scheduler = bench.core.scheduler
    look, run = scheduler.look, scheduler.run_due

    async def note_look() -> None:
        called.append("look")
        await look()

    def note_run() -> list[Operation]:
        called.append("run")
        return run()

    monkeypatch.setattr(scheduler, "look", note_look)
    monkeypatch.setattr(scheduler, "run_due", note_run)
    running = asyncio.create_task(scheduler.run())
    await until(lambda: "run" in called)
    running.cancel()
    assert called[:2] == ["look", "run"]


async def test_run_now_is_beside_the_due_times(bench: ControlBench) -> None:
    schedules = bench.core.control_plane.schedules
    done = await bench.ended(await schedules.run("daily", "request"))
    assert done.result
    snapshot = bench.core.control_plane.snapshots.get(str(done.result["snapshot_id"]))
    assert (snapshot.manifest.trigger, snapshot.manifest.due_at) == (Trigger.RUN, None)
    assert (await schedules.run("daily", "request")).operation_id == done.operation_id


async def test_pause_does_not_make_up_for_what_passed(bench: ControlBench) -> None:
    schedules = bench.core.control_plane.schedules
    spec = ScheduleSpec(preset=Preset.HOURLY, is_paused=True)
    view = await schedules.update("hourly", spec)
    assert view.status.next_due_at is None
    bench.clock.advance(3 * HOUR)
    assert await run_due(bench) == []
    await schedules.update("hourly", ScheduleSpec(preset=Preset.HOURLY))
    assert await run_due(bench) == []
    bench.clock.advance(HOUR)
    assert len(await run_due(bench)) == 1


async def test_schedule_changes_are_checked(bench: ControlBench) -> None:
    schedules = bench.core.control_plane.schedules
    spec = ScheduleSpec(cron="30 2 * * 1", time_zone="Europe/Berlin")
    view = await schedules.create("weekly", spec, "r")
    assert await schedules.create("weekly", spec, "r") == view
    with pytest.raises(AlreadyExistsError):
        await schedules.create("weekly", spec)
    with pytest.raises(RevisionMismatchError):
        await schedules.update("weekly", spec, etag="7")
    with pytest.raises(NotFoundError):
        schedules.get("nobody")
    with pytest.raises(InvalidArgumentError):
        await schedules.create("manual", spec)
    await schedules.delete("weekly", etag=view.etag)
    with pytest.raises(NotFoundError):
        schedules.get("weekly")
    ids = [v.schedule.schedule_id for v in schedules.list(ListRequest()).items]
    assert ids == ["daily", "every-12h", "hourly"]


async def test_rotation_keeps_the_last_and_buries_the_rest(tmp_path: Path) -> None:
    bench = ControlBench(tmp_path, schedules={"h": {"preset": "hourly", "keep_last": 2}})
    await bench.boot()
    for _ in range(4):
        bench.clock.advance(HOUR)
        await run_due(bench)
    states = [snapshot.state.value for snapshot in bench.listed()]
    assert states == ["available", "available", "deleting", "deleting"]
    bench.clock.advance(timedelta(days=1, minutes=1))
    assert await bench.core.rotation.purge_due(bench.local) == 2
    assert len(bench.files("**/manifest.json")) == len(bench.listed()) == 2
    assert len(bench.files("**/dump-*")) == 2
    await bench.stop()


async def test_call_outlives_the_configuration_until_that_changes(tmp_path: Path) -> None:
    bench = ControlBench(tmp_path, schedules=dict(ONLY_HOURLY))
    await bench.boot()
    schedules = bench.core.control_plane.schedules
    changed = ScheduleSpec(preset=Preset.DAILY, retention=Retention(3))
    await schedules.update("hourly", changed)
    await bench.stop()
    await bench.boot()
    assert bench.core.control_plane.schedules.get("hourly").schedule.spec == changed
    await bench.stop()
    bench.tables["schedules"] = {"hourly": {"preset": "hourly", "keep_last": 9}}
    await bench.boot()
    spec = bench.core.control_plane.schedules.get("hourly").schedule.spec
    assert (spec.preset, spec.retention) == (Preset.HOURLY, Retention(9))
    await bench.stop()


async def test_month_of_hourly_with_restarts_at_random_instants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each due time at most once; while up, exactly once; after a sleep, one late run."""
    fresh = 20_261_122 if "CI" in os.environ else random.SystemRandom().randrange(1 << 32)
    seed = int(os.environ.get("PERDURE_TEST_SEED", fresh))
    print(f"PERDURE_TEST_SEED={seed}")  # noqa: T201 - reproduces the run
    chance = random.Random(seed)
    monkeypatch.setattr(os, "fsync", lambda _fd: None)  # kills, not power cuts: only time is saved
    monkeypatch.setattr(catalogue, "SYNCHRONOUS", "OFF")
    bench = ControlBench(tmp_path, schedules=ONLY_HOURLY, server={"boot_source": "empty"})
    start = bench.clock.now()
    end = start + timedelta(days=30)
    await bench.boot()
    down: list[tuple[datetime, datetime]] = []
    cuts = 0
    restart_at = start + timedelta(minutes=chance.randrange(60, 2400))
    while bench.clock.now() < end:
        due_at = bench.clock.now().replace(minute=0) + HOUR
        if restart_at < due_at:
            bench.clock.advance(restart_at - bench.clock.now())
            is_mid_run = False
        else:
            bench.clock.advance(due_at - bench.clock.now())
            is_mid_run = chance.random() < 0.03
        operations = bench.core.scheduler.run_due()
        if not is_mid_run:
            for operation in operations:
                await bench.ended(operation)
            if bench.clock.now() < restart_at:
                continue
        for _ in range(chance.randrange(40) if is_mid_run else 0):
            await asyncio.sleep(0)
        cuts += bench.engine.cuts
        await bench.crash()
        crashed_at = bench.clock.now()
        bench.clock.advance(timedelta(minutes=chance.choice((0, 1, 20, 90, 700))))
        down.append((crashed_at, bench.clock.now()))
        await bench.boot()
        await bench.core.maintain()
        for operation in bench.core.scheduler.run_due():
            await bench.ended(operation)
        restart_at = bench.clock.now() + timedelta(minutes=chance.randrange(60, 2400))
    cuts += bench.engine.cuts
    taken = sorted(s.manifest.due_at for s in bench.listed() if s.manifest.due_at)
    assert len(taken) == len(set(taken))
    was_down = {
        start.replace(minute=0) + n * HOUR
        for n in range(721)
        for since, back in down
        if since <= start.replace(minute=0) + n * HOUR <= back
    }
    wanted = {start.replace(minute=0) + n * HOUR for n in range(1, 721)}
    assert wanted - was_down <= set(taken), f"seed {seed}"
    # The last sleep may end after the month.
    hours = int((bench.clock.now() - start) / HOUR) + 1
    every_due = [start.replace(minute=0) + n * HOUR for n in range(1, hours + 1)]
    for since, back in down:
        has_passed = any(since < at <= back for at in every_due)
        assert sum(since < at <= back for at in taken) == has_passed, f"seed {seed}"
    assert len(taken) <= cuts <= len(taken) + len(down)
    assert len(bench.files("**/manifest.json")) == len(taken)
    await bench.stop()


async def test_clock_that_was_years_ahead_does_not_stop_a_schedule(tmp_path: Path) -> None:
    bench = ControlBench(tmp_path, schedules=dict(ONLY_HOURLY))
    await bench.boot()
    bench.clock.advance(timedelta(days=3660))
    assert len(await run_due(bench)) == 1
    bench.clock.advance(-timedelta(days=3660))
    assert await run_due(bench) == []
    for _ in range(3):
        bench.clock.advance(HOUR)
        assert len(await run_due(bench)) == 1
    bench.clock.advance(-2 * HOUR)  # a small step back: each due time stays once
    for _ in range(2):
        assert await run_due(bench) == []
        bench.clock.advance(HOUR)
    await bench.stop()
