"""What the doors (rpc, http, app) may call, as protocols; the implementations stand beside.

Every method may raise the errors of `sidecar.errors`; mutations take a `request_id` (None: every
call is a new one) and answer a repeat with the first result, another request under the same id
with RequestIdReusedError. Methods that answer an Operation return at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sidecar.clone_record import Clone, CloneFolder, CloneState
from sidecar.model import (
    BackendStatus,
    Compression,
    CopyState,
    JsonObject,
    Operation,
    OperationKind,
    OperationState,
    Page,
    Schedule,
    ScheduleSpec,
    ScheduleStatus,
    Snapshot,
    Trigger,
)
from sidecar.paging import ListRequest


@dataclass(frozen=True, slots=True)
class SnapshotFilter:
    """Terms that must all hold; None does not ask."""

    schedule: str | None = None
    trigger: Trigger | None = None
    state: CopyState | None = None
    backend: str | None = None
    cut_from: datetime | None = None  # inclusive
    cut_before: datetime | None = None  # exclusive
    show_deleted: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleFilter:
    """As SnapshotFilter."""

    is_paused: bool | None = None
    backend: str | None = None  # stores there: names it, or names none


@dataclass(frozen=True, slots=True)
class BackendFilter:
    """As SnapshotFilter."""

    type: str | None = None
    states: frozenset[bool | None] | None = None  # of `is_up`


@dataclass(frozen=True, slots=True)
class OperationFilter:
    """As SnapshotFilter."""

    kind: OperationKind | None = None
    state: OperationState | None = None
    target: str | None = None
    is_done: bool | None = None


@dataclass(frozen=True, slots=True)
class CreateSnapshot:
    """A manual snapshot; no backends means all, no compression the default."""

    backends: tuple[str, ...] = ()
    compression: Compression | None = None


class SnapshotUseCases(Protocol):
    """`sidecar.snapshots.Snapshots`."""

    async def create(self, request: CreateSnapshot, request_id: str | None = None) -> Operation:
        """Cut, verify and store; result {"snapshot_id"}."""
        ...

    def get(self, snapshot_id: str) -> Snapshot:
        """Return one, a tombstoned one too."""
        ...

    def list(self, request: ListRequest, filter_: SnapshotFilter) -> Page[Snapshot]:
        """Return a page, newest first."""
        ...

    async def verify(
        self, snapshot_id: str, backend: str | None = None, request_id: str | None = None
    ) -> Operation:
        """Read stored copies back; result {"snapshot_id"}, SnapshotDamagedError when damaged."""
        ...

    async def delete(self, snapshot_id: str, request_id: str | None = None) -> Snapshot:
        """Put a tombstone on every copy; deleting twice answers it unchanged."""
        ...


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A schedule and how it fares; the etag is the revision as text."""

    schedule: Schedule
    status: ScheduleStatus

    @property
    def etag(self) -> str:
        """Return what a safe change sends back."""
        return str(self.schedule.revision)


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    """A change of some fields, made when nobody else can come between."""

    apply: Callable[[ScheduleSpec], ScheduleSpec]
    asked: JsonObject  # tells two requests under one request_id apart


class ScheduleUseCases(Protocol):
    """`sidecar.schedules.Schedules`."""

    async def create(
        self, schedule_id: str, spec: ScheduleSpec, request_id: str | None = None
    ) -> ScheduleView:
        """Make a schedule; not due for what has passed already."""
        ...

    def get(self, schedule_id: str) -> ScheduleView:
        """Return one that is not deleted."""
        ...

    def list(
        self, request: ListRequest, filter_: ScheduleFilter | None = None
    ) -> Page[ScheduleView]:
        """Return a page, by id."""
        ...

    async def update(
        self,
        schedule_id: str,
        change: ScheduleSpec | ScheduleChange,
        etag: str | None = None,
        request_id: str | None = None,
    ) -> ScheduleView:
        """Replace the whole spec, or make a change of what it is then."""
        ...

    async def delete(
        self, schedule_id: str, etag: str | None = None, request_id: str | None = None
    ) -> None:
        """Remove it; its snapshots stay, and no retention deletes them from then on."""
        ...

    async def run(self, schedule_id: str, request_id: str | None = None) -> Operation:
        """Take its snapshot now, beside its due times; result {"snapshot_id"}."""
        ...


