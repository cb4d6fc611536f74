"""The spool's bound: what each policy does there, counts and says; what is never given up."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sidecar.config import load_settings
from sidecar.errors import ConfigError
from sidecar.event_log import EventType
from sidecar.model import Compression, OperationState, Trigger
from sidecar.paging import ListRequest
from sidecar.spool import CutTarget, SpooledCut
from sidecar.usecases import CreateSnapshot
from tests.support.control_bench import ControlBench, disk_at, until

LIMIT_BYTES = 1 << 20
SAFETY = "20261122t000000z-safety-00000000"


async def boot(tmp_path: Path, at_limit: str) -> ControlBench:
    spool = {"size_bytes_max": LIMIT_BYTES, "at_limit": at_limit}
    bench = ControlBench(tmp_path, spool=spool, server={"boot_source": "empty"})
    await bench.boot()
    bench.engine.data = {"a": "1"}
    return bench


async def put_waiting(
    bench: ControlBench, target: CutTarget, size_bytes: int = LIMIT_BYTES // 2
) -> SpooledCut:
    """Put a proved cut into the spool that waits for its backend."""
    spool, clock = bench.core.ground.spool, bench.clock
    cut = spool.plan([target], clock.now())
    result = await bench.core.engine.cut(cut.rdb, "cut", lambda _progress: None)
    proof = await bench.core.engine.verify(cut.rdb, lambda _progress: None)
    spool.record_cut(cut, result)
    cut = spool.record_proof(cut, proof, clock.now())
    with cut.rdb.open("ab") as file:
        file.truncate(size_bytes)
    clock.advance(timedelta(seconds=1))
    return cut


def target(snapshot_id: str, trigger: Trigger, schedule: str | None = None) -> CutTarget:
    return CutTarget(snapshot_id, trigger, ("away",), Compression.NONE, schedule)


async def refused(bench: ControlBench) -> bool:
    """Ask for a snapshot; say whether the spool was full."""
    done = await bench.ended(await bench.core.control_plane.snapshots.create(CreateSnapshot()))
    assert (done.state is OperationState.DONE) == (done.error is None)
    return done.error is not None and done.error["code"] == "SPOOL_FULL"


async def test_refuse_new_keeps_what_waits_and_refuses_a_new_cut(tmp_path: Path) -> None:
    bench = await boot(tmp_path, "refuse-new")
    cuts = [await put_waiting(bench, target(str(n), Trigger.MANUAL)) for n in range(2)]
    with capture_logs() as logs:
        assert await refused(bench)
    assert "cut_refused" in [entry["event"] for entry in logs]
    assert bench.core.figures.cuts_refused == 1
    assert all(cut.rdb.exists() for cut in cuts)
    assert bench.engine.cuts == 2
    await bench.stop()


async def test_keep_newest_gives_up_what_a_newer_one_stands_in_for(tmp_path: Path) -> None:
    """The daily one is the oldest, and yet the older hourly one goes: a newer hourly is there."""
    bench = await boot(tmp_path, "keep-newest")
    daily = await put_waiting(bench, target("d", Trigger.SCHEDULE, "daily"), LIMIT_BYTES // 3)
    old = await put_waiting(bench, target("h1", Trigger.SCHEDULE, "hourly"), LIMIT_BYTES // 3)
    new = await put_waiting(bench, target("h2", Trigger.SCHEDULE, "hourly"), LIMIT_BYTES // 3)
    said: list[str] = []
    bench.core.events.add_listener(
        lambda event: said.append(event.resource) if event.type is EventType.CUT_DROPPED else None
    )
    assert not await refused(bench)
    assert said == ["snapshots/h1"]
    assert [cut.rdb.exists() for cut in (daily, old, new)] == [True, False, True]
    assert bench.core.figures.cuts_dropped == 1
    await bench.stop()


async def test_snapshot_given_up_ends_the_operation_that_waited_for_it(tmp_path: Path) -> None:
    first = await boot(tmp_path, "keep-newest")
    disk = await disk_at(first, "snapshot.proof_recorded", first.take)
    await first.stop()
    bench = await boot(disk, "keep-newest")
    page = bench.core.ground.operations.list(ListRequest(), only_running=True)
    (rdb,) = (bench.data_dir / "spool").glob("*.rdb")
    with rdb.open("ab") as file:
        file.truncate(2 * LIMIT_BYTES)
    assert not await refused(bench)
    (operation,) = page.items
    ended = bench.core.ground.operations.get(operation.operation_id)
    assert ended.state is OperationState.FAILED
    assert (ended.error or {})["code"] == "SNAPSHOT_DROPPED"
    await bench.stop()


async def test_safety_cut_is_never_given_up_and_its_refusal_is_said(tmp_path: Path) -> None:
    bench = await boot(tmp_path, "keep-newest")
    safety = await put_waiting(bench, target(SAFETY, Trigger.SAFETY), LIMIT_BYTES // 2)
    manual = await put_waiting(bench, target("m", Trigger.MANUAL))
    assert not await refused(bench)
    assert safety.rdb.exists()
    assert not manual.rdb.exists()
    with safety.rdb.open("ab") as file:
        file.truncate(2 * LIMIT_BYTES)
    assert await refused(bench)
    assert safety.rdb.exists()
    await bench.stop()


async def test_transfer_in_the_way_refuses_a_new_cut_and_gives_none_up(tmp_path: Path) -> None:
    bench = await boot(tmp_path, "keep-newest")
    cut = await put_waiting(bench, target("m", Trigger.MANUAL))
    transfer = bench.core.ground.spool.scratch("stored")
    transfer.write_bytes(bytes(LIMIT_BYTES - 1000))
    assert await refused(bench)
    assert cut.rdb.exists()
    transfer.unlink()
    assert not await refused(bench)
    assert cut.rdb.exists()
    await bench.stop()


async def test_nothing_is_given_up_when_that_would_not_be_enough(tmp_path: Path) -> None:
    bench = await boot(tmp_path, "keep-newest")
    await put_waiting(bench, target(SAFETY, Trigger.SAFETY), 2 * LIMIT_BYTES)
    cut = await put_waiting(bench, target("m", Trigger.MANUAL), 1000)
    assert await refused(bench)
    assert cut.rdb.exists()
    await bench.stop()


async def test_cut_that_is_taken_in_hand_meanwhile_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settling begins with it while the spool is read for what may give way."""
    bench = await boot(tmp_path, "keep-newest")
    cut = await put_waiting(bench, target("m", Trigger.MANUAL), 2 * LIMIT_BYTES)
    sizes, reading, go = bench.core.ground.spool.cut_sizes, threading.Event(), threading.Event()

    def slow() -> dict[str, int]:
        reading.set()
        assert go.wait(30)
        return sizes()

    monkeypatch.setattr(bench.core.ground.spool, "cut_sizes", slow)
    asking = asyncio.create_task(refused(bench))
    await until(reading.is_set)
    with bench.core.pipeline.hold(cut):
        go.set()
        assert await asking
    assert cut.rdb.exists()
    await bench.stop()


