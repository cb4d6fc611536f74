"""Retention as properties of a pure plan, and deletion in two steps with a kill between."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.control_plane import CoreOptions
from sidecar.manifest import Note, NoteKind, copy_of
from sidecar.model import Compression, Copy, CopyState, Manifest, Retention, Trigger, Verification
from sidecar.retention import newest_verified, plan_retention
from sidecar.storage import Storage
from tests.support.control_bench import ControlBench, disk_at, until
from tests.support.fault_backend import Fault, FaultBackend
from tests.support.memory_backend import MemoryBackend
from tests.unit.sidecar.test_storage_faults import make_storage

NOW = datetime(2026, 11, 22, tzinfo=UTC)
UID = "ab" * 16


def make_manifest(number: int, age_hours: int) -> Manifest:
    cut_at = NOW - timedelta(hours=age_hours)
    return Manifest(
        snapshot_id=f"{cut_at.strftime('%Y%m%dt%H%M%Sz')}-hourly-{number:04x}",
        server_name="default",
        server_uid=UID,
        trigger=Trigger.SCHEDULE,
        schedule="hourly",
        due_at=cut_at,
        cut_at=cut_at,
        created_at=cut_at,
        engine_version="0",
        rdb_version=10,
        log_position=None,
        payload="dump-00.rdb",
        raw_size_bytes=1,
        raw_sha256="0" * 64,
        stored_size_bytes=1,
        stored_sha256="0" * 64,
        compression=Compression.NONE,
        fork_seconds=None,
        pause_seconds=None,
        cow_bytes=None,
        verification=Verification(cut_at, "7.0.15", 1, 1, 0, {}),
    )


@st.composite
def copies(draw: st.DrawFn) -> list[Copy]:
    found = []
    for number in range(draw(st.integers(0, 12))):
        manifest = make_manifest(number, draw(st.integers(0, 200)))
        kinds = draw(
            st.lists(st.sampled_from(["bad", "good", "tombstone", "revival", "hold"]), max_size=3)
        )
        notes = []
        for order, kind in enumerate(kinds):
            at = NOW + timedelta(seconds=order)
            if kind in {"bad", "good"}:
                notes.append(Note(NoteKind.VERDICT, at, is_passed=kind == "good"))
            else:
                notes.append(Note(NoteKind(kind), at))
        found.append(copy_of(manifest, "local", "x/", notes, timedelta(days=1)))
    return found


POLICIES = st.builds(
    Retention,
    st.none() | st.integers(1, 6),
    st.none() | st.integers(1, 200 * 3600),
)


@given(copies(), POLICIES)
def test_newest_verified_is_never_doomed(found: list[Copy], policy: Retention) -> None:
    plan = plan_retention(found, policy, NOW)
    newest = newest_verified(found)
    assert newest is None or newest in plan.kept


@given(copies(), POLICIES)
def test_plan_covers_the_living_once_and_spares_the_held(
    found: list[Copy], policy: Retention
) -> None:
    plan = plan_retention(found, policy, NOW)
    living = [copy for copy in found if copy.state is not CopyState.DELETING]
    assert sorted(c.manifest.snapshot_id for c in (*plan.kept, *plan.doomed)) == sorted(
        c.manifest.snapshot_id for c in living
    )
    assert not any(copy.is_held for copy in plan.doomed)


@given(copies(), st.integers(1, 6))
def test_only_verified_copies_count_towards_keep_last(found: list[Copy], keep: int) -> None:
    plan = plan_retention(found, Retention(keep_last=keep), NOW)
    verified = [copy for copy in found if copy.state is CopyState.AVAILABLE]
    kept = [copy for copy in plan.kept if copy.state is CopyState.AVAILABLE]
    assert len(kept) >= min(keep, len(verified))


@given(copies(), st.integers(1, 6))
def test_damaged_copy_goes_only_when_enough_newer_ones_are_verified(
    found: list[Copy], keep: int
) -> None:
    plan = plan_retention(found, Retention(keep_last=keep), NOW)
    verified = [copy for copy in found if copy.state is CopyState.AVAILABLE]
    for copy in plan.doomed:
        cut_at = copy.manifest.cut_at
        assert sum(other.manifest.cut_at >= cut_at for other in verified) >= keep


@given(copies(), POLICIES)
def test_nothing_is_doomed_where_nothing_can_be_restored(
    found: list[Copy], policy: Retention
) -> None:
    damaged = [copy for copy in found if copy.state is not CopyState.AVAILABLE]
    assert plan_retention(damaged, policy, NOW).doomed == ()


@given(copies(), st.integers(1, 200 * 3600))
def test_keep_within_keeps_all_that_is_younger(found: list[Copy], seconds: int) -> None:
    plan = plan_retention(found, Retention(keep_within_seconds=seconds), NOW)
    for copy in plan.doomed:
        assert NOW - copy.manifest.cut_at >= timedelta(seconds=seconds)


@given(copies())
def test_keep_within_more_than_there_are_years_is_for_ever(found: list[Copy]) -> None:
    assert plan_retention(found, Retention(None, 315_576_000_000), NOW).doomed == ()


@given(copies())
def test_no_policy_keeps_everything(found: list[Copy]) -> None:
    assert plan_retention(found, Retention(), NOW).doomed == ()


async def test_deleted_snapshot_is_purged_after_its_grace(bench: ControlBench) -> None:
    snapshot = await bench.take()
    snapshots = bench.core.control_plane.snapshots
    deleted = await snapshots.delete(snapshot.snapshot_id, "r")
    assert deleted.state is CopyState.DELETING
    assert await snapshots.delete(snapshot.snapshot_id, "r") == deleted
    assert await snapshots.delete(snapshot.snapshot_id) == deleted
    bench.clock.advance(timedelta(hours=23))
    assert await bench.core.rotation.purge_due(bench.local) == 0
    bench.clock.advance(timedelta(hours=2))
    assert await bench.core.rotation.purge_due(bench.local) == 1
    assert not [name for name in bench.files() if snapshot.snapshot_id in name]
    assert bench.listed() == []


async def test_rotated_copy_that_became_the_last_is_revived(tmp_path: Path) -> None:
    bench = ControlBench(tmp_path, schedules={"h": {"preset": "hourly", "keep_last": 1}})
    await bench.boot()
    for _ in range(2):
        bench.clock.advance(timedelta(hours=1))
        for operation in bench.core.scheduler.run_due():
            await bench.ended(operation)
    newest, oldest = bench.listed()
    assert oldest.state is CopyState.DELETING
    await bench.core.rotation.note(
        newest.copies[0], Note(NoteKind.VERDICT, bench.clock.now(), is_passed=False)
    )
    bench.clock.advance(timedelta(days=2))
    assert await bench.core.rotation.purge_due(bench.local) == 0
    states = [snapshot.state for snapshot in bench.listed()]
    assert states == [CopyState.DAMAGED, CopyState.AVAILABLE]
    await bench.stop()


async def test_safety_snapshots_go_by_a_count_of_their_own(tmp_path: Path) -> None:
    bench = ControlBench(tmp_path, snapshots={"keep_last_safety": 2})
    await bench.boot()
    manual = await bench.take()
    for _ in range(3):
        bench.clock.advance(timedelta(minutes=1))
        await bench.ended(await bench.core.control_plane.restores.restore(manual.snapshot_id))
    await bench.core.maintain()
    safety = [s for s in bench.listed() if s.manifest.trigger is Trigger.SAFETY]
    states = [snapshot.state for snapshot in safety]  # newest first
    assert states == [CopyState.AVAILABLE, CopyState.AVAILABLE, CopyState.DELETING]
    assert bench.core.control_plane.snapshots.get(manual.snapshot_id).state is CopyState.AVAILABLE
    await bench.stop()


@pytest.mark.parametrize("step", ["rotate.manifest_deleted", "rotate.payload_deleted"])
async def test_kill_within_a_purge_leaves_no_dangling_manifest(tmp_path: Path, step: str) -> None:
    bench = ControlBench(tmp_path)
    await bench.boot()
    snapshot = await bench.take()
    await bench.core.control_plane.snapshots.delete(snapshot.snapshot_id)
    bench.clock.advance(timedelta(days=2))
    disk = await disk_at(bench, step, lambda: bench.core.rotation.purge_due(bench.local))
    await bench.stop()
    second = ControlBench(disk, server={"boot_source": "empty"})
    await second.boot()
    assert second.listed() == []
    second.clock.advance(timedelta(days=30000))
    await second.core.maintain()
    assert not [name for name in second.files() if snapshot.snapshot_id in name]
    await second.stop()


async def test_payload_without_manifest_is_swept_only_after_the_grace(bench: ControlBench) -> None:
    snapshot = await bench.take()
    storage = next(iter(bench.core.ground.storages))
    layout = bench.core.ground.identity.layout
    stray = layout.snapshot("20200101t000000z-manual-00000000", "dump-00.rdb")
    await storage.put_bytes(stray, b"left")
    bench.clock.advance(timedelta(0))
    assert await bench.core.rotation.sweep(storage) == 0
    bench.clock.advance(timedelta(days=30000))
    assert await bench.core.rotation.sweep(storage) == 1
    assert [name for name in bench.files("**/dump-*") if snapshot.snapshot_id in name]


async def test_sweep_spares_a_payload_whose_manifest_may_still_come(tmp_path: Path) -> None:
    """Even without any grace: an upload may be under way."""
    bench = ControlBench(tmp_path, snapshots={"deletion_grace": 0})
    await bench.boot()
    storage = next(iter(bench.core.ground.storages))
    bench.clock.advance(datetime.now(UTC) - bench.clock.now() + timedelta(minutes=5))
    layout = bench.core.ground.identity.layout
    await storage.put_bytes(layout.snapshot("20200101t000000z-manual-00000000", "dump-0.rdb"), b"x")
    assert await bench.core.rotation.sweep(storage) == 0
    bench.clock.advance(2 * timedelta(seconds=storage.options.transfer_timeout_seconds))
    assert await bench.core.rotation.sweep(storage) == 1
    await bench.stop()


async def test_sweep_spares_what_the_spool_still_ships_however_old_it_looks(tmp_path: Path) -> None:
    """A store may date a blob by the beginning of its put; here all blobs are hours old."""
    bench = ControlBench(tmp_path, snapshots={"deletion_grace": 0})
    memory, go = MemoryBackend(), threading.Event()
    fault = Fault("put", match="/manifest.json", hold=go)
    storage = make_storage(FaultBackend(memory, fault))
    await bench.boot(CoreOptions(storages=(storage,)))
    taking = asyncio.create_task(bench.take())
    await until(fault.reached.is_set)
    assert await bench.core.rotation.sweep(storage) == 0
    go.set()
    snapshot = await taking
    assert snapshot.copies[0].payload_key in memory.blobs
    await bench.stop()


async def test_sweep_looks_for_the_manifest_once_more(tmp_path: Path) -> None:
    """It comes between the listing and the deletion, and no cut in the spool tells of it."""
    bench = ControlBench(tmp_path, snapshots={"deletion_grace": 0})
    memory = MemoryBackend()
    storage = make_storage(memory)
    await bench.boot(CoreOptions(storages=(storage,)))
    snapshot = await bench.take()
    manifest = bench.core.ground.identity.layout.manifest(snapshot.snapshot_id)
    without = [blob for blob in await storage.list("") if blob.key != manifest]
    memory.list_blobs = lambda *_args, **_kwargs: iter(without)  # type: ignore[method-assign]
    assert await bench.core.rotation.sweep(storage) == 0
    assert snapshot.copies[0].payload_key in memory.blobs
    await bench.stop()


async def test_verdict_wins_although_the_clock_went_back(bench: ControlBench) -> None:
    """The newest note wins by its instant: a damaged copy must not stay available."""
    snapshot = await bench.take()
    rotation, copy = bench.core.rotation, snapshot.copies[0]
    await rotation.note(copy, Note(NoteKind.VERDICT, bench.clock.now(), is_passed=True))
    bench.clock.advance(-timedelta(hours=1))
    await rotation.note(copy, Note(NoteKind.VERDICT, bench.clock.now(), is_passed=False))
    assert bench.listed()[0].state is CopyState.DAMAGED


async def test_sweep_ends_only_its_own_dead_uploads(bench: ControlBench) -> None:
    """Below its own prefix, and only what is older than any upload that may still run."""
    storage = next(iter(bench.core.ground.storages))
    inner = MemoryBackend()
    asked: list[tuple[str, timedelta]] = []

    def sweep(prefix: str, older_than: timedelta) -> int:
        asked.append((prefix, older_than))
        return 3

    inner.sweep_unfinished = sweep  # type: ignore[method-assign]
    swapped = Storage("s3", lambda: inner, bench.clock, storage.figures, storage.options)
    assert await bench.core.rotation.sweep(swapped) == 3
    hour = timedelta(seconds=storage.options.transfer_timeout_seconds)
    assert asked == [(bench.core.ground.identity.layout.prefix, hour)]