class RestoreUseCases(Protocol):
    """`sidecar.restores.Restores`."""

    async def restore(
        self,
        snapshot_id: str,
        *,
        backend: str | None = None,
        is_dry_run: bool = False,
        request_id: str | None = None,
    ) -> Operation:
        """Plan and, unless dry, replace the live data; see `model.RestoreOutcome`."""
        ...


class OperationUseCases(Protocol):
    """`sidecar.operations.Operations`."""

    def get(self, operation_id: str) -> Operation:
        """Return one."""
        ...

    def list(
        self,
        request: ListRequest,
        filter_: OperationFilter | None = None,
        *,
        only_running: bool = False,
    ) -> Page[Operation]:
        """Return a page, newest first."""
        ...

    async def cancel(self, operation_id: str) -> Operation:
        """Ask it to stop; refused with NotCancellableError past its commit or end."""
        ...

    async def wait(self, operation_id: str, timeout_seconds: float | None = None) -> Operation:
        """Return it when it has ended, or as it stands when the time is over."""
        ...

    async def delete(self, operation_id: str) -> None:
        """Forget an ended operation."""
        ...


@dataclass(frozen=True, slots=True)
class DownloadSnapshot:
    """A payload from `offset` on; raw, or as it is stored; no backend means any."""

    snapshot_id: str
    backend: str | None = None
    is_stored: bool = False
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Download:
    """A payload that is here, whole and checked: its size, its digest, and the bytes asked for."""

    backend: str
    size_bytes: int
    sha256: str
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class ImportSnapshot:
    """An RDB file that a client sends; no backends means all."""

    size_bytes: int
    sha256: str
    backends: tuple[str, ...] = ()


class TransferUseCases(Protocol):
    """`sidecar.transfers.Transfers`."""

    def download(self, request: DownloadSnapshot) -> AbstractAsyncContextManager[Download]:
        """Give a payload for the length of a block; SnapshotDamagedError when it is not it."""
        ...

    async def import_file(
        self,
        request: ImportSnapshot,
        chunks: AsyncIterator[bytes],
        request_id: str | None = None,
    ) -> Operation:
        """Receive a file; the Operation then verifies and stores it; result {"snapshot_id"}."""
        ...


class BackendUseCases(Protocol):
    """`sidecar.backends_service.Backends`."""

    def list(
        self, request: ListRequest, filter_: BackendFilter | None = None
    ) -> Page[BackendStatus]:
        """Return what is known; no backend is called."""
        ...

    async def check(self, backend: str, request_id: str | None = None) -> Operation:
        """Run the conformance suite; result is `records.encode_backend_report`."""
        ...


@dataclass(frozen=True, slots=True)
class CreateClone:
    """What a clone begins with: a snapshot, the live data, or the newest snapshot there is."""

    snapshot_id: str | None = None
    backend: str | None = None
    is_live: bool = False
    lease_seconds: float | None = None  # None: until it is deleted


@dataclass(frozen=True, slots=True)
class CloneFilter:
    """Terms that must all hold; None does not ask."""

    state: CloneState | None = None
    snapshot_id: str | None = None


class CloneUseCases(Protocol):
    """`sidecar.clones.Clones`."""

    async def create(self, request: CreateClone, request_id: str | None = None) -> Operation:
        """Make a clone; the result is its record as it was when it began to serve."""
        ...

    def get(self, clone_id: str) -> Clone:
        """Return one."""
        ...

    def list(self, request: ListRequest, filter_: CloneFilter) -> Page[Clone]:
        """Return a page, newest first."""
        ...

    async def renew(
        self,
        clone_id: str,
        lease_seconds: float,
        etag: str | None = None,
        request_id: str | None = None,
    ) -> Clone:
        """Give it a lease that begins now."""
        ...

    async def delete(
        self, clone_id: str, etag: str | None = None, request_id: str | None = None
    ) -> Operation:
        """End its process and remove its data; result {"clone_id"}."""
        ...

    def folder_of(self, clone_id: str) -> CloneFolder:
        """Return where it lies."""
        ...


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Everything that a door may reach; `sidecar.app` makes one."""

    snapshots: SnapshotUseCases
    schedules: ScheduleUseCases
    restores: RestoreUseCases
    operations: OperationUseCases
    backends: BackendUseCases
    transfers: TransferUseCases
    clones: CloneUseCases
    settings: Mapping[str, str] = field(default_factory=dict)  # dotted names, secrets as ***
    warnings: Sequence[str] = ()
