"""The clone use cases: make, show, prolong and end other servers on this host.

    planned -> record CREATING -> seeded -> verified -> process launched, held -> its mark recorded
        -> released -> serves -> record READY                     (`sidecar.clone_making`)
    record DELETING -> process ended -> data removed -> record removed

The record is durable before what it names exists, and outlives it. So after a kill at any arrow the
next start knows each clone by its record: what was being made is removed, what was being deleted is
deleted to the end, what serves is served on, what ended meanwhile is shown as failed. Nobody starts
a process again in silence.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from sidecar.clone_making import CloneMaker
from sidecar.clone_plan import NOTHING, CloneRoom, Needs
from sidecar.clone_record import (
    Clone,
    CloneFolder,
    CloneState,
    CloneStore,
    decode_clone,
    encode_clone,
    new_clone_id,
)
from sidecar.clone_seed import Seeder, Source
from sidecar.errors import (
    CloneBusyError,
    CloneFailedError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PerdureError,
    RevisionMismatchError,
)
from sidecar.event_log import About, EventType
from sidecar.ground import Ground
from sidecar.json_fields import Fields
from sidecar.local_disk import local_disk_error, step, to_the_end
from sidecar.model import Compression, JsonObject, Operation, OperationKind, Page
from sidecar.operations import OperationHandle, OperationStart
from sidecar.paging import ListRequest, paginate
from sidecar.provisioner import Provisioner
from sidecar.requests import Requests
from sidecar.usecases import CloneFilter, CreateClone

_log = structlog.get_logger(__name__)
TEND_SECONDS = 1.0
AGAIN_SECONDS = 30.0
LEASE_SECONDS_MAX = 10 * 365 * 86400


@dataclass(frozen=True, slots=True)
class CloneParts:
    """What the use case is made of."""

    store: CloneStore
    room: CloneRoom
    seeder: Seeder
    maker: CloneMaker
    provisioner: Provisioner
    stop_timeout_seconds: float = 10.0


class Clones:
    """Every clone of this server."""

    def __init__(self, ground: Ground, parts: CloneParts) -> None:
        self._ground = ground
        self._parts = parts
        self._requests = Requests(ground.catalogue, ground.clock)
        self._clones: dict[str, Clone] = {}
        self._pending: dict[str, Needs] = {}  # of those that are being made
        self._ends: dict[str, asyncio.Task[None]] = {}
        self._again_at: dict[str, float] = {}  # what could not be removed is tried again then
        self._changing = asyncio.Lock()  # a record is read, changed and written

    # --- looking ----------------------------------------------------------------------

    def get(self, clone_id: str) -> Clone:
        """Return a clone, or raise NotFoundError (CLONE_NOT_FOUND)."""
        try:
            return self._clones[clone_id]
        except KeyError:
            raise NotFoundError(
                f"there is no clone {clone_id!r}",
                code="CLONE_NOT_FOUND",
                hint="List the clones there are: perdure clone list",
                context={"clone_id": clone_id},
            ) from None

    def list(self, request: ListRequest, filter_: CloneFilter) -> Page[Clone]:
        """Return a page, newest first."""
        found = [
            clone
            for clone in self._clones.values()
            if filter_.state in {None, clone.state}
            and filter_.snapshot_id in {None, clone.snapshot_id}
        ]
        found.sort(key=lambda clone: (clone.created_at, clone.clone_id), reverse=True)
        return paginate(found, request)

    def folder_of(self, clone_id: str) -> CloneFolder:
        """Return where a clone lies."""
        return self._parts.store.folder_of(clone_id)

    # --- making -----------------------------------------------------------------------

    async def create(self, request: CreateClone, request_id: str | None = None) -> Operation:
        """Make a clone; the result is its record as it was when it began to serve."""
        payload: JsonObject = {
            "snapshot_id": request.snapshot_id,
            "backend": request.backend,
            "is_live": request.is_live,
            "lease_seconds": request.lease_seconds,
        }
        now = self._ground.clock.now()
        clone_id = new_clone_id(now)
        start = OperationStart(
            OperationKind.CLONE_CREATE, f"clones/{clone_id}", payload, request_id
        )
        if (repeat := self._ground.operations.repeat_of(start)) is not None:
            return repeat
        _check_lease(request.lease_seconds)
        source = self._parts.seeder.choose(
            request.snapshot_id, request.backend, is_live=request.is_live
        )
        needs = self._parts.room.estimate(source, is_on_disk=self._is_on_disk(source))
        pending = sum(self._pending.values(), NOTHING)
        self._parts.room.check(needs, pending, len(self._clones))
        clone = Clone(
            clone_id=clone_id,
            state=CloneState.CREATING,
            created_at=now,
            server_name=f"{self._ground.identity.name[:100]}-clone-{clone_id[-8:]}",
            lease_seconds=request.lease_seconds,
            snapshot_id=source.snapshot_id,
            cut_at=source.copy.manifest.cut_at if source.copy else None,
        )
        operation = self._ground.operations.start(
            start, lambda handle: self._make(handle, clone_id, source)
        )
        self._pending[clone_id] = needs
        self._keep(replace(clone, operation_id=operation.operation_id))
        return operation

    def _is_on_disk(self, source: Source) -> bool:
        if source.copy is None:
            return False
        storage = self._ground.storages[source.copy.backend]
        is_plain = source.copy.manifest.compression is Compression.NONE
        return storage.type == "local" and is_plain

    async def _make(self, handle: OperationHandle, clone_id: str, source: Source) -> JsonObject:
        result = "failed"
        try:
            clone = await self._parts.maker.make(handle, self.get(clone_id), source, self._keep)
            result = "ok"
        except asyncio.CancelledError:
            result = "cancelled"
            await self._discard(clone_id)
            raise
        except BaseException:
            await self._discard(clone_id)
            raise
        finally:
            self._pending.pop(clone_id, None)
            self._ground.figures.clone_creations[result] += 1
        self._ground.events.publish(
            EventType.CLONE_READY,
            f"the clone serves {clone.keys} keys",
            About(f"clones/{clone_id}", handle.operation_id),
            snapshot=clone.snapshot_id or "",
            keys=clone.keys,
            address=clone.endpoints.get("resp", ""),
        )
        return encode_clone(clone)

    async def _discard(self, clone_id: str) -> None:
        """Leave nothing of a clone that is not ready; what cannot be removed now is tried again."""
        clone = self.get(clone_id)
        self._again_at[clone_id] = self._ground.clock.monotonic() + AGAIN_SECONDS
        try:
            if clone.process is not None:
                await self._parts.provisioner.end(clone.process, 0)
            await asyncio.to_thread(self._parts.store.remove, clone_id)
        except (PerdureError, OSError) as exc:
            _log.warning("clone_not_discarded", clone=clone_id, error=str(exc))
            return
        self._forget(clone_id, "unfinished")

    # --- prolonging -------------------------------------------------------------------

    async def renew(
        self,
        clone_id: str,
        lease_seconds: float,
        etag: str | None = None,
        request_id: str | None = None,
    ) -> Clone:
        """Give it a lease that begins now."""
        _check_lease(lease_seconds)

        async def work() -> JsonObject:
            async with self._changing:
                clone = self.get(clone_id)
                _check_etag(clone, etag)
                if clone.state not in {CloneState.READY, CloneState.FAILED}:
                    raise _busy(clone)
                end_at = self._ground.clock.now() + timedelta(seconds=lease_seconds)
                renewed = replace(clone, lease_seconds=lease_seconds, lease_end_at=end_at)
                return encode_clone(await self._record(renewed))

        payload: JsonObject = {"clone_id": clone_id, "lease_seconds": lease_seconds, "etag": etag}
        first = await self._requests.once("clone.renew", request_id, payload, work, target=clone_id)
        return decode_clone(Fields(first, "catalogue", InternalError))

    async def _record(self, clone: Clone) -> Clone:
        """Keep a changed record, on the disk first; return it as it was kept.

        Whoever is cancelled meanwhile still waits for the disk, under the lock: an older record
        never comes after a newer one, and what is on the disk is what is known.
        """
        changed = replace(clone, revision=clone.revision + 1)
        is_written = threading.Event()

        def write() -> None:
            self._parts.store.replace(changed)
            is_written.set()

        try:
            await to_the_end(write)
        except OSError as exc:
            raise local_disk_error(exc, "keep the clone's record") from exc
        finally:
            if is_written.is_set():
                self._keep(changed)
        return changed

    def _keep(self, clone: Clone) -> None:
        self._clones[clone.clone_id] = clone
        self._count()

    def _forget(self, clone_id: str, reason: str) -> None:
        self._clones.pop(clone_id, None)
        self._again_at.pop(clone_id, None)
        self._ground.figures.clone_deletions[reason] += 1
        self._count()
        self._ground.events.publish(
            EventType.CLONE_REMOVED,
            "nothing of the clone is left",
            About(f"clones/{clone_id}"),
            why=reason,
        )

    def _count(self) -> None:
        figures = self._ground.figures
        figures.clones.clear()
        figures.clones.update(clone.state.value for clone in self._clones.values())

    # --- ending -----------------------------------------------------------------------

    async def delete(
        self, clone_id: str, etag: str | None = None, request_id: str | None = None
    ) -> Operation:
        """End its process and remove its data; result {"clone_id"}."""
        payload: JsonObject = {"clone_id": clone_id, "etag": etag}
        start = OperationStart(
            OperationKind.CLONE_DELETE, f"clones/{clone_id}", payload, request_id
        )
        if (repeat := self._ground.operations.repeat_of(start)) is not None:
            return repeat
        clone = self.get(clone_id)
        _check_etag(clone, etag)
        if clone.state is CloneState.CREATING:
            raise _busy(clone)

        def is_unchanged(clone: Clone) -> bool:
            _check_etag(clone, etag)
            return True

        async def work(handle: OperationHandle) -> JsonObject:
            handle.close_to_cancel()
            result: JsonObject = {"clone_id": clone_id}
            await self._begin_end(clone_id, is_unchanged)
            handle.set_result(result)
            handle.open_to_stop()  # the next start goes on with it
            await self._end(clone_id, "asked")
            return result

        return self._ground.operations.start(start, work)

    async def _begin_end(self, clone_id: str, may_end: Callable[[Clone], bool]) -> bool:
        """Record that it is to go, and say so; asked under the lock: it may have been renewed.

        A full disk is no reason to keep it: then memory knows.
        """
        async with self._changing:
            clone = self._clones.get(clone_id)
            if clone is None or clone.state is CloneState.DELETING:
                return True
            if not may_end(clone):
                return False
            leaving = replace(clone, state=CloneState.DELETING)
            try:
                await self._record(leaving)
            except PerdureError as exc:
                _log.warning("clone_not_recorded", clone=clone_id, error=exc.message)
                self._keep(leaving)
        await step("clone.deleting")
        return True

    async def _end(self, clone_id: str, reason: str) -> None:
        """End it once, however many ask."""
        task = self._ends.get(clone_id)
        if task is None:
            task = asyncio.create_task(self._end_once(clone_id, reason))
            self._ends[clone_id] = task
            task.add_done_callback(lambda _: self._ends.pop(clone_id, None))
        await asyncio.shield(task)

    async def _end_once(self, clone_id: str, reason: str) -> None:
        clone = self._clones.get(clone_id)
        if clone is None:
            return
        if clone.process is not None:
            patience = self._parts.stop_timeout_seconds
            await self._parts.provisioner.end(clone.process, patience)
        await step("clone.ended")
        try:
            await asyncio.to_thread(self._parts.store.remove, clone_id)
        except OSError as exc:
            raise local_disk_error(exc, "remove the clone's data") from exc
        await step("clone.deleted")
        self._forget(clone_id, reason)

    # --- a restart, and the background ------------------------------------------------

    async def adopt(self) -> None:
        """Learn of the clones that an earlier run made, before the doors open.

        A folder that cannot be read keeps nobody from serving: there are no clones then.
        """
        try:
            clones, strays = await asyncio.to_thread(self._parts.store.load)
        except OSError as exc:
            _log.error("clones_not_read", error=str(exc))
            return
        for path in strays:
            _log.error("clone_record_unreadable", folder=str(path))
        for clone in clones:
            self._keep(clone)
        self._end_operations()
        await self._note_ends()

    def _end_operations(self) -> None:
        """Give operations that a kill cut off, after what they were for was done, their result."""
        catalogue = self._ground.catalogue
        for operation in catalogue.operations(only_running=True):
            clone = self._clones.get(operation.target.removeprefix("clones/"))
            is_made = operation.kind is OperationKind.CLONE_CREATE and clone is not None
            if is_made and clone is not None and clone.ready_at is not None:
                catalogue.put_operation(replace(operation, result=encode_clone(clone)))
            is_end = operation.kind is OperationKind.CLONE_DELETE
            if is_end and (clone is None or clone.state is CloneState.DELETING):
                result: JsonObject = {"clone_id": operation.target.removeprefix("clones/")}
                catalogue.put_operation(replace(operation, result=result))

    async def run(self) -> None:
        """Look after the clones, for ever."""
        while True:
            try:
                await self.tend()
            except Exception:  # noqa: BLE001 - the edge of a background task: a bug here must not end it
                _log.exception("clones_not_tended")
            await self._ground.clock.sleep(TEND_SECONDS)

    async def tend(self) -> None:
        """Note which processes have ended; remove what was left half made or is over."""
        await self._note_ends()
        over = {clone.clone_id: clone for clone in self._clones.values() if self._is_over(clone)}
        work = [self._remove(clone) for clone in over.values()]
        for clone_id, outcome in zip(
            over, await asyncio.gather(*work, return_exceptions=True), strict=True
        ):
            if isinstance(outcome, PerdureError):
                self._again_at[clone_id] = self._ground.clock.monotonic() + AGAIN_SECONDS
                _log.warning("clone_not_removed", clone=clone_id, error=outcome.message)
            elif isinstance(outcome, BaseException):
                raise outcome

    def _is_over(self, clone: Clone) -> bool:
        """Say whether it is to be removed, and nobody is at it."""
        at = self._ground.clock.monotonic()
        if clone.clone_id in self._ends or at < self._again_at.get(clone.clone_id, at):
            return False
        if clone.state is CloneState.CREATING:
            return not self._ground.operations.is_running(clone.operation_id or "")
        return self._is_expired(clone) or clone.state is CloneState.DELETING

    def _is_expired(self, clone: Clone) -> bool:
        return clone.lease_end_at is not None and clone.lease_end_at <= self._ground.clock.now()

    async def _remove(self, clone: Clone) -> None:
        match clone.state:
            case CloneState.CREATING:
                await self._discard(clone.clone_id)
            case CloneState.DELETING:
                await self._end(clone.clone_id, "asked")
            case _:
                if await self._begin_end(clone.clone_id, self._is_expired):
                    await self._end(clone.clone_id, "lease")

    async def _note_ends(self) -> None:
        """Show clones whose processes ended by themselves as failed."""
        for clone in list(self._clones.values()):
            if clone.state is not CloneState.READY or clone.process is None:
                continue
            try:
                how = self._parts.provisioner.find_end(clone.process)
                if how is not None:
                    await self._note_end(clone, clone.process.pid, how)
            except Exception:  # noqa: BLE001 - a bug: the other clones must not pay for it
                _log.exception("clone_not_looked_at", clone=clone.clone_id)

    async def _note_end(self, clone: Clone, pid: int, how: str) -> None:
        error = CloneFailedError(
            f"the clone's process {how}",
            hint="Its log says more. Its data is kept until it is deleted: "
            f"perdure clone delete {clone.clone_id}",
            context={"clone_id": clone.clone_id, "pid": pid},
        )
        log_tail = await asyncio.to_thread(self.folder_of(clone.clone_id).log_tail)
        about = About(f"clones/{clone.clone_id}", reason=error.code)
        self._ground.events.publish(EventType.CLONE_FAILED, error.message, about, pid=pid)
        async with self._changing:
            current = self._clones.get(clone.clone_id)
            if current is None or current.state is not CloneState.READY:
                return
            failed = replace(
                current, state=CloneState.FAILED, error=error.to_json(), log_tail=log_tail
            )
            try:
                await self._record(failed)
            except PerdureError:
                self._keep(failed)  # found anew by the next start

    async def stop(self) -> None:
        """Leave the clones serving; what is being ended the next start goes on with."""
        tasks = list(self._ends.values())
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _check_lease(lease_seconds: float | None) -> None:
    if lease_seconds is not None and not 0 < lease_seconds <= LEASE_SECONDS_MAX:
        raise InvalidArgumentError(
            f"a lease of {lease_seconds:g} s cannot be",
            hint="Take a span above zero and below ten years, such as 2h; or none.",
            context={"field": "lease"},
        )


def _check_etag(clone: Clone, etag: str | None) -> None:
    if etag not in {None, clone.etag}:
        raise RevisionMismatchError(
            f"clone {clone.clone_id} changed since its etag was {etag}",
            hint="Read the clone again and repeat the change on it.",
            context={"clone_id": clone.clone_id, "etag": clone.etag},
        )


def _busy(clone: Clone) -> CloneBusyError:
    is_making = clone.state is CloneState.CREATING
    hint = "It will be gone soon."
    if is_making:
        hint = (
            f"Wait for the operation that makes it, or: perdure operation cancel "
            f"{clone.operation_id}"
        )
    return CloneBusyError(
        f"clone {clone.clone_id} is being {'made' if is_making else 'deleted'}",
        hint=hint,
        is_retryable=is_making,
        context={"clone_id": clone.clone_id, "operation_id": clone.operation_id or ""},
    )
