"""Restore in place: plan, fetch, verify, load beside, commit with a safety cut, ship that cut.

    plan -> fetch + digest -> unpack -> [safety cut planned in the spool] -> load beside -> commit
         -> safety cut recorded and proved -> shipped

Up to the commit nothing of the running data is touched and a cancel is honoured; the commit is the
engine's (one rename) and cannot be cancelled. The safety cut's plan is durable before the commit,
so that a kill after the switch ships it at the next boot (`Pipeline.settle`). One at a time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from sidecar.engine_port import CommitResult, StageResult
from sidecar.errors import CancelledOperationError, PerdureError, RestoreInProgressError
from sidecar.event_log import About, EventType
from sidecar.ground import Ground
from sidecar.layout import other_snapshot_id
from sidecar.local_disk import step
from sidecar.model import (
    Compression,
    Copy,
    JsonObject,
    Operation,
    OperationKind,
    Phase,
    RestoreOutcome,
    RestorePlan,
    Trigger,
)
from sidecar.operations import OperationHandle, OperationStart, Work
from sidecar.pipeline import CutListener, Pipeline
from sidecar.records import encode_restore_outcome, encode_restore_plan
from sidecar.restore_plan import Planner, check_plan
from sidecar.spool import CutTarget, SpooledCut
from sidecar.verify import Fetcher, check_against_manifest

_log = structlog.get_logger(__name__)
NOT_DURABLE = "COMMIT_NOT_DURABLE"  # the engine's word for: switched, but not on the disk yet


class Restores:
    """The use case behind `perdure restore`."""

    def __init__(
        self,
        ground: Ground,
        planner: Planner,
        fetcher: Fetcher,
        pipeline: Pipeline,
        compression: Compression,
    ) -> None:
        self._ground = ground
        self._planner = planner
        self._fetcher = fetcher
        self._pipeline = pipeline
        self._compression = compression
        self._running: str | None = None

    async def restore(
        self,
        snapshot_id: str,
        *,
        backend: str | None = None,
        is_dry_run: bool = False,
        request_id: str | None = None,
    ) -> Operation:
        """Plan and, unless dry, replace the live data; see `model.RestoreOutcome`.

        Raises NotFoundError, SnapshotNotAvailableError, RestoreInProgressError and whatever else
        the plan finds in the way at once; what fails later fails the operation.
        """
        payload: JsonObject = {
            "snapshot_id": snapshot_id,
            "backend": backend,
            "is_dry_run": is_dry_run,
        }
        start = OperationStart(
            OperationKind.RESTORE, f"snapshots/{snapshot_id}", payload, request_id
        )
        if (repeat := self._ground.operations.repeat_of(start)) is not None:
            return repeat
        plan = self._planner.plan(snapshot_id, backend)
        if is_dry_run:
            return self._ground.operations.start(start, self._dry_work(plan))
        self._refuse_second()
        check_plan(plan)
        operation = self._ground.operations.start(
            start, lambda handle: self._work(handle, snapshot_id, plan)
        )
        self._running = operation.operation_id
        return operation

    def _refuse_second(self) -> None:
        running = self._running
        if running is not None and self._ground.operations.is_running(running):
            raise RestoreInProgressError(
                f"operation {running} is restoring already",
                hint=f"Wait for it (perdure operation get {running}) or cancel it.",
                context={"operation_id": running},
            )

    @staticmethod
    def _dry_work(plan: RestorePlan) -> Work:
        async def work(handle: OperationHandle) -> JsonObject:
            handle.phase(Phase.PLAN)
            handle.set_plan(encode_restore_plan(plan))
            return encode_restore_outcome(RestoreOutcome(plan, is_dry_run=True))

        return work

    # --- the work ---------------------------------------------------------------------

    async def _work(
        self, handle: OperationHandle, snapshot_id: str, plan: RestorePlan
    ) -> JsonObject:
        started = self._ground.clock.monotonic()
        figures = self._ground.figures
        result = "failed"
        try:
            handle.phase(Phase.PLAN)
            handle.set_plan(encode_restore_plan(plan))
            self._tell(EventType.RESTORE_STARTED, handle, snapshot_id, "a restore begins")
            await step("restore.planned")
            snapshot = self._ground.catalogue.get_snapshot(snapshot_id)
            copy = next(c for c in snapshot.copies if c.backend == plan.backend)
            outcome = await self._restore(handle, copy, plan)
            result = "ok"
        except (asyncio.CancelledError, CancelledOperationError):
            result = "cancelled"
            error = CancelledOperationError("the restore was cancelled")
            self._tell(EventType.RESTORE_FAILED, handle, snapshot_id, error.message, error.code)
            raise
        except PerdureError as exc:
            self._tell(EventType.RESTORE_FAILED, handle, snapshot_id, exc.message, exc.code)
            raise
        finally:
            figures.restores[result] += 1
        figures.restore_last_success_at = outcome.restored_at
        figures.observe_phase("restore", "total", self._ground.clock.monotonic() - started)
        return encode_restore_outcome(outcome)

    def _tell(
        self,
        type_: EventType,
        handle: OperationHandle,
        snapshot_id: str,
        message: str,
        reason: str = "",
    ) -> None:
        about = About(f"snapshots/{snapshot_id}", handle.operation_id, reason)
        self._ground.events.publish(type_, message, about)

    async def _restore(
        self, handle: OperationHandle, copy: Copy, plan: RestorePlan
    ) -> RestoreOutcome:
        figures, clock = self._ground.figures, self._ground.clock
        started = clock.monotonic()
        async with self._fetcher.fetch(copy, handle.progress, "restore") as path:
            fetched = clock.monotonic()
            figures.observe_phase("restore", Phase.FETCH, fetched - started)
            handle.phase(Phase.LOAD)
            stage = await self._ground.engine.load_beside(path, handle.progress)
        figures.observe_phase("restore", Phase.LOAD, clock.monotonic() - fetched)
        try:
            check_against_manifest(stage.verified, copy.manifest)
            await step("restore.loaded")
            safety = await self._plan_safety()
        except BaseException:
            await self._discard(stage)
            raise
        committed = await self._commit(handle, stage, safety)
        self._ground.events.publish(
            EventType.RESTORE_COMMITTED,
            f"{committed.keys} keys replaced {committed.previous_keys}",
            About(f"snapshots/{plan.snapshot_id}", handle.operation_id),
            snapshot=plan.snapshot_id,
            keys=committed.keys,
            replaced_keys=committed.previous_keys,
            pause_seconds=committed.pause_seconds,
            safety_snapshot=safety.targets[0].snapshot_id,
        )
        outcome = RestoreOutcome(
            plan=plan,
            is_dry_run=False,
            restored_at=self._ground.clock.now(),
            keys=committed.keys,
            expired_keys=stage.expired_skipped,
            replaced_keys=committed.previous_keys,
            pause_seconds=committed.pause_seconds,
            safety_snapshot_id=safety.targets[0].snapshot_id,
        )
        await self._ship_safety(handle, safety, committed, outcome)
        return outcome

    async def _plan_safety(self) -> SpooledCut:
        storages = self._ground.storages
        target = CutTarget(
            other_snapshot_id("safety", self._ground.clock.now()),
            Trigger.SAFETY,
            storages.names,
            self._compression,
        )
        return await self._pipeline.plan([target])

    async def _commit(
        self, handle: OperationHandle, stage: StageResult, safety: SpooledCut
    ) -> CommitResult:
        """Switch. After a failure the old data serves, the stage is freed, the spool is clean."""
        handle.close_to_cancel()
        started = self._ground.clock.monotonic()
        try:
            handle.phase(Phase.COMMIT)
            await step("restore.before_commit")
            committed = await self._ground.engine.commit(stage.stage, safety.rdb, handle.progress)
        except PerdureError as exc:
            if exc.code == NOT_DURABLE:  # the new data serves: the safety cut is all there is
                self._pipeline.release(safety)
                raise
            await self._discard(stage)
            await asyncio.to_thread(self._ground.spool.remove, safety)
            self._pipeline.release(safety)
            raise
        seconds = self._ground.clock.monotonic() - started
        self._ground.figures.observe_phase("restore", Phase.COMMIT, seconds)
        return committed

    async def _discard(self, stage: StageResult) -> None:
        with suppress(PerdureError):  # freed with the process at the latest; the cause comes first
            await self._ground.engine.discard(stage.stage)

    async def _ship_safety(
        self,
        handle: OperationHandle,
        safety: SpooledCut,
        committed: CommitResult,
        outcome: RestoreOutcome,
    ) -> None:
        """Ship what was replaced. The switch is done: a failure here waits in the spool.

        Once the records are durable the spool can do without us: a stopping process does not wait
        for a backend, and the next boot finds the restore done and ships the cut.
        """
        figures = self._ground.figures
        try:
            await step("restore.committed")
            spool, now = self._ground.spool, self._ground.clock.now()
            safety = await asyncio.to_thread(spool.record_cut, safety, committed.safety)
            await step("restore.safety_recorded")
            safety = await asyncio.to_thread(
                spool.record_proof, safety, committed.safety_verified, now
            )
            figures.snapshot_last_verified_at = now
            handle.set_result(encode_restore_outcome(outcome))
            handle.open_to_stop()
            results = await self._pipeline.ship_released(
                safety, CutListener(lambda _target, progress: handle.progress(progress))
            )
            await step("restore.safety_shipped")
        except PerdureError as exc:
            self._pipeline.release(safety)
            figures.snapshot_attempts[Trigger.SAFETY.value, "failed"] += 1
            _log.error("safety_not_shipped", cut=safety.cut_id, error=exc.message)
            return
        is_whole = all(not result.failures for result in results)
        figures.snapshot_attempts[Trigger.SAFETY.value, "ok" if is_whole else "failed"] += 1
