"""Places on a backend: who waits, who is told at once, and what a call that was given up does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from backends.base import Backend
from backends.source import Digest
from sidecar.clock import SystemClock
from sidecar.control_plane import CoreOptions
from sidecar.errors import BackendTimeoutError, BackendUnavailableError
from sidecar.model import OperationState
from sidecar.observe import BackendFigures
from sidecar.places import CALLS_MAX, READS_MAX, BusyError, HangingError, Places
from sidecar.storage import Storage, StorageOptions
from sidecar.usecases import CreateSnapshot, DownloadSnapshot
from tests.support.control_bench import ControlBench, until
from tests.support.fault_backend import Fault, FaultBackend
from tests.support.memory_backend import MemoryBackend

PAYLOAD = b"payload"
DIGEST = Digest(len(PAYLOAD), sha256(PAYLOAD).hexdigest())


def make_storage(backend: Backend, transfer_seconds: float = 3600.0) -> Storage:
    options = StorageOptions("memory", transfer_timeout_seconds=transfer_seconds)
    return Storage("s", lambda: backend, SystemClock(), BackendFigures(), options)


def idle(storage: Storage) -> Callable[[], bool]:
    return lambda: storage.figures.calls_running == 0


async def test_place_that_is_freed_goes_to_who_waited_first() -> None:
    places = Places()
    held = [await places.take(1, is_read=False) for _ in range(CALLS_MAX)]
    waiting = [asyncio.create_task(places.take(30, is_read=False)) for _ in range(2)]
    await asyncio.sleep(0)
    places.free(held[0])
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert done == {waiting[0]}
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    places.free(held[1])
    await places.take(1, is_read=False)  # who went away did not take it along


async def test_wait_ends_at_once_when_all_places_are_given_up() -> None:
    places = Places()
    held = [await places.take(1, is_read=False) for _ in range(CALLS_MAX)]
    with pytest.raises(BusyError):
        await places.take(0.01, is_read=False)
    waiting = asyncio.create_task(places.take(3600, is_read=False))
    await asyncio.sleep(0)
    for place in held:
        places.give_up(place)
    with pytest.raises(HangingError):
        await waiting


async def test_reads_leave_places_to_the_others() -> None:
    places = Places()
    reads = [await places.take(1, is_read=True) for _ in range(READS_MAX)]
    with pytest.raises(BusyError):
        await places.take(0.01, is_read=True)
    for _ in range(CALLS_MAX - READS_MAX):
        await places.take(1, is_read=False)
    places.free(reads[0])
    await places.take(1, is_read=False)


async def test_downloads_keep_neither_a_snapshot_from_its_backend_nor_its_health_good(
    tmp_path: Path,
) -> None:
    """As many as may run at once, on a backend that is slow: a snapshot is stored meanwhile."""
    hold, backend = threading.Event(), FaultBackend(MemoryBackend())
    bench, storage = ControlBench(tmp_path), make_storage(backend)
    await bench.boot(CoreOptions(storages=(storage,)))
    bench.engine.data = {"a": "1"}
    snapshot = await bench.take()
    slow = Fault("open", on_call=0, match="/dump-", hold=hold)
    backend.faults.append(slow)
    transfers = bench.core.control_plane.transfers

    async def download() -> int:
        async with transfers.download(DownloadSnapshot(snapshot.snapshot_id)) as found:
            return sum([len(chunk) async for chunk in found.chunks])

    downloads = [asyncio.create_task(download()) for _ in range(CALLS_MAX)]
    await until(lambda: storage.figures.calls_running == READS_MAX)
    done = await bench.ended(await bench.core.control_plane.snapshots.create(CreateSnapshot()))
    assert done.state is OperationState.DONE, done.error
    assert storage.figures.is_up is True
    hold.set()
    sizes = await asyncio.gather(*downloads)
    assert set(sizes) == {snapshot.manifest.raw_size_bytes}
    await bench.stop()


async def test_our_own_bound_says_nothing_about_a_backend() -> None:
    hold, inner = threading.Event(), MemoryBackend()
    storage = make_storage(FaultBackend(inner, Fault("put", on_call=0, hold=hold)))
    await storage.list("")
    puts = [asyncio.create_task(storage.put_bytes(str(n), b"")) for n in range(CALLS_MAX)]
    await until(lambda: storage.figures.calls_running == CALLS_MAX)
    with pytest.raises(BackendUnavailableError, match="busy") as caught:
        await storage.run("check", lambda _: None, timeout_seconds=0.01)
    assert caught.value.is_retryable
    assert storage.figures.is_up is True
    late = asyncio.create_task(storage.put_bytes("late", b""))
    hold.set()
    await asyncio.gather(late, *puts)
    assert len(inner.blobs) == CALLS_MAX + 1


async def test_put_that_was_given_up_ends_at_its_next_byte(tmp_path: Path) -> None:
    hold, inner, path = threading.Event(), MemoryBackend(), tmp_path / "payload"
    path.write_bytes(PAYLOAD)
    storage = make_storage(FaultBackend(inner, Fault("put", hold=hold)), 0.05)
    with pytest.raises(BackendTimeoutError):
        await storage.put_file("a", path, DIGEST)
    hold.set()
    await until(idle(storage))
    assert inner.blobs == {}


class Deaf(FaultBackend):
    """One that reads a whole blob without a word."""

    def get_file(
        self,
        key: str,
        path: Path,
        expected: Digest | None = None,
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> Digest:
        del on_progress
        return super().get_file(key, path, expected)


@pytest.mark.parametrize("kind", [FaultBackend, Deaf])
async def test_get_that_was_given_up_leaves_no_file(
    tmp_path: Path, kind: type[FaultBackend]
) -> None:
    hold, inner = threading.Event(), MemoryBackend()
    inner.put_bytes("a", PAYLOAD)
    storage = make_storage(kind(inner, Fault("open", hold=hold)), 0.05)
    with pytest.raises(BackendTimeoutError):
        await storage.get_file("a", tmp_path / "scratch", DIGEST)
    hold.set()
    await until(idle(storage))
    await until(lambda: list(tmp_path.iterdir()) == [])
