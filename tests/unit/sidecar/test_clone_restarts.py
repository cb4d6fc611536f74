"""What the next start makes of clones: after a kill at each step, and of what ended meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sidecar.clone_record import CloneState, CloneStore
from sidecar.failpoints import add_observer
from sidecar.model import OperationKind, OperationState
from sidecar.paging import ListRequest
from sidecar.usecases import CreateClone, OperationFilter
from tests.support.fake_provisioner import folders_below
from tests.unit.sidecar.test_clones import CloneBench

STEPS_BEFORE = [
    "clone.planned",
    "clone.recorded",
    "clone.fetched",
    "clone.unpacked",
    "clone.seeded",
    "clone.verified",
    "clone.launched",
    "clone.process_recorded",
    "clone.released",
    "clone.serving",
]
STEPS_OF_AN_END = ["clone.deleting", "clone.ended", "clone.deleted"]


async def killed_at(
    folder: Path, name: str, act: Callable[[CloneBench], Awaitable[object]]
) -> CloneBench:
    """Return a bench on disk and processes as a kill at the first hit of `name` leaves them."""
    first = CloneBench(folder / "first")
    await first.begin()
    after = CloneBench(folder / "after")

    def observe(hit: str) -> None:
        if hit == name and not after.data_dir.exists():
            shutil.copytree(first.data_dir, after.data_dir)
            after.world.states = dict(first.world.states)

    remove = add_observer(observe)
    try:
        await act(first)
    finally:
        remove()
    await first.stop()
    assert after.data_dir.exists(), f"{name} was never hit"
    after.world.server_gone()
    await after.begin()
    await after.core.clones.tend()
    return after


async def make(bench: CloneBench) -> None:
    """Make a clone of a snapshot that must be fetched and unpacked."""
    snapshot = await bench.take()
    await bench.made(CreateClone(snapshot_id=snapshot.snapshot_id))


async def make_and_delete(bench: CloneBench) -> None:
    clone = await bench.made()
    await bench.ended(await bench.core.clones.delete(clone.clone_id))


def state_of(bench: CloneBench, kind: OperationKind) -> OperationState:
    """Return how the one operation of a kind stands."""
    [operation] = bench.core.ground.operations.list(ListRequest(), OperationFilter(kind)).items
    return operation.state


@pytest.mark.parametrize("name", STEPS_BEFORE)
async def test_a_kill_before_it_is_ready_leaves_nothing_of_it(tmp_path: Path, name: str) -> None:
    after = await killed_at(tmp_path, name, make)
    after.assert_nothing_left()
    assert state_of(after, OperationKind.CLONE_CREATE) is OperationState.FAILED
    await after.made(CreateClone())
    await after.stop()


async def test_a_kill_once_it_is_ready_keeps_it(tmp_path: Path) -> None:
    after = await killed_at(tmp_path, "clone.ready_recorded", make)
    [clone] = after.clones
    assert clone.state is CloneState.READY
    assert after.world.alive == [clone.process]
    assert state_of(after, OperationKind.CLONE_CREATE) is OperationState.DONE
    await after.stop()


@pytest.mark.parametrize("name", STEPS_OF_AN_END)
async def test_a_deletion_is_done_to_the_end(tmp_path: Path, name: str) -> None:
    after = await killed_at(tmp_path, name, make_and_delete)
    after.assert_nothing_left()
    assert state_of(after, OperationKind.CLONE_DELETE) is OperationState.DONE
    await after.stop()


async def test_a_stop_leaves_clones_serving_and_the_next_start_lists_them(tmp_path: Path) -> None:
    bench = CloneBench(tmp_path)
    await bench.begin()
    clone = await bench.made(CreateClone(is_live=True, lease_seconds=60))
    await bench.stop()
    assert bench.world.alive == [clone.process]
    await bench.begin()
    assert bench.clones == [clone]
    await bench.crash()
    await bench.begin()
    assert bench.clones == [clone]
    await bench.stop()


async def test_a_clone_that_ended_meanwhile_is_shown_as_failed(tmp_path: Path) -> None:
    bench = CloneBench(tmp_path)
    await bench.begin()
    clone = await bench.made()
    await bench.crash()
    assert clone.process is not None
    bench.world.crash(clone.process)
    await bench.begin()
    [shown] = bench.clones
    assert shown.state is CloneState.FAILED
    assert len(bench.world.specs) == 1, "nobody starts it again in silence"
    await bench.stop()


async def test_a_record_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    bench = CloneBench(tmp_path)
    await bench.begin()
    clone = await bench.made()
    folder = bench.core.clones.folder_of(clone.clone_id)
    await bench.crash()
    folder.record.write_text("{")
    (folder.path.parent / "20261122t073000z-00000000").mkdir()
    await bench.begin()
    await bench.core.clones.tend()
    assert bench.clones == []
    assert folders_below(bench.data_dir) == [clone.clone_id], "the empty one is gone"
    assert bench.world.alive == [clone.process]
    await bench.stop()


async def test_a_folder_that_cannot_be_read_keeps_nobody_from_serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = CloneBench(tmp_path)
    await bench.begin()
    clone = await bench.made()
    await bench.stop()

    def refuse(_store: CloneStore) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as broken:
        broken.setattr(CloneStore, "load", refuse)
        await bench.begin()
    assert bench.clones == []
    await bench.take()
    await bench.stop()
    await bench.begin()
    assert bench.clones == [clone]
    await bench.stop()