async def test_restore_needs_room_for_what_it_replaces(tmp_path: Path) -> None:
    bench = await boot(tmp_path, "refuse-new")
    snapshot = await bench.take()
    bench.engine.data = {"b": "2"}
    waiting = await put_waiting(bench, target("m", Trigger.MANUAL), 2 * LIMIT_BYTES)
    done = await bench.restored(snapshot.snapshot_id)
    assert (done.error or {})["code"] == "SPOOL_FULL"
    assert bench.engine.data == {"b": "2"}
    assert waiting.rdb.exists()
    await bench.stop()


async def test_expected_size_counts_and_a_lone_cut_may_be_larger(tmp_path: Path) -> None:
    bench = await boot(tmp_path, "refuse-new")
    bench.core.figures.snapshot_raw_size_bytes = LIMIT_BYTES
    assert not await refused(bench)  # alone
    bench.core.figures.snapshot_raw_size_bytes = LIMIT_BYTES
    await put_waiting(bench, target("m", Trigger.MANUAL), 1000)
    assert await refused(bench)
    await bench.stop()


@pytest.mark.parametrize(("old", "new"), [("refuse", "refuse-new"), ("drop-oldest", "keep-newest")])
def test_old_words_name_the_new_ones(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=new):
        load_settings(None, {"PERDURE_SPOOL__AT_LIMIT": old}, {})
    settings = load_settings(None, {"PERDURE_SPOOL__AT_LIMIT": new}, {}).settings
    assert settings.spool.at_limit == new
