"""The life of a cut: plan, cut, record, prove, ship, clean up; and the same after a kill.

    plan recorded -> engine cuts -> cut recorded -> read back + parsed -> proof recorded
        -> shipped to every backend of every target -> file removed -> plan removed

One cut at a time; shipping runs beside the next cut. What a kill leaves at any arrow, and what a
backend could not take, lies in the spool: `sidecar.settling` goes on with it from the records. What
the spool may hold is `sidecar.spool_room`'s. No schedule and no API here.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeAlias

import structlog

from sidecar.engine_port import CutResult
from sidecar.errors import (
    CorruptError,
    CutDamagedError,
    OperationInterruptedError,
    PerdureError,
)
from sidecar.event_log import About, EventType
from sidecar.ground import Ground
from sidecar.local_disk import local_disk_error, step, to_the_end
from sidecar.model import Phase, Progress
from sidecar.shipping import ProgressSink, Shipper, ShipResult
from sidecar.spool import CutTarget, SpooledCut
from sidecar.spool_room import SpoolLimit, SpoolRoom

_log = structlog.get_logger(__name__)
CUT_RETRY_SECONDS = 1.0
BUSY_CODES = frozenset({"CHILD_BUSY", "CHILD_RUNNING"})  # the engine has another child


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """Bounds of the spool, and how long a cut waits while the engine is busy."""

    limit: SpoolLimit = field(default_factory=SpoolLimit)
    cut_attempts_max: int = 300


def _about(target: CutTarget, reason: str = "") -> About:
    return About(f"snapshots/{target.snapshot_id}", target.operation_id or "", reason)


TargetSink: TypeAlias = Callable[[CutTarget], None]


def _ignore_progress(_target: CutTarget, _progress: Progress) -> None:
    pass


def _ignore(_target: CutTarget) -> None:
    pass


@dataclass(frozen=True, slots=True)
class CutListener:
    """Hears how a cut fares; without more, nothing is heard."""

    progress: ProgressSink = _ignore_progress
    proved: TargetSink = _ignore  # it lies in the spool: from here on it is not lost
    shipped: TargetSink = _ignore  # every backend has it; the spool is about to forget the cut


SILENT = CutListener()


class Pipeline:
    """Takes cuts and gets them to the backends."""

    def __init__(
        self, ground: Ground, shipper: Shipper, options: PipelineOptions | None = None
    ) -> None:
        self._ground = ground
        self._spool = ground.spool
        self._shipper = shipper
        self._options = options or PipelineOptions()
        self._room = SpoolRoom(ground, self._options.limit, self.end_operation)
        self._cut_lock = asyncio.Lock()
        self._listing_lock = asyncio.Lock()  # a plan is listed only when its owner is known
        self._active: set[str] = set()  # cuts that one operation takes from the plan to the end
        self._holds: Counter[str] = Counter()  # cuts that are being settled
        self._is_stopping = False

    def stop(self) -> None:
        """Leave what is cancelled from now on in the spool: the next boot goes on with it."""
        self._is_stopping = True
        self._shipper.is_stopping = True

    def resume(self) -> None:
        """Go on after a stop that was taken back."""
        self._is_stopping = self._shipper.is_stopping = False

    # --- a new cut --------------------------------------------------------------------

    async def take(
        self, targets: Sequence[CutTarget], listener: CutListener = SILENT
    ) -> list[ShipResult]:
        """Cut once for all targets and ship; failures of backends are in the results."""
        started = self._ground.clock.monotonic()
        async with self._cut_lock:
            cut = await self._cut(targets, listener)
        try:
            for target in cut.targets:
                listener.proved(target)
            results = await self._ship(cut, listener)
        except asyncio.CancelledError:
            await self._give_up(cut)
            raise
        finally:
            self.release(cut)
        seconds = self._ground.clock.monotonic() - started
        self._ground.figures.observe_phase("snapshot", "total", seconds)
        return results

    async def _cut(self, targets: Sequence[CutTarget], listener: CutListener) -> SpooledCut:
        cut = await self.plan(targets)
        try:
            await step("snapshot.planned")
            result = await self._cut_file(cut, listener.progress)
            await step("snapshot.cut")
            cut = await to_the_end(partial(self._spool.record_cut, cut, result))
            await step("snapshot.cut_recorded")
        except asyncio.CancelledError:
            await self._give_up(cut)
            self.release(cut)
            raise
        except PerdureError:
            # Nothing was believed yet: the partial file goes, and the plan after it.
            with suppress(PerdureError):  # what failed first is told; the settling removes it
                await asyncio.to_thread(self._spool.remove, cut)
            self.release(cut)
            raise
        try:
            return await self.prove(cut, listener.progress)
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
        await self._room.make(self.held)
        async with self._listing_lock:
            plan = partial(self._spool.plan, targets, self._ground.clock.now())
            planning = asyncio.ensure_future(asyncio.to_thread(plan))
            try:
                cut = await asyncio.shield(planning)
            except asyncio.CancelledError:  # the caller will not know of it
                await asyncio.wait([planning])
                if planning.exception() is None:
                    await self._give_up(planning.result())
                raise
            self._active.add(cut.cut_id)
        return cut

    def release(self, cut: SpooledCut) -> None:
        """Let the settling have the cut, if it is still in the spool."""
        self._active.discard(cut.cut_id)

    async def waiting(self) -> list[SpooledCut]:
        """Return the cuts in the spool that no operation has in its hands, oldest first."""
        async with self._listing_lock:
            entries, _ = await asyncio.to_thread(self._spool.entries)
            return [cut for cut in entries if not self.is_taken(cut)]

    def is_taken(self, cut: SpooledCut) -> bool:
        """Say whether an operation has the cut in its hands, or it is just given up."""
        return cut.cut_id in self._active or cut.cut_id in self._room.giving_up

    @contextmanager
    def hold(self, cut: SpooledCut) -> Iterator[None]:
        """Keep a cut from being given up while it is settled."""
        self._holds[cut.cut_id] += 1
        try:
            yield
        finally:
            self._holds[cut.cut_id] -= 1
            self._holds += Counter()  # drops what is zero

    def held(self) -> Collection[str]:
        """Return the ids of the cuts that somebody works on."""
        return self._active | set(self._holds)

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
            self._ground.events.keep(  # the engine's line of it is in the log
                EventType.SNAPSHOT_CUT,
                f"{result.keys} keys were cut",
                _about(target),
                {
                    "keys": result.keys,
                    "size_bytes": result.size_bytes,
                    "pause_seconds": result.pause_seconds,
                },
            )
        return result

    async def prove(
        self, cut: SpooledCut, on_progress: ProgressSink = SILENT.progress
    ) -> SpooledCut:
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
            await self.set_aside(cut, exc)
            raise CutDamagedError(
                f"the cut did not verify: {exc.message}", context={"cause": exc.code}
            ) from exc
        await step("snapshot.verified")
        now = self._ground.clock.now()
        cut = await to_the_end(partial(self._spool.record_proof, cut, proof, now))
        await step("snapshot.proof_recorded")
        self._ground.figures.snapshot_last_verified_at = now
        seconds = self._ground.clock.monotonic() - started
        self._ground.figures.observe_phase("snapshot", Phase.VERIFY, seconds)
        return cut

    async def set_aside(self, cut: SpooledCut, why: PerdureError) -> None:
        """Put a cut that cannot be believed into quarantine, once."""
        if not cut.rdb.exists():
            return
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

    async def _sweep_unfinished(self, cut: SpooledCut, why: PerdureError) -> NoReturn:
        """Remove a file that the process did not live to finish."""
        await asyncio.to_thread(self._spool.remove, cut)
        self._ground.figures.cuts_unfinished += 1
        raise OperationInterruptedError(
            "the process ended while the file was being written",
            hint="Nothing was stored. Take the snapshot again.",
        ) from why

    # --- shipping ---------------------------------------------------------------------

    async def _ship(self, cut: SpooledCut, listener: CutListener) -> list[ShipResult]:
        try:
            results = await self._shipper.ship(cut, listener.progress)
        except CutDamagedError as exc:
            await self.set_aside(cut, exc)
            raise
        for result in results:
            if not result.failures:
                listener.shipped(result.target)
        if all(not result.failures for result in results):
            await self.remove_shipped(cut)
        return results

    async def remove_shipped(self, cut: SpooledCut) -> None:
        """Forget a cut that every backend has; one that cannot be removed is tried again later."""
        await step("snapshot.shipped")
        try:
            await asyncio.to_thread(self._spool.remove, cut)
        except PerdureError as exc:  # what is stored has not failed
            _log.warning("cut_not_removed", cut=cut.cut_id, code=exc.code, error=exc.message)
            return
        await step("snapshot.cleaned")

    async def ship_released(
        self, cut: SpooledCut, listener: CutListener = SILENT
    ) -> list[ShipResult]:
        """Prove and ship a file that came otherwise, under `plan` (a safety cut, an import)."""
        try:
            if cut.proof is None:
                cut = await self.prove(cut, listener.progress)
            return await self._ship(cut, listener)
        finally:
            self.release(cut)

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

    async def delete(self, snapshot_id: str) -> None:
        """Keep what waits from bringing a deleted snapshot back, also after a restart.

        ConflictError (SNAPSHOT_IN_USE) while a backend is taking it. Its copies are not touched.
        """
        async with self._listing_lock:
            entries, _ = await asyncio.to_thread(self._spool.entries)
        for cut in entries:
            for target in cut.targets:
                if target.snapshot_id == snapshot_id:
                    await self._shipper.delete(cut, snapshot_id)
                    self.end_operation(target, None)

    def end_operation(self, target: CutTarget, error: PerdureError | None) -> None:
        """End the operation that a dead process left with a target, if it left one."""
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
