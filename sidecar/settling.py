"""What lies in the spool and nobody works on: after a kill, and until a backend is back.

    prove_waiting     what never finished is removed and counted, what was finished and does not
                      verify is set aside; both need no backend
    settle_backend    ships to one backend what waits for it, the newest first, and stops at the
                      first failure that is the backend's: the others follow when it is back

Each backend is settled by itself, so that one that hangs holds only what is for it. What is whole
is shipped once: snapshot ids are in the plan, and a manifest that is there ends the step. A cut
that some backend has still to take stays in the spool.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog

from sidecar.errors import CutDamagedError, OperationInterruptedError, PerdureError
from sidecar.ground import Ground
from sidecar.pipeline import SILENT, Pipeline
from sidecar.shipping import Shipper, ShipResult
from sidecar.spool import SpooledCut

_log = structlog.get_logger(__name__)


class Settling:
    """Goes on with every cut in the spool that no operation has in its hands."""

    def __init__(self, ground: Ground, pipeline: Pipeline, shipper: Shipper) -> None:
        self._ground = ground
        self._spool = ground.spool
        self._pipeline = pipeline
        self._shipper = shipper
        self._prove_lock = asyncio.Lock()

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
                is_finished = cut.is_cut_recorded or cut.proof is not None
                if target.schedule and target.due_at and is_finished:
                    known = newest.get(target.schedule, target.due_at)
                    newest[target.schedule] = max(known, target.due_at)
        return newest

    async def settle(self) -> None:
        """Do all of it once, every backend beside the others."""
        await self.prove_waiting()
        names = self._ground.storages.names
        await asyncio.gather(*(self.settle_backend(name) for name in names))
        await self.measure()

    # --- without a backend --------------------------------------------------------------

    async def prove_waiting(self) -> None:
        """Remove, prove or set aside what a kill left; remove what every backend has."""
        async with self._prove_lock:
            for cut in await self._pipeline.waiting():
                if self._pipeline.is_taken(cut):
                    continue
                with self._pipeline.hold(cut):
                    try:
                        await self._prove(cut)
                    except PerdureError as exc:
                        _log.warning("cut_not_settled", cut=cut.cut_id, error=exc.message)

    async def _prove(self, cut: SpooledCut) -> None:
        if not cut.rdb.exists():
            # Removal goes from the file to the plan: all was shipped, or nothing was ever cut.
            await asyncio.to_thread(self._spool.remove, cut)
            self._end_operations(cut, None)
            return
        try:
            if cut.proof is None:
                cut = await self._pipeline.prove(cut)
        except (CutDamagedError, OperationInterruptedError) as exc:
            self._end_operations(cut, exc)
            if isinstance(exc, CutDamagedError):
                raise
            return
        await self._remove_if_shipped(cut)

    def _end_operations(self, cut: SpooledCut, error: PerdureError | None) -> None:
        for target in cut.targets:
            self._pipeline.end_operation(target, error)

    async def _remove_if_shipped(self, cut: SpooledCut) -> None:
        """Remove a cut that no backend has to take any more; its operations end with their part."""
        left = [target for target in cut.targets if self._shipper.missing(cut, target)]
        await self._shipper.record_stored(cut)
        if not left and cut.rdb.exists():
            await self._pipeline.remove_shipped(cut)
        for target in cut.targets:
            if target not in left:
                self._pipeline.end_operation(target, None)

    # --- one backend --------------------------------------------------------------------

    async def settle_backend(self, name: str) -> None:
        """Ship what waits for a backend, unless it failed a moment ago."""
        lane = self._shipper.lane(name)
        async with lane.settling:
            if not lane.is_due():
                return
            for cut in reversed(await self._pipeline.waiting()):
                if not self._is_for(cut, name):
                    continue
                with self._pipeline.hold(cut):
                    try:
                        is_answering = await self._ship(cut, name)
                        await self._remove_if_shipped(cut)
                    except PerdureError as exc:
                        _log.warning("cut_not_settled", cut=cut.cut_id, error=exc.message)
                        continue
                if not is_answering:
                    return

    def _is_for(self, cut: SpooledCut, name: str) -> bool:
        """Say whether a backend has still to take it; it may have gone while we looked."""
        if cut.proof is None or self._pipeline.is_taken(cut) or not cut.rdb.exists():
            return False
        return any(name in self._shipper.missing(cut, target) for target in cut.targets)

    async def _ship(self, cut: SpooledCut, name: str) -> bool:
        """Ship to one backend; return whether it is worth asking it for more."""
        results = [ShipResult(target) for target in cut.targets]
        try:
            await self._shipper.ship_to(name, cut, results, SILENT.progress)
        except CutDamagedError as exc:
            await self._pipeline.set_aside(cut, exc)
            self._end_operations(cut, exc)
            raise
        is_failed = any(result.failures for result in results)
        return not is_failed or self._ground.storages[name].figures.is_up is True

    # --- figures ------------------------------------------------------------------------

    async def measure(self) -> None:
        """Count what waits, and for whom."""
        waiting, figures = await self._pipeline.waiting(), self._ground.figures
        figures.spool_pending = len(waiting)
        figures.spool_size_bytes = await asyncio.to_thread(self._spool.size_bytes)
        entries, _ = await asyncio.to_thread(self._spool.entries)
        self._shipper.forget_but(entries)
        pending = dict.fromkeys(self._ground.storages.names, 0)
        for cut in entries:  # one that hangs on its way waits, too
            for target in cut.targets if cut.proof is not None else ():
                if not self._shipper.destinations(target):
                    self._shipper.warn_gone(target)
                    continue
                for name in self._shipper.missing(cut, target):
                    pending[name] += 1
        for name, count in pending.items():
            self._ground.storages[name].figures.pending_snapshots = count
