"""Long-running operations: started, watched, cancelled, persisted, and answered after a restart.

An operation's row is written before its work begins and at each new phase; progress within a
phase stays in memory. A row that is still running at the start belongs to a process that died:
`adopt` keeps those that a spooled cut will finish and fails the rest as OPERATION_INTERRUPTED.
What a request_id was first answered with is kept beside, so that a repeat starts nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeAlias

import structlog

from sidecar.catalogue import Catalogue
from sidecar.clock import Clock
from sidecar.errors import (
    CancelledOperationError,
    InternalError,
    NotCancellableError,
    NotFoundError,
    OperationInterruptedError,
    PerdureError,
    RequestIdReusedError,
)
from sidecar.event_log import About, EventLog, EventType, Severity
from sidecar.model import (
    JsonObject,
    Operation,
    OperationKind,
    OperationState,
    Page,
    Phase,
    Progress,
)
from sidecar.paging import ListRequest, paginate
from sidecar.usecases import OperationFilter

_log = structlog.get_logger(__name__)


class OperationHandle:
    """What the work of an operation may say about itself."""

    def __init__(self, operations: Operations, operation_id: str) -> None:
        self.operation_id = operation_id
        self._operations = operations

    def progress(self, progress: Progress) -> None:
        """Tell how far it is; a new phase is persisted."""
        self._operations.update_progress(self.operation_id, progress)

    def phase(self, phase: Phase) -> None:
        """Begin a phase."""
        self.progress(Progress(phase))

    def set_plan(self, plan: JsonObject) -> None:
        """Keep a restore's plan."""
        self._operations.update_plan(self.operation_id, plan)

    def set_result(self, result: JsonObject) -> None:
        """Keep the result before the work's own traces go: a kill from here on ends it well."""
        self._operations.update_result(self.operation_id, result)

    def set_target(self, target: str) -> None:
        """Name the resource once it is known."""
        self._operations.update_target(self.operation_id, target)

    def close_to_cancel(self) -> None:
        """Pass the point of no return: from here on a cancel is refused."""
        self._operations.close_to_cancel(self.operation_id)

    def open_to_stop(self) -> None:
        """Say that the result is kept and the next boot can do the rest: a stop need not wait."""
        self._operations.open_to_stop(self.operation_id)


Work: TypeAlias = Callable[[OperationHandle], Awaitable[JsonObject]]


@dataclass(frozen=True, slots=True)
class OperationStart:
    """What is to be started; the payload tells two requests under one request_id apart."""

    kind: OperationKind
    target: str
    payload: JsonObject
    request_id: str | None = None


@dataclass(slots=True)
class _Running:
    task: asyncio.Task[None] | None
    ended: asyncio.Event
    can_cancel: bool = True
    can_stop: bool = True


