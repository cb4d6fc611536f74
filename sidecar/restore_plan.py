"""Plan a restore: which copy, how old, what it needs, what would be lost, what is in the way.

Planning changes nothing and fetches nothing. A problem in the plan is exactly the refusal that the
restore itself would give.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from sidecar.engine_port import EngineState
from sidecar.errors import (
    ConflictError,
    EngineNotReadyError,
    ExhaustedError,
    PerdureError,
    SnapshotNotAvailableError,
)
from sidecar.ground import Ground
from sidecar.model import Compression, Copy, CopyState, Problem, RestorePlan, Snapshot

_CGROUP_MAX = Path("/sys/fs/cgroup/memory.max")
_CGROUP_NOW = Path("/sys/fs/cgroup/memory.current")
_MEMINFO = Path("/proc/meminfo")
_ERRORS: dict[str, type[PerdureError]] = {
    "MEMORY_EXHAUSTED": ExhaustedError,
    "DISK_FULL": ExhaustedError,
    "ENGINE_NOT_READY": EngineNotReadyError,
    "SNAPSHOT_NOT_AVAILABLE": SnapshotNotAvailableError,
}


class Planner:
    """Makes plans."""

    def __init__(self, ground: Ground, data_dir: Path) -> None:
        self._ground = ground
        self._data_dir = data_dir

    def plan(self, snapshot_id: str, backend: str | None) -> RestorePlan:
        """Return the plan; NotFoundError when there is no such snapshot or copy."""
        snapshot = self._ground.catalogue.get_snapshot(snapshot_id)
        copy = self._choose(snapshot, backend)
        manifest = copy.manifest
        now = self._ground.clock.now()
        stats = self._ground.engine.stats()
        newest = self._newest()
        # The stored file, the unpacked one, the engine's new base and the safety cut.
        unpacked = 0 if manifest.compression is Compression.NONE else manifest.raw_size_bytes
        disk = manifest.stored_size_bytes + unpacked + manifest.raw_size_bytes
        plan = RestorePlan(
            snapshot_id=snapshot_id,
            backend=copy.backend,
            cut_at=manifest.cut_at,
            age_seconds=max((now - manifest.cut_at).total_seconds(), 0.0),
            keys=manifest.keys,
            raw_size_bytes=manifest.raw_size_bytes,
            raw_sha256=manifest.raw_sha256,
            stored_size_bytes=manifest.stored_size_bytes,
            stored_sha256=manifest.stored_sha256,
            compression=manifest.compression,
            verdict=copy.verdict,
            memory_needed_bytes=max(
                manifest.verification.used_memory_bytes, manifest.raw_size_bytes
            ),
            memory_available_bytes=available_memory_bytes(),
            disk_needed_bytes=disk + _number(stats, "used_memory_bytes"),
            disk_available_bytes=shutil.disk_usage(self._data_dir).free,
            replaced_keys=live_keys(stats),
            unsaved_changes=_number(stats, "dirty"),
            newest_snapshot_id=newest.snapshot_id if newest else None,
            newest_cut_at=newest.manifest.cut_at if newest else None,
        )
        return _with_problems(plan, copy, self._ground.engine.state)

    def _choose(self, snapshot: Snapshot, backend: str | None) -> Copy:
        if backend is not None:
            _ = self._ground.storages[backend]
        asked = [c for c in snapshot.copies if backend in {None, c.backend}]
        living = [c for c in asked if c.state is CopyState.AVAILABLE]
        if not asked:
            raise SnapshotNotAvailableError(
                f"backend {backend} has no copy of {snapshot.snapshot_id}",
                hint=f"It lies on {', '.join(c.backend for c in snapshot.copies)}.",
                context={"snapshot_id": snapshot.snapshot_id, "backend": backend},
            )
        storages = self._ground.storages
        configured = [c for c in living if c.backend in storages]
        configured.sort(key=lambda c: storages[c.backend].figures.is_up is False)  # those last
        return (configured or living or asked)[0]

    def _newest(self) -> Snapshot | None:
        usable = [s for s in self._ground.catalogue.snapshots() if s.state is CopyState.AVAILABLE]
        return max(usable, key=lambda s: (s.manifest.cut_at, s.snapshot_id), default=None)


def check_plan(plan: RestorePlan) -> None:
    """Raise the first problem of a plan as the error that it stands for."""
    for problem in plan.problems:
        raise _ERRORS.get(problem.code, ConflictError)(
            problem.message,
            code=problem.code,
            hint=problem.hint,
            context={"snapshot_id": plan.snapshot_id, "backend": plan.backend},
        )


def _with_problems(plan: RestorePlan, copy: Copy, state: EngineState) -> RestorePlan:
    problems = []
    if copy.state is not CopyState.AVAILABLE:
        why = copy.verdict.detail or "it has a tombstone"
        problems.append(
            Problem(
                "SNAPSHOT_NOT_AVAILABLE",
                f"the copy of {plan.snapshot_id} on {plan.backend} is {copy.state.value}: {why}",
                "List the snapshots that can be restored: perdure snapshot list",
            )
        )
    if state is not EngineState.READY:
        problems.append(
            Problem(
                "ENGINE_NOT_READY",
                f"the engine is {state.value}",
                "Wait until it serves: perdure status",
            )
        )
    if plan.memory_needed_bytes > plan.memory_available_bytes:
        problems.append(
            Problem(
                "MEMORY_EXHAUSTED",
                f"loading beside the live data takes about {plan.memory_needed_bytes} bytes of "
                f"memory; {plan.memory_available_bytes} are available",
                "Raise the container's limit, or restore on a machine with more memory.",
            )
        )
    if plan.disk_needed_bytes > plan.disk_available_bytes:
        problems.append(
            Problem(
                "DISK_FULL",
                f"the restore takes about {plan.disk_needed_bytes} bytes of disk; "
                f"{plan.disk_available_bytes} are free",
                "Free space on the data directory's file system.",
            )
        )
    return replace(plan, problems=tuple(problems))


def live_keys(stats: dict[str, object]) -> int:
    """Return the live keys in all databases."""
    keys = stats.get("keys")
    return sum(n for n in keys.values() if isinstance(n, int)) if isinstance(keys, dict) else 0


def _number(stats: dict[str, object], name: str) -> int:
    value = stats.get(name)
    return value if isinstance(value, int) else 0


def available_memory_bytes() -> int:
    """Return what this process may still take: the least of machine and container."""
    margins = [
        int(line.split()[1]) * 1024
        for line in _MEMINFO.read_text().splitlines()
        if line.startswith("MemAvailable:")
    ]
    try:
        limit, used = _CGROUP_MAX.read_text().strip(), int(_CGROUP_NOW.read_text())
    except (OSError, ValueError):
        limit, used = "max", 0
    if limit.isdigit():
        margins.append(max(int(limit) - used, 0))
    return min(margins, default=0)
