"""A control plane of fakes behind a real control door, for tests of the door and of the CLI.

The fakes implement the protocols of `sidecar.usecases` in memory, without an engine or a backend.
The door runs in a thread of its own, so that blocking clients can call it.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sidecar.engine_port import EngineState
from sidecar.errors import (
    AlreadyExistsError,
    ConfigError,
    EngineNotReadyError,
    ImportRefusedError,
    NotFoundError,
    PerdureError,
    RevisionMismatchError,
)
from sidecar.event_log import EventLog
from sidecar.model import (
    BackendCheck,
    BackendReport,
    BackendStatus,
    Compression,
    Copy,
    JsonObject,
    KeyCounts,
    Manifest,
    Operation,
    OperationKind,
    OperationState,
    Page,
    Phase,
    Progress,
    RestoreOutcome,
    RestorePlan,
    Schedule,
    ScheduleSpec,
    ScheduleStatus,
    Snapshot,
    Trigger,
    Verdict,
    Verification,
)
from sidecar.observe import Figures
from sidecar.paging import ListRequest
from sidecar.records import encode_backend_report, encode_restore_outcome
from sidecar.rpc.audit_interceptor import AuditInterceptor
from sidecar.rpc.door import ControlDoor
from sidecar.rpc.server_service import ServerView
from sidecar.rpc.status_messages import ServerFacts
from sidecar.usecases import (
    BackendFilter,
    ControlPlane,
    CreateSnapshot,
    Download,
    DownloadSnapshot,
    ImportSnapshot,
    OperationFilter,
    ScheduleChange,
    ScheduleFilter,
    ScheduleView,
    SnapshotFilter,
)
from tests.support.driven_clock import DrivenClock
from tests.support.fake_clones import FakeClones

NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


def make_snapshot(snapshot_id: str, *, backend: str = "local") -> Snapshot:
    """Return a snapshot of seven keys with one copy."""
    manifest = Manifest(
        snapshot_id=snapshot_id,
        server_name="default",
        server_uid="0" * 32,
        trigger=Trigger.MANUAL,
        schedule=None,
        due_at=None,
        cut_at=NOW,
        created_at=NOW + timedelta(seconds=1),
        engine_version="0.1.0",
        rdb_version=10,
        log_position=None,
        payload="dump-1.rdb.zst",
        raw_size_bytes=1000,
        raw_sha256="a" * 64,
        stored_size_bytes=400,
        stored_sha256="b" * 64,
        compression=Compression.ZSTD,
        fork_seconds=0.001,
        pause_seconds=0.002,
        cow_bytes=4096,
        verification=Verification(NOW, "7.0.15", 5000, 7, 2, {3: KeyCounts(7, 2, {"string": 7})}),
    )
    key = f"default/{manifest.server_uid}/{snapshot_id}/dump-1.rdb.zst"
    verdict = Verdict(NOW, is_passed=True, backend=backend)
    return Snapshot(snapshot_id, (Copy(backend, manifest, key, verdict),))


def make_operation(kind: OperationKind, target: str, result: JsonObject | None = None) -> Operation:
    """Return an operation: running without a result, done with one."""
    return Operation(
        operation_id="op-1",
        kind=kind,
        target=target,
        state=OperationState.RUNNING if result is None else OperationState.DONE,
        progress=Progress(Phase.WRITE, 5, 10),
        created_at=NOW,
        updated_at=NOW,
        ended_at=None if result is None else NOW,
        result=result,
    )


@dataclass
class FakeOperations:
    """Operations that end when a test says so."""

    known: dict[str, Operation] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    asked: list[object] = field(default_factory=list)

    def add(self, operation: Operation) -> Operation:
        """Keep one and give it."""
        self.known[operation.operation_id] = operation
        return operation

    def get(self, operation_id: str) -> Operation:
        if operation_id not in self.known:
            raise NotFoundError("no such operation", code="OPERATION_NOT_FOUND", hint="list them")
        return self.known[operation_id]

    def list(
        self,
        request: ListRequest,
        filter_: OperationFilter | None = None,
        *,
        only_running: bool = False,
    ) -> Page[Operation]:
        del request
        self.asked.append(filter_)
        if filter_ is not None and filter_.is_done is False:
            only_running = True
        found = self.known.values()
        return Page(tuple(item for item in found if not (only_running and item.is_done)))

    async def cancel(self, operation_id: str) -> Operation:
        self.cancelled.append(operation_id)
        return self.get(operation_id)

    async def wait(self, operation_id: str, timeout_seconds: float | None = None) -> Operation:
        del timeout_seconds
        return self.get(operation_id)

    async def delete(self, operation_id: str) -> None:
        self.known.pop(self.get(operation_id).operation_id)


@dataclass
class FakeSnapshots:
    """Snapshots in memory; `failure` is raised by whatever comes next."""

    operations: FakeOperations
    known: dict[str, Snapshot] = field(default_factory=dict)
    asked: list[object] = field(default_factory=list)
    failure: Exception | None = None

    def _note(self, *request: object) -> None:
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure

    async def create(self, request: CreateSnapshot, request_id: str | None = None) -> Operation:
        self._note("create", request, request_id)
        snapshot = make_snapshot("20261122t070000z-manual-abcd")
        self.known[snapshot.snapshot_id] = snapshot
        target = f"snapshots/{snapshot.snapshot_id}"
        result: JsonObject = {"snapshot_id": snapshot.snapshot_id}
        return self.operations.add(make_operation(OperationKind.SNAPSHOT_CREATE, target, result))

    def get(self, snapshot_id: str) -> Snapshot:
        self._note("get", snapshot_id)
        if snapshot_id not in self.known:
            raise NotFoundError("no such snapshot", code="SNAPSHOT_NOT_FOUND", hint="list them")
        return self.known[snapshot_id]

    def list(self, request: ListRequest, filter_: SnapshotFilter) -> Page[Snapshot]:
        self._note("list", request, filter_)
        found = sorted(self.known)[::-1]
        first = int(request.page_token or 0)
        last = first + min(request.page_size or 100, 2)  # small pages, so that they are followed
        token = str(last) if last < len(found) else ""
        return Page(tuple(self.known[key] for key in found[first:last]), token, len(found))

    async def verify(
        self, snapshot_id: str, backend: str | None = None, request_id: str | None = None
    ) -> Operation:
        self._note("verify", snapshot_id, backend, request_id)
        self.get(snapshot_id)
        target, result = f"snapshots/{snapshot_id}", {"snapshot_id": snapshot_id}
        return self.operations.add(
            make_operation(OperationKind.SNAPSHOT_VERIFY, target, dict(result))
        )

    async def delete(self, snapshot_id: str, request_id: str | None = None) -> Snapshot:
        self._note("delete", snapshot_id, request_id)
        snapshot = self.get(snapshot_id)
        purge_at = NOW + timedelta(days=1)
        copies = (replace(copy, tombstoned_at=NOW, purge_at=purge_at) for copy in snapshot.copies)
        return replace(snapshot, copies=tuple(copies))


@dataclass
class FakeSchedules:
    """Schedules in memory."""

    operations: FakeOperations
    known: dict[str, Schedule] = field(default_factory=dict)
    asked: list[object] = field(default_factory=list)

    def _view(self, schedule: Schedule) -> ScheduleView:
        status = ScheduleStatus(NOW, None, None, None, 0, None, None)
        return ScheduleView(schedule, status)

    async def create(
        self, schedule_id: str, spec: ScheduleSpec, request_id: str | None = None
    ) -> ScheduleView:
        del request_id
        if schedule_id in self.known:
            raise AlreadyExistsError("taken")
        self.known[schedule_id] = Schedule(schedule_id, 1, spec, NOW, NOW, NOW)
        return self.get(schedule_id)

    def get(self, schedule_id: str) -> ScheduleView:
        if schedule_id not in self.known:
            raise NotFoundError("no such schedule", code="SCHEDULE_NOT_FOUND", hint="list them")
        return self._view(self.known[schedule_id])

    def list(
        self, request: ListRequest, filter_: ScheduleFilter | None = None
    ) -> Page[ScheduleView]:
        del request
        self.asked.append(filter_)
        return Page(tuple(map(self._view, self.known.values())))

    async def update(
        self,
        schedule_id: str,
        change: ScheduleSpec | ScheduleChange,
        etag: str | None = None,
        request_id: str | None = None,
    ) -> ScheduleView:
        del request_id
        before = self.get(schedule_id)
        if not isinstance(change, ScheduleSpec):
            change = change.apply(before.schedule.spec)
        if etag not in {None, before.etag}:
            raise RevisionMismatchError("somebody was faster")
        revision = before.schedule.revision + 1
        self.known[schedule_id] = replace(before.schedule, revision=revision, spec=change)
        return self.get(schedule_id)

    async def delete(
        self, schedule_id: str, etag: str | None = None, request_id: str | None = None
    ) -> None:
        del etag, request_id
        self.known.pop(self.get(schedule_id).schedule.schedule_id)

    async def run(self, schedule_id: str, request_id: str | None = None) -> Operation:
        del request_id
        self.get(schedule_id)
        target = f"schedules/{schedule_id}"
        return self.operations.add(
            make_operation(OperationKind.SCHEDULE_RUN, target, {"snapshot_id": "gone"})
        )


@dataclass
class FakeRestores:
    """Restores that end at once."""

    operations: FakeOperations
    snapshots: FakeSnapshots

    async def restore(
        self,
        snapshot_id: str,
        *,
        backend: str | None = None,
        is_dry_run: bool = False,
        request_id: str | None = None,
    ) -> Operation:
        del request_id
        snapshot = self.snapshots.get(snapshot_id)
        manifest = snapshot.manifest
        plan = RestorePlan(
            snapshot_id=snapshot_id,
            backend=backend or "local",
            cut_at=NOW,
            age_seconds=90.0,
            keys=manifest.keys,
            raw_size_bytes=manifest.raw_size_bytes,
            raw_sha256=manifest.raw_sha256,
            stored_size_bytes=manifest.stored_size_bytes,
            stored_sha256=manifest.stored_sha256,
            compression=manifest.compression,
            verdict=snapshot.verdict,
            memory_needed_bytes=5000,
            memory_available_bytes=10**9,
            disk_needed_bytes=2000,
            disk_available_bytes=10**9,
            replaced_keys=3,
            unsaved_changes=1,
            newest_snapshot_id=snapshot_id,
            newest_cut_at=NOW,
        )
        outcome = RestoreOutcome(plan, is_dry_run)
        if not is_dry_run:
            outcome = RestoreOutcome(plan, False, NOW, 7, 0, 3, 0.25, "safety-1")  # noqa: FBT003
        result = encode_restore_outcome(outcome)
        target = f"snapshots/{snapshot_id}"
        return self.operations.add(make_operation(OperationKind.RESTORE, target, result))


@dataclass
class FakeTransfers:
    """Payloads in memory; `cut_after` breaks a download once behind so many bytes."""

    operations: FakeOperations
    payloads: dict[str, bytes] = field(default_factory=dict)
    imported: list[bytes] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    cut_after: int | None = None

    @asynccontextmanager
    async def download(self, request: DownloadSnapshot) -> AsyncIterator[Download]:
        payload = self.payloads[request.snapshot_id]
        self.offsets.append(request.offset)

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(request.offset, len(payload), 100):
                if self.cut_after is not None and start >= self.cut_after:
                    self.cut_after = None
                    raise EngineNotReadyError("cut by the test")
                yield payload[start : start + 100]

        digest = hashlib.sha256(payload).hexdigest()
        yield Download("local", len(payload), digest, chunks())

    async def import_file(
        self,
        request: ImportSnapshot,
        chunks: AsyncIterator[bytes],
        request_id: str | None = None,
    ) -> Operation:
        del request_id
        came = b"".join([chunk async for chunk in chunks])
        if hashlib.sha256(came).hexdigest() != request.sha256:
            raise ImportRefusedError("another digest")
        self.imported.append(came)
        return self.operations.add(
            make_operation(OperationKind.SNAPSHOT_IMPORT, "snapshots/s-1", {"snapshot_id": "s-1"})
        )


@dataclass
class FakeBackends:
    """One backend that keeps or breaks its promises."""

    operations: FakeOperations
    outcome: str = "passed"
    asked: list[object] = field(default_factory=list)

    def list(
        self, request: ListRequest, filter_: BackendFilter | None = None
    ) -> Page[BackendStatus]:
        del request
        self.asked.append(filter_)
        status = BackendStatus(
            "local", "local", "data/snapshots", is_up=True, last_operation_at=NOW,
            last_error=None, snapshots=1, stored_size_bytes=400,
        )  # fmt: skip
        return Page((status,))

    async def check(self, backend: str, request_id: str | None = None) -> Operation:
        del request_id
        report = BackendReport(backend, (BackendCheck("put_then_get", self.outcome, "", 0.01),))
        result = encode_backend_report(report)
        return self.operations.add(
            make_operation(OperationKind.BACKEND_CHECK, f"backends/{backend}", result)
        )


@dataclass
class FakeEngineConfig:
    """What the door asks of an engine: state, stats and directives."""

    state: EngineState = EngineState.READY
    directives: dict[str, str] = field(default_factory=lambda: {"save": "3600 1", "port": "6379"})

    def stats(self) -> JsonObject:
        return {"state": "ready", "keys": {"0": 3, "2": 4}, "expires": {"2": 1}, "clients": 2}

    async def config_get(self, pattern: str) -> dict[str, str]:
        wanted = pattern.rstrip("*")
        return {name: value for name, value in self.directives.items() if name.startswith(wanted)}

    async def config_set(self, pairs: Sequence[tuple[str, str]]) -> None:
        unknown = [name for name, _ in pairs if name not in self.directives]
        if unknown:
            raise ConfigError(f"unknown directive {unknown[0]}", hint="see perdure config get")
        self.directives.update(pairs)


class FakePlane:
    """All of them together, and the address of the door in front."""

    def __init__(self) -> None:
        self.operations = FakeOperations()
        self.snapshots = FakeSnapshots(self.operations)
        self.schedules = FakeSchedules(self.operations)
        self.restores = FakeRestores(self.operations, self.snapshots)
        self.backends = FakeBackends(self.operations)
        self.transfers = FakeTransfers(self.operations)
        self.clones = FakeClones(self.operations)
        self.engine = FakeEngineConfig()
        self.engine_error: PerdureError | None = None
        self.clock = DrivenClock()
        self.events = EventLog(self.clock)
        self.target = ""
        self.auditor: AuditInterceptor | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def run_in_loop(self, work: Callable[[], None]) -> Future[None]:
        """Run something on the door's loop, where events are told."""

        async def run() -> None:
            work()

        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(run(), self.loop)

    async def open_door(self) -> ControlDoor:
        """Start a door on a free port of loopback."""
        door = ControlDoor(self.auditor)
        self.loop = asyncio.get_running_loop()
        plane = ControlPlane(
            self.snapshots,
            self.schedules,
            self.restores,
            self.operations,
            self.backends,
            self.transfers,
            self.clones,
            settings={"server.name": "default"},
        )
        facts = ServerFacts("default", "0.1.0", "/data", NOW, {"resp": "127.0.0.1:6379"})
        view = ServerView(
            facts, lambda: "0" * 32, lambda: self.engine_error, Figures(), self.events, self.clock
        )
        # The fake has what the door asks for, not the whole border.
        door.add_services(plane, self.engine, view)  # type: ignore[arg-type]
        self.target = f"127.0.0.1:{door.bind('127.0.0.1:0')}"
        await door.start()
        await door.set_serving(is_serving=True)
        return door


@contextmanager
def serving(plane: FakePlane) -> Iterator[FakePlane]:
    """Serve the plane from a thread for as long as the block runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="control-door")
    thread.start()
    try:
        door = asyncio.run_coroutine_threadsafe(plane.open_door(), loop).result(30)
        try:
            yield plane
        finally:
            asyncio.run_coroutine_threadsafe(door.stop(0), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
