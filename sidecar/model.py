"""The words of the domain as frozen dataclasses: snapshots, schedules, operations, plans.

No I/O, no clock and no encoding live here (`sidecar.manifest` and `sidecar.records` encode).
Instants are aware UTC datetimes (`*_at`), spans are seconds, sizes are bytes. Adding a field
to `Manifest` or `Schedule`? Also edit its codec and `docs/formats/manifest.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

JsonObject: TypeAlias = dict[str, object]
T = TypeVar("T")


# --- snapshots ---------------------------------------------------------------------------


class Trigger(StrEnum):
    """Why a snapshot was taken."""

    SCHEDULE = "schedule"  # a schedule that was due
    RUN = "run"  # a schedule's snapshot that somebody asked for at once
    MANUAL = "manual"
    SAFETY = "safety"  # of the data that a restore replaced
    BOOT = "boot"  # an RDB that a shutdown or crash left, shipped at the next boot
    IMPORT = "import"  # an RDB that a client sent from outside


# What nobody means by "the newest" as long as there is anything else: what a restore replaced was
# cut after what it brought back, and what was imported is not this server's history.
LAST_RESORTS = frozenset({Trigger.SAFETY, Trigger.IMPORT})


class CopyState(StrEnum):
    """What may be done with one stored copy."""

    AVAILABLE = "available"
    DAMAGED = "damaged"  # a later verification failed; kept, never restored
    DELETING = "deleting"  # has a tombstone; purged when its grace is over


class Compression(StrEnum):
    """How the payload is stored."""

    NONE = "none"
    ZSTD = "zstd"


class AtLimit(StrEnum):
    """What happens when the spool is full of cuts that wait for backends."""

    REFUSE_NEW = "refuse-new"  # a new cut is refused
    KEEP_NEWEST = "keep-newest"  # older ones are given up


@dataclass(frozen=True, slots=True)
class KeyCounts:
    """Keys of one database."""

    keys: int
    expires: int
    types: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading the cut back and parsing it said, before anything was put."""

    verified_at: datetime
    redis_version: str
    used_memory_bytes: int  # of the server that cut it: the need of a restore, about
    keys: int
    expires: int
    databases: Mapping[int, KeyCounts]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The immutable commit point of one snapshot on one backend."""

    snapshot_id: str
    server_name: str
    server_uid: str
    trigger: Trigger
    schedule: str | None
    due_at: datetime | None
    cut_at: datetime
    created_at: datetime
    engine_version: str
    rdb_version: int
    log_position: tuple[int, int] | None  # (epoch, offset); None without an AOF
    payload: str  # file name beside the manifest
    raw_size_bytes: int
    raw_sha256: str
    stored_size_bytes: int
    stored_sha256: str
    compression: Compression
    fork_seconds: float | None  # None: the cut was recovered after a crash
    pause_seconds: float | None
    cow_bytes: int | None
    verification: Verification

    @property
    def keys(self) -> int:
        """Return the number of keys in all databases."""
        return self.verification.keys

    @property
    def is_imported(self) -> bool:
        """Return whether it came from outside: it says nothing of how well this server is kept."""
        return self.trigger is Trigger.IMPORT


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the newest look at a copy said; `backend` is None for the look before it was put."""

    verified_at: datetime
    is_passed: bool
    detail: str = ""
    backend: str | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """One snapshot on one backend, with what became known since its manifest."""

    backend: str
    manifest: Manifest
    payload_key: str
    verdict: Verdict
    tombstoned_at: datetime | None = None
    purge_at: datetime | None = None  # tombstoned_at plus the grace
    is_held: bool = False

    @property
    def state(self) -> CopyState:
        """Return what may be done with it."""
        if self.tombstoned_at is not None:
            return CopyState.DELETING
        return CopyState.AVAILABLE if self.verdict.is_passed else CopyState.DAMAGED


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot with all its copies (at least one)."""

    snapshot_id: str
    copies: tuple[Copy, ...]

    @property
    def state(self) -> CopyState:
        """Return the best state of any copy."""
        states = {copy.state for copy in self.copies}
        for state in (CopyState.AVAILABLE, CopyState.DAMAGED):
            if state in states:
                return state
        return CopyState.DELETING

    @property
    def manifest(self) -> Manifest:
        """Return the manifest of the best copy; they differ in what was stored only."""
        best = [copy for copy in self.copies if copy.state is self.state]
        return best[0].manifest

    @property
    def verdict(self) -> Verdict:
        """Return the newest verdict on any copy."""
        return max((copy.verdict for copy in self.copies), key=lambda v: v.verified_at)

    @property
    def is_held(self) -> bool:
        """Return whether a hold keeps any copy."""
        return any(copy.is_held for copy in self.copies)


# --- schedules ---------------------------------------------------------------------------


class Preset(StrEnum):
    """Schedules with a name."""

    HOURLY = "hourly"
    EVERY_12H = "every-12h"
    DAILY = "daily"


@dataclass(frozen=True, slots=True)
class Retention:
    """What rotation keeps; a snapshot kept by either rule stays. Both None keeps all."""

    keep_last: int | None = None
    keep_within_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """What a caller says of a schedule. Exactly one of preset and cron is set."""

    preset: Preset | None = None
    cron: str | None = None
    time_zone: str = "UTC"
    backends: tuple[str, ...] = ()  # empty: every configured backend
    retention: Retention = field(default_factory=Retention)
    compression: Compression | None = None  # None: the server's default
    is_paused: bool = False
    backend_retention: Mapping[str, Retention] = field(default_factory=dict)  # instead, by backend

    def retention_on(self, backend: str) -> Retention:
        """Return what is kept on one backend."""
        return self.backend_retention.get(backend, self.retention)


@dataclass(frozen=True, slots=True)
class Schedule:
    """One revision of a schedule; a deleted one keeps its last revision as the record."""

    schedule_id: str
    revision: int  # 1, 2, ...; the object of a revision is never overwritten
    spec: ScheduleSpec
    created_at: datetime
    updated_at: datetime
    anchor_at: datetime  # due times at or before it do not count (creation, resumption)
    is_deleted: bool = False
    config_digest: str | None = None  # of the configuration that last wrote it


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """How a schedule fares; kept in SQLite and memory, not on the backends."""

    next_due_at: datetime | None  # None: paused
    last_due_at: datetime | None
    last_run_at: datetime | None  # when the last run began, whatever came of it
    last_snapshot_id: str | None
    missed_total: int
    running_operation: str | None
    last_error: JsonObject | None


# --- operations --------------------------------------------------------------------------


class OperationKind(StrEnum):
    """What a long-running operation does."""

    SNAPSHOT_CREATE = "snapshot.create"
    SNAPSHOT_VERIFY = "snapshot.verify"
    SCHEDULE_RUN = "schedule.run"
    RESTORE = "restore"
    BACKEND_CHECK = "backend.check"
    SNAPSHOT_IMPORT = "snapshot.import"
    CLONE_CREATE = "clone.create"
    CLONE_DELETE = "clone.delete"


class OperationState(StrEnum):
    """Where an operation stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """The steps that an operation reports, in no order of their own."""

    QUEUED = "queued"
    PLAN = "plan"
    CUT = "cut"
    WRITE = "write"
    VERIFY = "verify"
    COMPRESS = "compress"
    STORE = "store"
    ROTATE = "rotate"
    FETCH = "fetch"
    LOAD = "load"
    SAFETY = "safety"
    COMMIT = "commit"
    CHECK = "check"
    RECEIVE = "receive"
    START = "start"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a phase is; total 0 means unknown."""

    phase: str  # a Phase; what the engine names (write, verify, load, safety) is one too
    done: int = 0
    total: int = 0
    unit: str = "bytes"  # "bytes", "keys" or "checks"


@dataclass(frozen=True, slots=True)
class Operation:
    """A long-running piece of work that outlives the process.

    `target` is the resource it works on ("snapshots/<id>", "schedules/<id>", ...). `result` is
    set when it is done: {"snapshot_id": id} for snapshots and schedules, what
    `records.encode_restore_outcome` or `records.encode_backend_report` made for the others.
    `error` is `PerdureError.to_json` when it failed or was cancelled. `plan` is a restore's, as
    soon as it is made (`records.decode_restore_plan`).
    """

    operation_id: str
    kind: OperationKind
    target: str
    state: OperationState
    progress: Progress
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
    request_id: str | None = None
    is_cancel_requested: bool = False
    plan: JsonObject | None = None
    result: JsonObject | None = None
    error: JsonObject | None = None

    @property
    def is_done(self) -> bool:
        """Return whether it has ended, however it did."""
        return self.state is not OperationState.RUNNING


# --- restores ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that would make the restore be refused: what the refusal would say."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do and lose; making it changes nothing and fetches nothing."""

    snapshot_id: str
    backend: str
    cut_at: datetime
    age_seconds: float
    keys: int
    raw_size_bytes: int
    raw_sha256: str
    stored_size_bytes: int
    stored_sha256: str
    compression: Compression
    verdict: Verdict
    memory_needed_bytes: int
    memory_available_bytes: int
    disk_needed_bytes: int
    disk_available_bytes: int
    replaced_keys: int
    unsaved_changes: int
    newest_snapshot_id: str | None
    newest_cut_at: datetime | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoreOutcome:
    """What a restore did; after a dry run only the plan is set."""

    plan: RestorePlan
    is_dry_run: bool
    restored_at: datetime | None = None
    keys: int = 0
    expired_keys: int = 0
    replaced_keys: int = 0
    pause_seconds: float = 0.0
    safety_snapshot_id: str | None = None


# --- backends ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """What is known of a backend without calling it."""

    name: str
    type: str
    location: str
    is_up: bool | None  # None: nothing was tried since the start
    last_operation_at: datetime | None
    last_error: JsonObject | None
    snapshots: int
    stored_size_bytes: int
    pending_snapshots: int = 0  # verified ones on our disk that it has not taken
    next_retry_at: datetime | None = None  # None: nothing failed


@dataclass(frozen=True, slots=True)
class BackendCheck:
    """One result of the conformance suite; outcome is "passed", "failed" or "skipped"."""

    check_id: str
    outcome: str
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BackendReport:
    """All results of the conformance suite on one backend."""

    backend: str
    checks: tuple[BackendCheck, ...]

    @property
    def is_passed(self) -> bool:
        """Return whether no check failed."""
        return all(check.outcome != "failed" for check in self.checks)


# --- pages -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a listing; an empty token says that it was the last."""

    items: tuple[T, ...]
    next_page_token: str = ""
    total: int = 0
