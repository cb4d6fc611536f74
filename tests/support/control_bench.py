"""One control plane on a temporary folder, with the fake engine and a driven clock.

`crash` drops it as a kill would: nothing is stopped, closed or flushed by the program; only what is
on the disk remains for the next `boot` on the same folder.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from sidecar.config import Settings, load_settings
from sidecar.control_plane import Core, CoreOptions
from sidecar.engine import EngineAdapter
from sidecar.failpoints import add_observer
from sidecar.model import Operation, OperationState, Snapshot
from sidecar.paging import ListRequest
from sidecar.storage import Storage
from sidecar.usecases import CreateSnapshot, SnapshotFilter
from tests.support.driven_clock import DrivenClock
from tests.support.fake_engine import FakeEngine, FakeEngineError


class ControlBench:
    """A server's folder, and the control plane that runs on it now."""

    def __init__(self, folder: Path, **tables: dict[str, Any]) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.clock = DrivenClock()
        self.tables = tables
        self.core: Core
        self.engine: FakeEngine
        self._tasks_before: set[asyncio.Task[Any]] = set()
        self._threads: ThreadPoolExecutor

    def settings(self) -> Settings:
        command_line = {"server.data_dir": str(self.data_dir), "snapshots.compression": "zstd"}
        for table, values in self.tables.items():
            for name, value in values.items():
                command_line[f"{table}.{name}"] = value
        return load_settings(None, {}, command_line).settings

    async def boot(self, options: CoreOptions | None = None) -> Core:
        """Start on what is on the disk."""
        self._tasks_before = asyncio.all_tasks()
        self._threads = ThreadPoolExecutor(4)
        asyncio.get_running_loop().set_default_executor(self._threads)
        self.core = Core(
            self.settings(), self.clock, EngineAdapter(FakeEngineError), options or CoreOptions()
        )
        await self.core.prepare()
        self.engine = FakeEngine(self.data_dir, self.clock.unix_ms)
        self.core.engine.attach(self.engine)
        await self.core.begin()
        return self.core

    async def stop(self) -> None:
        """Stop well."""
        await self.core.stop()
        self._drop()

    async def crash(self) -> None:
        """End as SIGKILL would: whatever runs is cut off where it stands."""
        self.core.pipeline.stop()
        self.core.ground.operations._is_stopping = True  # nothing is written on the way out
        tasks = asyncio.all_tasks() - self._tasks_before - {asyncio.current_task()}
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*[t for t in tasks if t is not None], return_exceptions=True)
        self._threads.shutdown(wait=True)  # a dead process's threads are dead
        for storage in self.core.ground.storages:
            await until(partial(_is_idle, storage))
        self._drop()

    def _drop(self) -> None:
        self.core.engine.detach()
        self.engine.close()
        self.core.close()
        self._threads.shutdown(wait=False)
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))

    # --- shorthands -------------------------------------------------------------------

    @property
    def local(self) -> Storage:
        """The configured local backend."""
        return self.core.ground.storages["local"]

    async def take(self) -> Snapshot:
        """Take a manual snapshot and wait for it."""
        operation = await self.core.control_plane.snapshots.create(CreateSnapshot())
        done = await self.ended(operation)
        assert done.state is OperationState.DONE, done.error
        assert done.result is not None
        return self.core.control_plane.snapshots.get(str(done.result["snapshot_id"]))

    async def ended(self, operation: Operation) -> Operation:
        """Wait for an operation's end; a deadline, not a sleep."""
        done = await self.core.ground.operations.wait(operation.operation_id, 30)
        assert done.is_done, done
        return done

    async def restored(self, snapshot_id: str, **options: Any) -> Operation:
        """Restore and wait."""
        return await self.ended(
            await self.core.control_plane.restores.restore(snapshot_id, **options)
        )

    def listed(self) -> list[Snapshot]:
        """Return what the API lists, newest first."""
        page = self.core.control_plane.snapshots.list(
            ListRequest(1000), SnapshotFilter(show_deleted=True)
        )
        return list(page.items)

    def files(self, pattern: str = "**/*") -> list[str]:
        """Return the files on the local backend."""
        root = self.data_dir / "snapshots"
        return sorted(str(p.relative_to(root)) for p in root.glob(pattern) if p.is_file())

    def spool_files(self) -> list[str]:
        """Return what is in the spool, quarantine excluded."""
        return sorted(p.name for p in (self.data_dir / "spool").iterdir() if p.is_file())


def _is_idle(storage: Storage) -> bool:
    return storage.figures.calls_running == 0


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop turn until something is so; a deadline, not a span."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(0.001)


async def disk_at(bench: ControlBench, name: str, act: Callable[[], Awaitable[object]]) -> Path:
    """Run `act`, and return a copy of the disk as it was when failpoint `name` was first hit.

    A kill there leaves exactly these bytes (what is not fsynced is the fault tests' matter).
    """
    copy = bench.folder / f"killed-{name}"

    def observe(hit: str) -> None:
        if hit == name and not copy.exists():
            shutil.copytree(bench.data_dir, copy / "data")

    remove = add_observer(observe)
    try:
        await act()
    finally:
        remove()
    assert copy.exists(), f"failpoint {name} was never hit"
    return copy