class Operations:
    """Every operation of this server."""

    def __init__(self, catalogue: Catalogue, clock: Clock, events: EventLog) -> None:
        self._catalogue = catalogue
        self._events = events
        self._clock = clock
        self._live: dict[str, Operation] = {}
        self._running: dict[str, _Running] = {}
        self._is_stopping = False

    @property
    def is_stopping(self) -> bool:
        """Return whether what is cancelled from now on is left to the next boot."""
        return self._is_stopping

    # --- starting ---------------------------------------------------------------------

    def repeat_of(self, start: OperationStart) -> Operation | None:
        """Return the operation that the same request started before, if any."""
        if start.request_id is None:
            return None
        stored = self._catalogue.find_request(start.kind.value, start.request_id)
        if stored is None:
            return None
        if stored.fingerprint != fingerprint(start.payload):
            raise request_id_reused(start.request_id)
        return self.get(str(stored.result["operation_id"]))  # forgotten: not begun anew

    def start(
        self, start: OperationStart, work: Work, unbegun: Callable[[], None] | None = None
    ) -> Operation:
        """Begin work in the background and return at once; a repeat returns the first one.

        `unbegun` is called instead of the work when it is cancelled before its first line runs.
        """
        if (repeat := self.repeat_of(start)) is not None:
            return repeat
        if self._is_stopping:
            raise OperationInterruptedError(
                "the server is stopping", hint="Repeat the request when it is up again."
            )
        now = self._clock.now()
        operation = Operation(
            operation_id=secrets.token_hex(8),
            kind=start.kind,
            target=start.target,
            state=OperationState.RUNNING,
            progress=Progress(Phase.QUEUED),
            created_at=now,
            updated_at=now,
            request_id=start.request_id,
        )
        self._catalogue.put_operation(operation, fingerprint(start.payload))
        self._live[operation.operation_id] = operation
        running = _Running(None, asyncio.Event())
        self._running[operation.operation_id] = running
        running.task = asyncio.create_task(self._run(operation.operation_id, work))
        running.task.add_done_callback(lambda _: self._end_unbegun(operation.operation_id, unbegun))
        return operation

    def _end_unbegun(self, operation_id: str, unbegun: Callable[[], None] | None) -> None:
        """End an operation whose task was cancelled before its first line ran."""
        if operation_id not in self._running:
            return
        if unbegun is not None:
            unbegun()
        if self._is_stopping:
            self._release(operation_id)
            return
        error = CancelledOperationError("the operation was cancelled before it began")
        self._end(operation_id, OperationState.CANCELLED, error=error)

    async def _run(self, operation_id: str, work: Work) -> None:
        try:
            result = await work(OperationHandle(self, operation_id))
        except asyncio.CancelledError:
            if self._is_stopping:  # the row stays as it is: the next boot decides (`adopt`)
                self._release(operation_id)
                raise
            error: PerdureError = CancelledOperationError("the operation was cancelled")
            self._end(operation_id, OperationState.CANCELLED, error=error)
        except CancelledOperationError as exc:
            self._end(operation_id, OperationState.CANCELLED, error=exc)
        except PerdureError as exc:
            self._end(operation_id, OperationState.FAILED, error=exc)
        except Exception as exc:  # noqa: BLE001 - the edge of the work: an unknown error is a bug
            incident = secrets.token_hex(4)
            _log.exception("operation_broke", operation_id=operation_id, incident=incident)
            error = InternalError(
                f"unexpected {type(exc).__name__}", context={"incident": incident}
            )
            self._end(operation_id, OperationState.FAILED, error=error)
        else:
            self._end(operation_id, OperationState.DONE, result=result)

    def _end(
        self,
        operation_id: str,
        state: OperationState,
        *,
        result: JsonObject | None = None,
        error: PerdureError | None = None,
    ) -> None:
        now = self._clock.now()
        operation = replace(
            self.get(operation_id),
            state=state,
            result=result,
            error=error.to_json() if error else None,
            updated_at=now,
            ended_at=now,
        )
        self._tell_end(operation, error)
        try:
            self._catalogue.put_operation(operation)
        except PerdureError as exc:  # the work is done either way; the row tells less after a crash
            _log.error("operation_not_recorded", operation_id=operation_id, error=exc.message)
            self._live[operation_id] = operation
        else:
            self._live.pop(operation_id, None)
        self._release(operation_id)

    def _tell_end(self, operation: Operation, error: PerdureError | None) -> None:
        about = About(
            resource=operation.target,
            operation_id=operation.operation_id,
            reason=error.code if error else "",
            severity=Severity.WARNING if error else Severity.INFO,
        )
        spent = operation.updated_at - operation.created_at
        self._events.publish(
            EventType.OPERATION_ENDED,
            f"{operation.kind.value} ended: {error.message if error else operation.state.value}",
            about,
            kind=operation.kind.value,
            target=operation.target,
            state=operation.state.value,
            seconds=round(spent.total_seconds(), 3),
        )

    def _release(self, operation_id: str) -> None:
        running = self._running.pop(operation_id, None)
        if running is not None:
            running.ended.set()

    # --- what the work says -----------------------------------------------------------

    def _change(self, operation: Operation, *, persist: bool) -> None:
        operation = replace(operation, updated_at=self._clock.now())
        self._live[operation.operation_id] = operation
        if persist:
            self._catalogue.put_operation(operation)

    def update_progress(self, operation_id: str, progress: Progress) -> None:
        """Keep how far an operation is."""
        operation = self._live.get(operation_id)
        if operation is None:
            return
        is_new = operation.progress.phase != progress.phase
        self._change(replace(operation, progress=progress), persist=is_new)

    def update_plan(self, operation_id: str, plan: JsonObject) -> None:
        """Keep a restore's plan."""
        if (operation := self._live.get(operation_id)) is not None:
            self._change(replace(operation, plan=plan), persist=True)

    def update_result(self, operation_id: str, result: JsonObject) -> None:
        """Keep the result of work that is as good as done."""
        if (operation := self._live.get(operation_id)) is not None:
            self._change(replace(operation, result=result), persist=True)

    def update_target(self, operation_id: str, target: str) -> None:
        """Keep the resource that an operation works on."""
        if (operation := self._live.get(operation_id)) is not None:
            self._change(replace(operation, target=target), persist=True)

    def close_to_cancel(self, operation_id: str) -> None:
        """Refuse cancels from here on."""
        if (running := self._running.get(operation_id)) is not None:
            running.can_cancel = running.can_stop = False

    def open_to_stop(self, operation_id: str) -> None:
        """Let a stop end the work, though no caller may."""
        if (running := self._running.get(operation_id)) is not None:
            running.can_stop = True
            if self._is_stopping and running.task is not None:
                running.task.cancel()

    # --- callers ----------------------------------------------------------------------

    def get(self, operation_id: str) -> Operation:
        """Return an operation, or raise NotFoundError (OPERATION_NOT_FOUND)."""
        found = self._live.get(operation_id) or self._catalogue.find_operation(operation_id)
        if found is None:
            raise NotFoundError(
                f"there is no operation {operation_id!r}",
                code="OPERATION_NOT_FOUND",
                hint="List the operations there are: perdure operation list",
                context={"operation_id": operation_id},
            )
        return found

    def is_running(self, operation_id: str) -> bool:
        """Return whether its work goes on in this process."""
        return operation_id in self._running

    def list(
        self,
        request: ListRequest,
        filter_: OperationFilter | None = None,
        *,
        only_running: bool = False,
    ) -> Page[Operation]:
        """Return a page, newest first."""
        found = self._catalogue.operations(only_running=only_running)
        found = [self._live.get(operation.operation_id, operation) for operation in found]
        if filter_ is not None:
            found = [operation for operation in found if _matches(operation, filter_)]
        return paginate(found, request)

    async def cancel(self, operation_id: str) -> Operation:
        """Ask it to stop; NotCancellableError when it has ended or passed its commit."""
        operation = self.get(operation_id)
        running = self._running.get(operation_id)
        if running is None or not running.can_cancel or running.task is None:
            has_ended = operation.is_done
            raise NotCancellableError(
                f"operation {operation_id} cannot be cancelled any more",
                hint="It has ended." if has_ended else "It passed its commit; wait for its end.",
                context={"operation_id": operation_id, "state": operation.state.value},
            )
        if not operation.is_cancel_requested:
            self._change(replace(operation, is_cancel_requested=True), persist=True)
            running.task.cancel()
        return self.get(operation_id)

    async def wait(self, operation_id: str, timeout_seconds: float | None = None) -> Operation:
        """Return it when it has ended, or as it stands when the time is over."""
        running = self._running.get(operation_id)
        if running is not None:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await running.ended.wait()
            except TimeoutError:
                return self.get(operation_id)
        return self.get(operation_id)

    async def delete(self, operation_id: str) -> None:
        """Forget an ended operation."""
        operation = self.get(operation_id)
        if not operation.is_done:
            raise NotCancellableError(
                f"operation {operation_id} still runs",
                hint="Cancel it first: perdure operation cancel",
                context={"operation_id": operation_id},
            )
        self._live.pop(operation_id, None)
        self._catalogue.delete_operation(operation_id)

    # --- restart ----------------------------------------------------------------------

    def adopt(self, kept: Collection[str]) -> tuple[Operation, ...]:
        """Take over a dead process's operations; return those that are failed now.

        The ids in `kept` stay running: `finish` or `fail` ends them when their cut is settled.
        """
        failed = []
        for operation in self._catalogue.operations(only_running=True):
            if operation.operation_id in self._running:
                continue
            if operation.operation_id in kept:
                self._live[operation.operation_id] = operation
                self._running[operation.operation_id] = _Running(
                    None, asyncio.Event(), can_cancel=False
                )
                continue
            if operation.result is not None:
                self._live[operation.operation_id] = operation
                self._end(operation.operation_id, OperationState.DONE, result=operation.result)
                continue
            error = OperationInterruptedError(
                f"the process ended during phase {operation.progress.phase}",
                hint=_INTERRUPTED_HINTS.get(operation.kind, "Repeat the request."),
                context={"phase": operation.progress.phase, "target": operation.target},
            )
            self._live[operation.operation_id] = operation
            self._end(operation.operation_id, OperationState.FAILED, error=error)
            failed.append(self.get(operation.operation_id))
        return tuple(failed)

    def finish(self, operation_id: str, result: JsonObject) -> None:
        """End an adopted operation well."""
        if self._is_adopted(operation_id):
            self._end(operation_id, OperationState.DONE, result=result)

    def fail(self, operation_id: str, error: PerdureError) -> None:
        """End an adopted operation badly."""
        if self._is_adopted(operation_id):
            self._end(operation_id, OperationState.FAILED, error=error)

    def _is_adopted(self, operation_id: str) -> bool:
        running = self._running.get(operation_id)
        return running is not None and running.task is None

    async def stop(self) -> None:
        """Cancel what runs, but for what is within its commit, and wait for all of it."""
        self._is_stopping = True
        tasks = [running.task for running in self._running.values() if running.task]
        for running in list(self._running.values()):
            if running.task is not None and running.can_stop:
                running.task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def resume(self) -> None:
        """Start operations again after a stop that was taken back; `adopt` decides on the rest."""
        self._is_stopping = False


