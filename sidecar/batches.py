"""Operations over one cut: each target has an operation, all of them share the work.

Cancelling one operation takes its target's result away; the cut goes on while another operation
wants it, and is cancelled with the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from sidecar.errors import CancelledOperationError, PerdureError
from sidecar.event_log import About, EventType
from sidecar.ground import Ground
from sidecar.model import JsonObject, Operation, Progress
from sidecar.operations import OperationHandle, OperationStart, Work
from sidecar.pipeline import CutListener, Pipeline
from sidecar.shipping import ShipResult
from sidecar.spool import CutTarget

StoredHook: TypeAlias = Callable[[CutTarget], Awaitable[None]]
ProvedHook: TypeAlias = Callable[[CutTarget], None]
# (target, why it failed, whether its proved cut waits in the spool)
EndedHook: TypeAlias = Callable[[CutTarget, PerdureError | None, bool], None]


@dataclass(slots=True)
class _Batch:
    targets: list[CutTarget]
    handles: dict[str, OperationHandle] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    task: asyncio.Task[list[ShipResult]] | None = None


class Batches:
    """Starts cuts for one or more targets, each under an operation of its own."""

    def __init__(self, ground: Ground, pipeline: Pipeline) -> None:
        self._ground = ground
        self._pipeline = pipeline
        self.on_proved: list[ProvedHook] = []  # the proved cut is in the spool: it is not lost
        self.on_stored: list[StoredHook] = []  # awaited within the operation: rotation
        self.on_ended: list[EndedHook] = []

    def launch(self, wanted: Sequence[tuple[OperationStart, CutTarget]]) -> list[Operation]:
        """Start one cut for all targets; the caller has looked for repeats already."""
        batch = _Batch([])
        operations = []
        for start, target in wanted:
            operation = self._ground.operations.start(
                start, self._work(batch, target), partial(self._note_unbegun, batch, target)
            )
            batch.targets.append(replace(target, operation_id=operation.operation_id))
            batch.waiting.add(target.snapshot_id)
            operations.append(operation)
        batch.task = asyncio.create_task(self._take(batch))
        return operations

    async def delete(self, snapshot_id: str) -> None:
        """Keep a deleted snapshot from being stored where it waits to be."""
        await self._pipeline.delete(snapshot_id)

    def _note_unbegun(self, batch: _Batch, target: CutTarget) -> None:
        """Do what `_work` does at its end, for one that was cancelled before it could begin."""
        self._leave(batch, target)
        self._note_end(
            next(t for t in batch.targets if t.snapshot_id == target.snapshot_id),
            "cancelled",
            CancelledOperationError("the operation was cancelled before it began"),
            is_spooled=False,
        )

    def _leave(self, batch: _Batch, target: CutTarget) -> bool:
        """Take a target out; cancel the cut, and say so, when nobody waits for it any more."""
        batch.handles.pop(target.snapshot_id, None)
        batch.waiting.discard(target.snapshot_id)
        if batch.waiting or batch.task is None or batch.task.done():
            return False
        return batch.task.cancel()

    def _note_end(
        self, target: CutTarget, result: str, error: PerdureError | None, *, is_spooled: bool
    ) -> None:
        self._ground.figures.snapshot_attempts[target.trigger.value, result] += 1
        for ended in self.on_ended:
            ended(target, error, is_spooled)

    async def _take(self, batch: _Batch) -> list[ShipResult]:
        await asyncio.sleep(0)  # let every operation come and wait

        def tell(target: CutTarget, progress: Progress) -> None:
            if (handle := batch.handles.get(target.snapshot_id)) is not None:
                handle.progress(progress)

        def tell_proved(target: CutTarget) -> None:
            for proved in self.on_proved:
                proved(target)

        def keep(target: CutTarget) -> None:
            if (handle := batch.handles.get(target.snapshot_id)) is not None:
                handle.set_result({"snapshot_id": target.snapshot_id})

        listener = CutListener(progress=tell, proved=tell_proved, shipped=keep)
        return await self._pipeline.take(batch.targets, listener)

    def _work(self, batch: _Batch, target: CutTarget) -> Work:
        async def work(handle: OperationHandle) -> JsonObject:
            batch.handles[target.snapshot_id] = handle
            error: PerdureError | None = None
            result = "failed"
            is_spooled = False
            try:
                mine = await self._wait(batch, target)
                if mine.failures:
                    is_spooled = True
                    raise failure_of(mine)
                result = "ok"
            except asyncio.CancelledError:
                result = "cancelled"
                error = CancelledOperationError("the operation was cancelled")
                raise
            except PerdureError as exc:
                error = exc
                self._tell_failure(handle, target, exc)
                raise
            finally:
                mine_now = replace(target, operation_id=handle.operation_id)
                self._note_end(mine_now, result, error, is_spooled=is_spooled)
            return {"snapshot_id": target.snapshot_id}

        return work

    def _tell_failure(
        self, handle: OperationHandle, target: CutTarget, error: PerdureError
    ) -> None:
        self._ground.events.publish(
            EventType.SNAPSHOT_FAILED,
            error.message,
            About(f"snapshots/{target.snapshot_id}", handle.operation_id, error.code),
            trigger=target.trigger.value,
            schedule=target.schedule or "",
        )

    async def _wait(self, batch: _Batch, target: CutTarget) -> ShipResult:
        if batch.task is None:
            raise CancelledOperationError("the batch was never begun")
        try:
            results = await asyncio.shield(batch.task)
        except asyncio.CancelledError:
            if self._leave(batch, target):
                await asyncio.wait([batch.task])
            raise
        mine = next(r for r in results if r.target.snapshot_id == target.snapshot_id)
        if mine.stored:
            for stored in self.on_stored:
                await stored(mine.target)
        return mine


def failure_of(result: ShipResult) -> PerdureError:
    """Return the first backend's error, saying what became of the cut."""
    name, error = next(iter(sorted(result.failures.items())))
    stored = ", ".join(result.stored) or "no backend"
    return type(error)(
        f"{error.message} (stored on {stored})",
        code=error.code,
        hint=f"The verified cut waits in the spool and is stored when {name} takes it. "
        + error.hint,
        is_retryable=error.is_retryable,
        context={**error.context, "stored_on": ",".join(result.stored)},
    )
