"""The life of a cut: plan, cut, record, prove, ship, clean up; and the same after a kill.

    plan recorded -> engine cuts -> cut recorded -> read back + parsed -> proof recorded
        -> shipped to every backend of every target -> file removed -> plan removed

At whatever arrow the process ends, `settle` goes on from the records: what is whole and verifies is
shipped once (snapshot ids are in the plan), what never finished is removed and counted, what was
finished and does not verify is set aside. A cut that some backend could not take stays in the spool
until it can. One cut at a time; shipping runs beside the next cut. No schedule and no API here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn, TypeAlias

import structlog

from sidecar.engine_port import CutResult
from sidecar.errors import (
    CorruptError,
    CutDamagedError,
    ExhaustedError,
    OperationInterruptedError,
    PerdureError,
)
from sidecar.event_log import About, EventType
from sidecar.ground import Ground
from sidecar.local_disk import local_disk_error, step
from sidecar.model import Phase, Progress, Trigger
from sidecar.shipping import ProgressSink, Shipper, ShipResult
from sidecar.spool import CutTarget, SpooledCut

_log = structlog.get_logger(__name__)
ShippedSink: TypeAlias = Callable[[CutTarget], None]
CUT_RETRY_SECONDS = 1.0
BUSY_CODES = frozenset({"CHILD_BUSY", "CHILD_RUNNING"})  # the engine has another child


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """Bounds of the spool, and how long a cut waits while the engine is busy."""

    spool_size_bytes_max: int = 16 << 30
    drops_oldest: bool = False  # at the bound: give up the oldest pending cut, or refuse a new one
    cut_attempts_max: int = 300


def _about(target: CutTarget, reason: str = "") -> About:
    return About(f"snapshots/{target.snapshot_id}", target.operation_id or "", reason)


def no_progress(_target: CutTarget, _progress: Progress) -> None:
    """Listen to nothing."""


class Pipeline:
    """Takes cuts and gets them to the backends."""

    def __init__(
        self, ground: Ground, shipper: Shipper, options: PipelineOptions | None = None
    ) -> None:
        self._ground = ground
        self._spool = ground.spool
        self._shipper = shipper
        self._options = options or PipelineOptions()
        self._cut_lock = asyncio.Lock()
        self._settle_lock = asyncio.Lock()
        self._active: set[str] = set()
        self._is_stopping = False

    def stop(self) -> None:
        """Leave what is cancelled from now on in the spool: the next boot goes on with it."""
        self._is_stopping = True

    # --- a new cut --------------------------------------------------------------------

    async def take(
        self,
        targets: Sequence[CutTarget],
        on_progress: ProgressSink,
        on_shipped: ShippedSink | None = None,
    ) -> list[ShipResult]:
        """Cut once for all targets and ship; failures of backends are in the results.

        `on_shipped` hears of each whole target before the spool forgets the cut.
        """
        started = self._ground.clock.monotonic()
        async with self._cut_lock:
            cut = await self._cut(targets, on_progress)
        try:
            results = await self._ship(cut, on_progress, on_shipped)
        except asyncio.CancelledError:
            await self._give_up(cut)
            raise
        finally:
            self.release(cut)
        seconds = self._ground.clock.monotonic() - started
        self._ground.figures.observe_phase("snapshot", "total", seconds)
        return results

    async def _cut(self, targets: Sequence[CutTarget], on_progress: ProgressSink) -> SpooledCut:
        cut = await self.plan(targets)
        try:
            await step("snapshot.planned")
            result = await self._cut_file(cut, on_progress)
            await step("snapshot.cut")
            cut = await asyncio.to_thread(self._spool.record_cut, cut, result)
            await step("snapshot.cut_recorded")
        except asyncio.CancelledError:
            await self._give_up(cut)
            self.release(cut)
            raise
        except PerdureError:
            # Nothing was believed yet: the partial file goes, and the plan after it.
            await asyncio.to_thread(self._spool.remove, cut)
            self.release(cut)
            raise
        try:
            return await self.prove(cut, on_progress)
        except asyncio.CancelledError:
            await self._give_up(cut)
            self.release(cut)
            raise
        except BaseException:
            self.release(cut)  # the file stays, or is in quarantine
            raise

    async def plan(self, targets: Sequence[CutTarget]) -> SpooledCut:
        """Record what a file will be for; the caller releases it when it is done with it."""
        _ = self._ground.identity.layout  # an unknown uid must fail before anything is cut
        await self._make_room()
        cut = await asyncio.to_thread(self._spool.plan, targets, self._ground.clock.now())
        self._active.add(cut.cut_id)
        return cut

    def release(self, cut: SpooledCut) -> None:
        """Let `settle` have the cut, if it is still in the spool."""
        self._active.discard(cut.cut_id)

    async def _cut_file(self, cut: SpooledCut, on_progress: ProgressSink) -> CutResult:
        """Ask until the engine has no other child; every other failure ends it."""
        started = self._ground.clock.monotonic()

        def tell(progress: Progress) -> None:
            for target in cut.targets:
                on_progress(target, progress)

        tell(Progress(Phase.CUT))
        attempt = 1
        while True:
            try:
                result = await self._ground.engine.cut(cut.rdb, "cut", tell)
                break
            except PerdureError as exc:
                if exc.code not in BUSY_CODES or attempt >= self._options.cut_attempts_max:
                    raise
            attempt += 1
            await asyncio.to_thread(cut.rdb.unlink, missing_ok=True)
            await self._ground.clock.sleep(CUT_RETRY_SECONDS)
        seconds = self._ground.clock.monotonic() - started
        self._ground.figures.observe_phase("snapshot", Phase.CUT, seconds)
        for target in cut.targets:
            self._ground.events.publish(
                EventType.SNAPSHOT_CUT,
                f"{result.keys} keys were cut",
                _about(target),
                keys=result.keys,
                size_bytes=result.size_bytes,
                pause_seconds=result.pause_seconds,
            )
        return result

    async def prove(self, cut: SpooledCut, on_progress: ProgressSink = no_progress) -> SpooledCut:
        """Read the file back and parse it; CutDamagedError after setting a damaged one aside."""
        started = self._ground.clock.monotonic()

        def tell(progress: Progress) -> None:
            for target in cut.targets:
                on_progress(target, progress)

        tell(Progress(Phase.VERIFY))
        try:
            proof = await self._ground.engine.verify(cut.rdb, tell)
            if cut.cut is not None and cut.cut.keys != proof.keys:
                raise CutDamagedError(
                    f"the engine cut {cut.cut.keys} keys and {proof.keys} were read back"
                )
        except CorruptError as exc:
            if not cut.is_cut_recorded:
                await self._sweep_unfinished(cut, exc)
            await self._set_aside(cut, exc)
            raise CutDamagedError(
                f"the cut did not verify: {exc.message}", context={"cause": exc.code}
            ) from exc
        await step("snapshot.verified")
        now = self._ground.clock.now()
        cut = await asyncio.to_thread(self._spool.record_proof, cut, proof, now)
        await step("snapshot.proof_recorded")
        self._ground.figures.snapshot_last_verified_at = now
        seconds = self._ground.clock.monotonic() - started
        self._ground.figures.observe_phase("snapshot", Phase.VERIFY, seconds)
        return cut

    async def _set_aside(self, cut: SpooledCut, why: PerdureError) -> None:
        aside = await asyncio.to_thread(self._spool.quarantine_cut, cut)
        self._ground.figures.cuts_quarantined += 1
        for target in cut.targets:
            self._ground.events.publish(
                EventType.CUT_QUARANTINED,
                why.message,
                _about(target, why.code),
                cut=cut.cut_id,
                folder=str(aside),
            )

    async def _give_up(self, cut: SpooledCut) -> None:
        """Remove a cut whose operation was cancelled; a stopping process leaves it."""
        if not self._is_stopping:
            await asyncio.to_thread(self._spool.remove, cut)

    # --- shipping ---------------------------------------------------------------------

    async def _ship(
        self, cut: SpooledCut, on_progress: ProgressSink, on_shipped: ShippedSink | None = None
    ) -> list[ShipResult]:
        try:
            results = await self._shipper.ship(cut, on_progress)
        except CutDamagedError as exc:
            await self._set_aside(cut, exc)
            raise
        for result in results:
            if on_shipped is not None and not result.failures:
                on_shipped(result.target)
        if all(not result.failures for result in results):
            await step("snapshot.shipped")
            await asyncio.to_thread(self._spool.remove, cut)
            await step("snapshot.cleaned")
        for result in results:
            if result.stored:
                self._note_success(result)
        return results

    async def ship_released(
        self,
        cut: SpooledCut,
        on_progress: ProgressSink = no_progress,
        on_shipped: ShippedSink | None = None,
    ) -> list[ShipResult]:
        """Prove and ship a file that came otherwise, under `plan` (a safety cut, an import)."""
        try:
            if cut.proof is None:
                cut = await self.prove(cut, on_progress)
            return await self._ship(cut, on_progress, on_shipped)
        finally:
            self.release(cut)

    def _note_success(self, result: ShipResult) -> None:
        target, figures = result.target, self._ground.figures
        manifest = self._ground.catalogue.get_snapshot(target.snapshot_id).manifest
        cut_at = manifest.cut_at
        self._ground.events.publish(
            EventType.SNAPSHOT_STORED,
            f"the snapshot is on {', '.join(result.stored)}",
            _about(target),
            snapshot=target.snapshot_id,
            trigger=target.trigger.value,
            keys=manifest.keys,
            size_bytes=manifest.stored_size_bytes,
            backends=",".join(result.stored),
        )
        newest = figures.snapshot_last_success_at
        figures.snapshot_last_success_at = max(cut_at, newest) if newest else cut_at

    async def _make_room(self) -> None:
        limit = self._options.spool_size_bytes_max
        while (size := await asyncio.to_thread(self._spool.size_bytes)) >= limit:
            entries, _ = await asyncio.to_thread(self._spool.entries)
            idle = [cut for cut in entries if self._can_drop(cut)]
            if not idle or not self._options.drops_oldest:
                raise ExhaustedError(
                    f"the spool has {size} bytes that wait for a backend; its limit is {limit}",
                    code="SPOOL_FULL",
                    hint="Bring the backend back (perdure backend check), or raise "
                    "spool.size_bytes_max.",
                    context={"size_bytes": size, "limit_bytes": limit},
                )
            await asyncio.to_thread(self._spool.remove, idle[0])
            self._ground.figures.cuts_dropped += 1
            for target in idle[0].targets:
                self._ground.events.publish(
                    EventType.CUT_DROPPED,
                    "the spool is full: the oldest cut that waited in it was given up",
                    _about(target, "SPOOL_FULL"),
                    limit_bytes=limit,
                )

    def _can_drop(self, cut: SpooledCut) -> bool:
        """Say whether the limit may cost this cut; what a restore replaced is nowhere else."""
        is_safety = any(target.trigger is Trigger.SAFETY for target in cut.targets)
        return cut.cut_id not in self._active and not is_safety

    # --- after a kill, and when a backend is back ----------------------------------------

    async def adopt(self) -> None:
        """Take over the spool at the start: sweep, and keep the operations that it can finish."""
        await asyncio.to_thread(self._spool.prepare)
        entries, strays = await asyncio.to_thread(self._spool.entries)
        if strays:
            aside = await asyncio.to_thread(self._spool.quarantine, strays)
            self._ground.figures.cuts_quarantined += len(strays)
            _log.error("spool_strays_quarantined", files=len(strays), folder=str(aside))
        operations = {t.operation_id for cut in entries for t in cut.targets if t.operation_id}
        for operation in self._ground.operations.adopt(operations):
            _log.warning("operation_interrupted", operation_id=operation.operation_id)

    def spooled_due_times(self) -> dict[str, datetime]:
        """Return the newest due time of each schedule that a finished cut in the spool is for."""
        newest: dict[str, datetime] = {}
        for cut in self._spool.entries()[0]:
            for target in cut.targets:
                if target.schedule and target.due_at and cut.is_cut_recorded:
                    known = newest.get(target.schedule, target.due_at)
                    newest[target.schedule] = max(known, target.due_at)
        return newest

    async def settle(self) -> list[ShipResult]:
        """Go on with every cut in the spool that nobody works on; errors wait for the next call."""
        results: list[ShipResult] = []
        async with self._settle_lock:
            entries, _ = await asyncio.to_thread(self._spool.entries)
            for cut in entries:
                if cut.cut_id in self._active:
                    continue
                self._active.add(cut.cut_id)
                try:
                    results += await self._settle_cut(cut)
                except PerdureError as exc:
                    _log.warning("cut_not_settled", cut=cut.cut_id, error=exc.message)
                finally:
                    self.release(cut)
            await self._measure_spool()
        return results

    async def _measure_spool(self) -> None:
        entries, _ = await asyncio.to_thread(self._spool.entries)
        figures = self._ground.figures
        figures.spool_pending = sum(cut.cut_id not in self._active for cut in entries)
        figures.spool_size_bytes = await asyncio.to_thread(self._spool.size_bytes)

    async def _settle_cut(self, cut: SpooledCut) -> list[ShipResult]:
        if not cut.rdb.exists():
            # Removal goes from the file to the plan: all was shipped, or nothing was ever cut.
            await asyncio.to_thread(self._spool.remove, cut)
            for target in cut.targets:
                self._end_operation(target, None)
            return []
        try:
            if cut.proof is None:
                cut = await self.prove(cut)
            results = await self._ship(cut, no_progress)
        except (CutDamagedError, OperationInterruptedError) as exc:
            for target in cut.targets:
                self._end_operation(target, exc)
            if isinstance(exc, CutDamagedError):
                raise
            return []
        for result in results:
            if not result.failures:
                self._end_operation(result.target, None)
        return results

    async def _sweep_unfinished(self, cut: SpooledCut, why: PerdureError) -> NoReturn:
        """Remove a file that the process did not live to finish."""
        await asyncio.to_thread(self._spool.remove, cut)
        self._ground.figures.cuts_unfinished += 1
        raise OperationInterruptedError(
            "the process ended while the file was being written",
            hint="Nothing was stored. Take the snapshot again.",
        ) from why

    def _end_operation(self, target: CutTarget, error: PerdureError | None) -> None:
        if target.operation_id is None:
            return
        known = {s.snapshot_id for s in self._ground.catalogue.snapshots()}
        if target.snapshot_id in known:
            self._ground.operations.finish(target.operation_id, {"snapshot_id": target.snapshot_id})
            return
        self._ground.operations.fail(
            target.operation_id,
            error
            or OperationInterruptedError(
                "the process ended before anything was cut", hint="Take the snapshot again."
            ),
        )

    async def adopt_file(self, path: Path, target: CutTarget) -> None:
        """Put an RDB that an earlier run left (never changed in place) into the spool, by link."""
        cut = await self.plan([target])
        try:
            await asyncio.to_thread(os.link, path, cut.rdb)
        except OSError as exc:
            await asyncio.to_thread(self._spool.remove, cut)
            raise local_disk_error(exc, f"link {path.name}") from exc
        finally:
            self.release(cut)
