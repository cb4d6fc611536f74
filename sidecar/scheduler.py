"""Runs schedules: at most one late run, no overlap, one cut for what is due at once.

A due time is settled when its proved cut lies in the spool: backends may take their time, and the
next run does not wait for them. The settled one is kept in SQLite and read again from the manifests
and the spool when that is gone. The snapshot's id is made of the due time, so that even a lost
record cannot yield two. Guards design.md section 7.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from sidecar.batches import Batches
from sidecar.errors import CancelledOperationError, PerdureError, ScheduleRunningError
from sidecar.event_log import About, EventType
from sidecar.ground import Ground
from sidecar.layout import other_snapshot_id, scheduled_snapshot_id
from sidecar.model import (
    Compression,
    JsonObject,
    Operation,
    OperationKind,
    Schedule,
    ScheduleStatus,
    Trigger,
)
from sidecar.operations import OperationStart
from sidecar.rotation import Rotation
from sidecar.schedule_times import newest_due, next_due
from sidecar.spool import CutTarget

_log = structlog.get_logger(__name__)
TICK_SECONDS_MAX = 15.0  # a change of the wall clock is noticed within this
CLOCK_SET_BACK = timedelta(days=1)
LATE_AFTER = timedelta(seconds=60)
RETRY_FIRST = timedelta(seconds=60)
RETRY_MAX = timedelta(minutes=10)


@dataclass(slots=True)
class _Live:
    """What a schedule is doing in this process."""

    operation_id: str | None = None
    due_at: datetime | None = None
    missed: int = 0
    failures: int = 0
    retry_at: datetime | None = None
    settled_before: datetime | None = None  # what was settled when the last cut was proved


class Scheduler:
    """Decides what is due and launches it."""

    def __init__(
        self,
        ground: Ground,
        batches: Batches,
        rotation: Rotation,
        default_compression: Compression,
    ) -> None:
        self._ground = ground
        self._batches = batches
        self._rotation = rotation
        self._default_compression = default_compression
        self._live: dict[str, _Live] = {}
        self._spooled: frozenset[str] = frozenset()  # snapshots that a cut in the spool is for
        batches.on_proved.append(self._note_proved)
        batches.on_stored.append(self._rotate)
        batches.on_ended.append(self._note_end)

    # --- the clock --------------------------------------------------------------------

    async def run(self) -> None:
        """Run what is due, for ever."""
        while True:
            pause = TICK_SECONDS_MAX
            try:
                await self.look()
                self.run_due()
                pause = self._pause()
            except PerdureError as exc:  # an unknown uid, a full disk: said, and tried again
                _log.warning("schedules_not_run", code=exc.code, error=exc.message)
            except Exception:  # noqa: BLE001 - the edge of a background task: a bug here must not end it
                _log.exception("scheduler_broke")
            await self._ground.clock.sleep(pause)

    async def look(self) -> None:
        """Learn what the spool is for: no due time of that is cut again.

        One that a kill left unproved is settled, or lost, only when it was read back; cut a second
        time meanwhile, it would yield two contents under one id.
        """
        entries, _ = await asyncio.to_thread(self._ground.spool.entries)
        self._spooled = frozenset(t.snapshot_id for cut in entries for t in cut.targets)

    def _pause(self) -> float:
        now = self._ground.clock.now()
        soonest = now + timedelta(seconds=TICK_SECONDS_MAX)
        for schedule in self._ground.catalogue.schedules():
            at = self._next_due(schedule, now)
            if at is not None:
                soonest = min(soonest, at)
        return max((soonest - now).total_seconds(), 0.05)

    def run_due(self) -> list[Operation]:
        """Launch one cut for every schedule that is due and does not run; return at once."""
        now = self._ground.clock.now()
        uid = self._ground.identity.layout.uid
        wanted = []
        for schedule in self._ground.catalogue.schedules():
            self._publish(schedule, now)
            if (target := self._due_target(schedule, uid, now)) is not None:
                payload: JsonObject = {"snapshot_id": target.snapshot_id}
                place = f"schedules/{schedule.schedule_id}"
                start = OperationStart(OperationKind.SCHEDULE_RUN, place, payload)
                wanted.append((start, target))
        if not wanted:
            return []
        operations = self._batches.launch(wanted)
        for operation, (_, target) in zip(operations, wanted, strict=True):
            self._live[str(target.schedule)].operation_id = operation.operation_id
            self._tell_run(operation, target)
        return operations

    def _due_target(self, schedule: Schedule, uid: str, now: datetime) -> CutTarget | None:
        live = self._live.setdefault(schedule.schedule_id, _Live())
        if schedule.is_deleted or schedule.spec.is_paused or self._is_running(live):
            return None
        run = self._ground.catalogue.get_run(schedule.schedule_id)
        if run.last_due_at and run.last_due_at - now > CLOCK_SET_BACK:
            # Settled by a clock that was wrong: nobody waits for years until it is right.
            _log.warning("clock_set_back", schedule=schedule.schedule_id, settled=run.last_due_at)
            run = replace(run, last_due_at=now)
            self._ground.catalogue.put_run(schedule.schedule_id, run)
        after = max(schedule.anchor_at, run.last_due_at or schedule.anchor_at)
        due = newest_due(schedule.spec, after, now)
        if due is None or (live.retry_at and live.retry_at > now and live.due_at == due.at):
            return None
        snapshot_id = scheduled_snapshot_id(schedule.schedule_id, due.at, uid)
        if snapshot_id in self._spooled:
            return None
        if any(s.snapshot_id == snapshot_id for s in self._ground.catalogue.snapshots()):
            settled = replace(run, last_due_at=due.at, last_snapshot_id=snapshot_id)
            self._ground.catalogue.put_run(schedule.schedule_id, settled)
            return None
        if live.due_at != due.at:
            live.failures = 0
        live.due_at, live.missed, live.retry_at = due.at, due.missed, None
        if now - due.at > LATE_AFTER:
            self._ground.figures.schedule_late_runs[schedule.schedule_id] += 1
        self._ground.catalogue.put_run(schedule.schedule_id, replace(run, last_run_at=now))
        return self._target(schedule, snapshot_id, due.at)

    def _target(self, schedule: Schedule, snapshot_id: str, due_at: datetime | None) -> CutTarget:
        storages = self._ground.storages
        names = [name for name in schedule.spec.backends if name in storages]
        return CutTarget(
            snapshot_id,
            Trigger.SCHEDULE if due_at else Trigger.RUN,
            tuple(storage.name for storage in storages.select(names)),
            schedule.spec.compression or self._default_compression,
            schedule=schedule.schedule_id,
            due_at=due_at,
        )

    def _tell_run(self, operation: Operation, target: CutTarget) -> None:
        due = target.due_at.isoformat() if target.due_at else ""
        self._ground.events.publish(
            EventType.SCHEDULE_RUN,
            f"due at {due}" if due else "run by a call",
            About(f"schedules/{target.schedule}", operation.operation_id),
            snapshot=target.snapshot_id,
            due_time=due,
        )

    # --- by call ----------------------------------------------------------------------

    def run_now(
        self, schedule_id: str, find: Callable[[str], Schedule], request_id: str | None
    ) -> Operation:
        """Take a schedule's snapshot beside its due times, paused or not.

        `find` is asked after a repeat was looked for: the schedule may be gone by then.
        """
        place, payload = f"schedules/{schedule_id}", {"schedule_id": schedule_id}
        start = OperationStart(OperationKind.SCHEDULE_RUN, place, {**payload}, request_id)
        if (repeat := self._ground.operations.repeat_of(start)) is not None:
            return repeat
        schedule = find(schedule_id)
        live = self._live.setdefault(schedule_id, _Live())
        if self._is_running(live):
            raise ScheduleRunningError(
                f"schedule {schedule_id!r} is taking a snapshot",
                context={"schedule_id": schedule_id, "operation_id": live.operation_id},
            )
        now = self._ground.clock.now()
        _ = self._ground.identity.layout
        target = self._target(schedule, other_snapshot_id(schedule_id, now), None)
        operation = self._batches.launch([(start, target)])[0]
        live.operation_id = operation.operation_id
        self._tell_run(operation, target)
        run = self._ground.catalogue.get_run(schedule_id)
        self._ground.catalogue.put_run(schedule_id, replace(run, last_run_at=now))
        return operation

    def _is_running(self, live: _Live) -> bool:
        operation_id = live.operation_id
        return operation_id is not None and self._ground.operations.is_running(operation_id)

    # --- what came of it --------------------------------------------------------------

    async def _rotate(self, target: CutTarget) -> None:
        schedule = self._ground.catalogue.find_schedule(target.schedule or "")
        if schedule is None:
            return
        try:
            await self._rotation.rotate(schedule)
        except PerdureError as exc:  # the snapshot is stored; keeping more than asked loses nothing
            _log.warning("rotation_failed", schedule=target.schedule, error=exc.message)

    def _note_proved(self, target: CutTarget) -> None:
        """Settle a due time: its cut is whole, and whoever stores it needs no schedule."""
        if target.schedule is None:
            return
        live = self._live.setdefault(target.schedule, _Live())
        live.operation_id, live.failures = None, 0  # the next run need not wait for a backend
        if target.due_at is None:
            return
        run = self._ground.catalogue.get_run(target.schedule)
        live.settled_before = run.last_due_at
        missed = run.missed_total + live.missed
        self._ground.figures.schedule_missed[target.schedule] += live.missed
        self._tell_missed(target.schedule, live.missed)
        live.missed = 0
        run = replace(run, last_due_at=target.due_at, missed_total=missed)
        self._ground.catalogue.put_run(target.schedule, run)

    def _note_end(self, target: CutTarget, error: PerdureError | None, is_spooled: bool) -> None:  # noqa: FBT001 - a hook
        if target.schedule is None:
            return
        live = self._live.setdefault(target.schedule, _Live())
        if live.operation_id == target.operation_id:
            live.operation_id = None
        run = self._ground.catalogue.get_run(target.schedule)
        if error is None:
            newest = max(run.last_snapshot_id or "", target.snapshot_id)  # ids sort by time
            run = replace(run, last_error=None, last_snapshot_id=newest)
        else:
            run = replace(run, last_error=error.to_json())
        is_cancelled = isinstance(error, CancelledOperationError)
        if target.due_at is not None and is_cancelled and not self._ground.operations.is_stopping:
            # Somebody's word, unlike a stop: this due time is not to come back in a minute.
            run = replace(run, last_due_at=max(run.last_due_at or target.due_at, target.due_at))
        elif target.due_at is not None and error is not None and not is_spooled:
            live.failures += 1
            wait = min(RETRY_FIRST * 2 ** min(live.failures - 1, 8), RETRY_MAX)
            live.retry_at = self._ground.clock.now() + wait
            if run.last_due_at == target.due_at:  # proved, and found damaged before it was stored
                run = replace(run, last_due_at=live.settled_before)
        self._ground.catalogue.put_run(target.schedule, run)

    def _tell_missed(self, schedule_id: str, missed: int) -> None:
        if missed:
            self._ground.events.publish(
                EventType.SCHEDULE_MISSED,
                f"{missed} due times passed without a run",
                About(f"schedules/{schedule_id}"),
                missed=missed,
            )

    def adopt(self, spooled: Mapping[str, datetime]) -> None:
        """Learn the settled due times from manifests and the spool, at the start."""
        newest: dict[str, tuple[datetime, str | None]] = {
            schedule_id: (due_at, None) for schedule_id, due_at in spooled.items()
        }
        for snapshot in self._ground.catalogue.snapshots():
            manifest = snapshot.manifest
            if manifest.schedule is None or manifest.due_at is None:
                continue
            known = newest.get(manifest.schedule)
            if known is None or manifest.due_at >= known[0]:
                newest[manifest.schedule] = (manifest.due_at, manifest.snapshot_id)
        for schedule_id, (due_at, snapshot_id) in newest.items():
            run = self._ground.catalogue.get_run(schedule_id)
            if run.last_due_at is None or run.last_due_at < due_at:
                last = snapshot_id or run.last_snapshot_id
                self._ground.catalogue.put_run(
                    schedule_id, replace(run, last_due_at=due_at, last_snapshot_id=last)
                )

    # --- status -----------------------------------------------------------------------

    def status(self, schedule_id: str) -> ScheduleStatus:
        """Return how a schedule fares."""
        run = self._ground.catalogue.get_run(schedule_id)
        schedule = self._ground.catalogue.find_schedule(schedule_id)
        live = self._live.get(schedule_id, _Live())
        at = self._next_due(schedule, self._ground.clock.now()) if schedule else None
        return ScheduleStatus(
            next_due_at=at,
            last_due_at=run.last_due_at,
            last_run_at=run.last_run_at,
            last_snapshot_id=run.last_snapshot_id,
            missed_total=run.missed_total,
            running_operation=live.operation_id if self._is_running(live) else None,
            last_error=run.last_error,
        )

    def _next_due(self, schedule: Schedule, now: datetime) -> datetime | None:
        if schedule.is_deleted or schedule.spec.is_paused:
            return None
        return next_due(schedule.spec, max(now, schedule.anchor_at))

    def _publish(self, schedule: Schedule, now: datetime) -> None:
        figures = self._ground.figures
        if schedule.is_deleted:
            figures.schedule_next_run_at.pop(schedule.schedule_id, None)
        else:
            at = self._next_due(schedule, now)
            figures.schedule_next_run_at[schedule.schedule_id] = at
