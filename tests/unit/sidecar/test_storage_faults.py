"""A backend that hangs, fails or comes back: the loop goes on, and no good cut is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from backends import errors as theirs
from backends.base import Backend, BlobInfo, BlobReader, Capability
from backends.local import LocalBackend, LocalOptions
from backends.source import Digest, Source
from sidecar.clock import SystemClock
from sidecar.control_plane import CoreOptions
from sidecar.errors import BackendTimeoutError, BackendUnavailableError, RevisionMismatchError
from sidecar.lanes import RETRY_FIRST
from sidecar.model import OperationState, Preset, ScheduleSpec
from sidecar.observe import BackendFigures
from sidecar.places import CALLS_MAX
from sidecar.storage import Storage, StorageOptions
from sidecar.usecases import CreateSnapshot
from tests.support.control_bench import ControlBench, until
from tests.support.fake_engine import dump_fake


class ScriptedBackend(Backend):
    """A local backend whose puts fail or hang as a test says."""

    def __init__(self, path: Path) -> None:
        self._inner = LocalBackend(LocalOptions(path=path))
        self.failure: Callable[[str], Exception | None] = lambda _key: None
        self.gate = threading.Event()
        self.gate.set()

    @property
    def location(self) -> str:
        return self._inner.location

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self._inner.capabilities

    def put(
        self, key: str, source: Source, *, on_progress: Callable[[int], None] | None = None
    ) -> Digest:
        self.gate.wait(30)
        if (failure := self.failure(key)) is not None:
            raise failure
        return self._inner.put(key, source, on_progress=on_progress)

    def open_reader(
        self, key: str, *, offset_bytes: int = 0, length_bytes: int | None = None
    ) -> BlobReader:
        return self._inner.open_reader(key, offset_bytes=offset_bytes, length_bytes=length_bytes)

    def stat(self, key: str) -> BlobInfo:
        return self._inner.stat(key)

    def list_blobs(self, prefix: str = "", *, after: str = "") -> Iterator[BlobInfo]:
        return self._inner.list_blobs(prefix, after=after)

    def delete(self, key: str) -> None:
        self._inner.delete(key)


def make_storage(backend: Backend, name: str = "s", seconds: float = 30.0) -> Storage:
    options = StorageOptions("scripted", seconds, seconds)
    return Storage(name, lambda: backend, SystemClock(), BackendFigures(), options)


async def test_hanging_call_is_given_up_and_the_loop_goes_on(tmp_path: Path) -> None:
    backend = ScriptedBackend(tmp_path)
    storage = make_storage(backend, seconds=0.05)
    backend.gate.clear()
    for _ in range(CALLS_MAX):
        with pytest.raises(BackendTimeoutError):
            await storage.put_bytes("a", b"1")
    with pytest.raises(BackendUnavailableError) as caught:
        await storage.put_bytes("a", b"1")
    assert caught.value.is_retryable
    assert storage.figures.is_up is False
    backend.gate.set()
    await until(lambda: storage.figures.calls_running == 0)
    assert await storage.get_bytes("a", 10) == b"1"
    assert storage.figures.is_up is True


async def test_cut_waits_in_the_spool_until_its_backend_is_back(tmp_path: Path) -> None:
    good, bad = ScriptedBackend(tmp_path / "good"), ScriptedBackend(tmp_path / "bad")
    bench = ControlBench(tmp_path)
    await bench.boot(CoreOptions(storages=(make_storage(good, "good"), make_storage(bad, "bad"))))
    bad.failure = lambda _key: theirs.BackendUnavailableError("away")
    operation = await bench.core.control_plane.snapshots.create(CreateSnapshot())
    done = await bench.ended(operation)
    assert done.state is OperationState.FAILED
    assert done.error
    assert done.error["code"] == "BACKEND_UNAVAILABLE"
    assert [copy.backend for copy in bench.listed()[0].copies] == ["good"]
    await bench.core.maintain()
    assert bench.core.figures.spool_pending == 1
    bad.failure = lambda _key: None
    bench.clock.advance(RETRY_FIRST)
    await bench.core.maintain()
    assert [copy.backend for copy in bench.listed()[0].copies] == ["bad", "good"]
    assert bench.core.figures.spool_pending == 0
    assert bench.engine.cuts == 1
    await bench.stop()


async def test_manifest_put_that_was_given_up_but_came_through_is_kept(tmp_path: Path) -> None:
    """The put raises after it has stored the manifest: the payload that it names must stay."""
    backend = ScriptedBackend(tmp_path / "s")
    bench = ControlBench(tmp_path)
    await bench.boot(CoreOptions(storages=(make_storage(backend),)))
    inner = backend._inner

    class Lying(ScriptedBackend):
        def put(
            self, key: str, source: Source, *, on_progress: Callable[[int], None] | None = None
        ) -> Digest:
            digest = inner.put(key, source, on_progress=on_progress)
            if key.endswith("manifest.json"):
                raise theirs.BlobExistsError("as a retry would see it")
            return digest

    storage = bench.core.ground.storages["s"]
    storage._opened = Lying(tmp_path / "s")
    snapshot = await bench.take()
    assert (tmp_path / "s" / snapshot.copies[0].payload_key).exists()
    await bench.stop()


async def test_snapshot_stored_while_its_backend_is_read_stays_listed(tmp_path: Path) -> None:
    """A backend that is back is listed; what is stored meanwhile is not in that listing."""
    bench = ControlBench(tmp_path)
    await bench.boot()
    storage = bench.core.ground.storages["local"]
    list_blobs, listed, go_on = storage.list, asyncio.Event(), asyncio.Event()

    async def slow_list(prefix: str) -> list[BlobInfo]:
        found = await list_blobs(prefix)
        listed.set()
        await go_on.wait()
        return found

    storage.list = slow_list  # type: ignore[method-assign]
    reading = asyncio.create_task(bench.core.rebuild.read(storage))
    await listed.wait()
    snapshot = await bench.take()
    go_on.set()
    await reading
    assert [s.snapshot_id for s in bench.listed()] == [snapshot.snapshot_id]
    await bench.stop()


async def test_backend_that_is_read_late_tells_when_the_last_snapshot_was(tmp_path: Path) -> None:
    """The database is lost and the backend away at the start: the metrics must not stay silent."""
    backend = ScriptedBackend(tmp_path / "s")
    options = CoreOptions(storages=(make_storage(backend),))
    bench = ControlBench(tmp_path)
    await bench.boot(options)
    bench.clock.advance(timedelta(hours=1))
    for operation in bench.core.scheduler.run_due():
        await bench.ended(operation)
    cut_at = bench.listed()[0].manifest.cut_at
    bench.engine.rdb.write_bytes(dump_fake({}))
    await bench.stop()
    for path in bench.data_dir.glob("perdure.db*"):
        path.unlink()
    away = make_storage(backend)
    away._opener = lambda: (_ for _ in ()).throw(theirs.BackendUnavailableError("away"))
    await bench.boot(CoreOptions(storages=(away,)))
    assert bench.core.figures.snapshot_last_success_at is None
    away._opener = lambda: backend
    await bench.core.maintain()
    assert bench.core.figures.snapshot_last_success_at == cut_at
    assert bench.core.ground.catalogue.get_run("hourly").last_due_at is not None
    await bench.stop()


async def test_schedule_change_after_one_that_was_given_up_goes_through(tmp_path: Path) -> None:
    """A put that came through after its deadline took the revision: the next one follows it."""
    backend = ScriptedBackend(tmp_path / "s")
    bench = ControlBench(tmp_path)
    await bench.boot(CoreOptions(storages=(make_storage(backend, seconds=0.3),)))
    schedules = bench.core.control_plane.schedules
    backend.gate.clear()
    with pytest.raises(BackendTimeoutError):
        await schedules.update("hourly", ScheduleSpec(preset=Preset.DAILY))
    backend.gate.set()
    await until(lambda: bench.core.ground.storages["s"].figures.calls_running == 0)
    wanted = ScheduleSpec(cron="5 * * * *")
    with pytest.raises(RevisionMismatchError):
        await schedules.update("hourly", wanted)
    assert schedules.get("hourly").schedule.spec.preset is Preset.DAILY
    assert (await schedules.update("hourly", wanted)).schedule.revision == 3
    await bench.stop()