_INTERRUPTED_HINTS = {
    OperationKind.RESTORE: (
        "Either the old or the new data set is served, whole. Compare `perdure status` with the "
        "plan; a safety snapshot that was taken is in `perdure snapshot list`. Then repeat."
    ),
    OperationKind.SNAPSHOT_CREATE: "Nothing was stored. Take the snapshot again.",
    OperationKind.SNAPSHOT_IMPORT: "Nothing was stored. Send the file again.",
    OperationKind.CLONE_CREATE: "What there was of the clone is removed. Repeat the request.",
    OperationKind.CLONE_DELETE: "See whether it is still there: perdure clone list",
    OperationKind.SCHEDULE_RUN: "Nothing was stored. A due time that is still open runs again.",
}


def _matches(operation: Operation, filter_: OperationFilter) -> bool:
    return (
        filter_.kind in {None, operation.kind}
        and filter_.state in {None, operation.state}
        and filter_.target in {None, operation.target}
        and filter_.is_done in {None, operation.is_done}
    )


def fingerprint(payload: JsonObject) -> str:
    """Return what tells two requests apart."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()


def request_id_reused(request_id: str) -> RequestIdReusedError:
    """Return the error for another request under a known request_id."""
    return RequestIdReusedError(
        f"request_id {request_id} came before with another request",
        context={"request_id": request_id},
    )
