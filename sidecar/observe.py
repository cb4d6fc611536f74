"""What happened, counted: plain structures that `sidecar.metrics` exports and `status` shows.

No Prometheus here and no I/O. Label values come from closed sets (enums, configured names).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from sidecar.model import JsonObject

# 1-2.5-5 steps from 1 ms to 1 h: phases of a snapshot and calls of a backend.
EDGES_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0,
)  # fmt: skip


@dataclass(slots=True)
class Histogram:
    """Counts by bucket; the last one is above every edge. Buckets are not cumulative."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(EDGES_SECONDS) + 1))
    sum: float = 0.0
    count: int = 0

    def observe(self, seconds: float) -> None:
        """Count one span."""
        self.buckets[bisect_left(EDGES_SECONDS, seconds)] += 1
        self.sum += seconds
        self.count += 1


@dataclass(slots=True)
class BackendFigures:
    """One backend since the start."""

    operations: Counter[tuple[str, str]] = field(default_factory=Counter)  # (operation, result)
    seconds: dict[str, Histogram] = field(default_factory=dict)  # by operation
    bytes_put: int = 0
    bytes_got: int = 0
    calls_running: int = 0
    is_up: bool | None = None
    last_operation_at: datetime | None = None
    last_error: JsonObject | None = None
    ships: Counter[str] = field(default_factory=Counter)  # "ok", "failed" or "superseded"
    ship_retry_at: datetime | None = None  # when what waits is tried again, after a failure
    pending_snapshots: int = 0  # proved ones in the spool that the backend has not taken

    def record(self, operation: str, result: str, seconds: float, at: datetime) -> None:
        """Count one finished call; `result` is "ok" or an error's code."""
        self.operations[operation, result] += 1
        self.seconds.setdefault(operation, Histogram()).observe(seconds)
        self.last_operation_at = at


@dataclass(slots=True)
class Figures:
    """All that the control plane counts; one object, made by `app`."""

    # snapshots; result is "ok", "failed" or "cancelled"
    snapshot_attempts: Counter[tuple[str, str]] = field(
        default_factory=Counter
    )  # (trigger, result)
    snapshot_phase_seconds: dict[str, Histogram] = field(default_factory=dict)  # by Phase
    snapshot_raw_size_bytes: int = 0  # of the newest
    snapshot_stored_size_bytes: int = 0
    snapshot_last_success_at: datetime | None = None  # cut time of the newest stored one
    snapshot_last_verified_at: datetime | None = None  # newest good verification
    verifications: Counter[str] = field(default_factory=Counter)  # "passed" or "failed"
    snapshots_deleted: Counter[str] = field(default_factory=Counter)  # "tombstoned", "purged", ...
    cuts_quarantined: int = 0  # cuts or documents that could not be believed
    cuts_dropped: int = 0  # good cuts given up at the spool's limit
    cuts_refused: int = 0  # cuts that the spool's limit forbade
    cuts_unfinished: int = 0  # partial files that a crash left
    documents_invalid: int = 0  # manifests and notes on backends that could not be read
    spool_pending: int = 0  # cuts that wait for a backend
    spool_size_bytes: int = 0
    # schedules
    schedule_next_run_at: dict[str, datetime | None] = field(default_factory=dict)
    schedule_missed: Counter[str] = field(default_factory=Counter)
    schedule_late_runs: Counter[str] = field(default_factory=Counter)
    # restores; result as above
    restores: Counter[str] = field(default_factory=Counter)
    restore_phase_seconds: dict[str, Histogram] = field(default_factory=dict)
    restore_last_success_at: datetime | None = None
    # clones; result as above, reason is "asked", "lease" or "unfinished"
    clones: Counter[str] = field(default_factory=Counter)  # by state, now
    clone_creations: Counter[str] = field(default_factory=Counter)
    clone_deletions: Counter[str] = field(default_factory=Counter)
    backends: dict[str, BackendFigures] = field(default_factory=dict)
    audit_lines: Counter[str] = field(default_factory=Counter)  # "written", "shortened" or "lost"
    catalogue_damaged: int = 0  # databases set aside at the start

    def observe_phase(self, family: str, phase: str, seconds: float) -> None:
        """Count the span of one phase; family is "snapshot" or "restore"."""
        by_phase = (
            self.snapshot_phase_seconds if family == "snapshot" else self.restore_phase_seconds
        )
        by_phase.setdefault(phase, Histogram()).observe(seconds)
