"""The snapshot use cases: create, get, list, delete; verify is handed to `sidecar.verify`.

What the catalogue knows is answered without calling a backend. Deleting puts a tombstone on every
copy; the bytes go later, in `sidecar.rotation`. No pipeline step lives here.
"""

from __future__ import annotations

import asyncio

from sidecar.batches import Batches
from sidecar.errors import ConflictError, SnapshotProtectedError
from sidecar.ground import Ground
from sidecar.layout import other_snapshot_id
from sidecar.model import (
    Compression,
    CopyState,
    JsonObject,
    Operation,
    OperationKind,
    Page,
    Snapshot,
    Trigger,
)
from sidecar.operations import OperationStart
from sidecar.paging import ListRequest, paginate
from sidecar.requests import Requests
from sidecar.rotation import Rotation
from sidecar.spool import CutTarget
from sidecar.usecases import CreateSnapshot, SnapshotFilter
from sidecar.verify import Verifier


class Snapshots:
    """Snapshots as callers see them."""

    def __init__(
        self,
        ground: Ground,
        batches: Batches,
        verifier: Verifier,
        rotation: Rotation,
        default_compression: Compression,
    ) -> None:
        self._ground = ground
        self._batches = batches
        self._verifier = verifier
        self._rotation = rotation
        self._requests = Requests(ground.catalogue, ground.clock)
        self._default_compression = default_compression

    async def create(self, request: CreateSnapshot, request_id: str | None = None) -> Operation:
        """Cut, verify and store; result {"snapshot_id"}."""
        snapshot_id = other_snapshot_id("manual", self._ground.clock.now())
        payload: JsonObject = {
            "backends": sorted(request.backends),
            "compression": request.compression,
        }
        start = OperationStart(
            OperationKind.SNAPSHOT_CREATE, f"snapshots/{snapshot_id}", payload, request_id
        )
        if (repeat := self._ground.operations.repeat_of(start)) is not None:
            return repeat
        storages = self._ground.storages.select(request.backends)
        _ = self._ground.identity.layout
        target = CutTarget(
            snapshot_id,
            Trigger.MANUAL,
            tuple(storage.name for storage in storages),
            request.compression or self._default_compression,
        )
        return self._batches.launch([(start, target)])[0]

    def get(self, snapshot_id: str) -> Snapshot:
        """Return one, a tombstoned one too."""
        return self._ground.catalogue.get_snapshot(snapshot_id)

    def list(self, request: ListRequest, filter_: SnapshotFilter) -> Page[Snapshot]:
        """Return a page, newest first."""
        found = [s for s in self._ground.catalogue.snapshots() if _matches(s, filter_)]
        found.sort(key=lambda s: (s.manifest.cut_at, s.snapshot_id), reverse=True)
        return paginate(found, request)

    async def verify(
        self, snapshot_id: str, backend: str | None = None, request_id: str | None = None
    ) -> Operation:
        """Read stored copies back; result {"snapshot_id"}, SnapshotDamagedError when damaged."""
        return self._verifier.start(snapshot_id, backend, request_id)

    async def delete(self, snapshot_id: str, request_id: str | None = None) -> Snapshot:
        """Put a tombstone on every copy; deleting twice answers it unchanged."""

        async def work() -> JsonObject:
            await self._delete(snapshot_id)
            return self._ground.catalogue.keep_snapshot(snapshot_id)

        payload: JsonObject = {"snapshot_id": snapshot_id}
        kept = await self._requests.once(
            "snapshot.delete", request_id, payload, work, target=snapshot_id
        )
        return self._ground.catalogue.kept_snapshot(snapshot_id, kept)

    async def _delete(self, snapshot_id: str) -> None:
        snapshot = self.get(snapshot_id)
        if snapshot.is_held:
            raise SnapshotProtectedError(
                f"a hold keeps snapshot {snapshot_id}",
                hint="Release the hold first.",
                context={"snapshot_id": snapshot_id},
            )
        reader = self._busy_operation(snapshot_id)
        if reader is not None:
            raise ConflictError(
                f"operation {reader.operation_id} works with snapshot {snapshot_id}",
                code="SNAPSHOT_IN_USE",
                hint="Wait for the operation to end, or cancel it.",
                is_retryable=True,
                context={"snapshot_id": snapshot_id, "operation_id": reader.operation_id},
            )
        # First what waits: after a kill here no backend brings back what is deleted on the others.
        await self._batches.delete(snapshot_id)
        burials = [
            self._rotation.bury(copy, "asked for")
            for copy in self.get(snapshot_id).copies
            if copy.state is not CopyState.DELETING
        ]
        # A backend that hangs or refuses keeps no other copy from its tombstone.
        for failure in await asyncio.gather(*burials, return_exceptions=True):
            if isinstance(failure, BaseException):
                raise failure

    def _busy_operation(self, snapshot_id: str) -> Operation | None:
        page = self._ground.operations.list(ListRequest(1000), only_running=True)
        target = f"snapshots/{snapshot_id}"
        return next((operation for operation in page.items if operation.target == target), None)


def _matches(snapshot: Snapshot, filter_: SnapshotFilter) -> bool:
    manifest = snapshot.manifest
    return (
        (filter_.show_deleted or snapshot.state is not CopyState.DELETING)
        and filter_.schedule in {None, manifest.schedule}
        and filter_.trigger in {None, manifest.trigger}
        and filter_.state in {None, snapshot.state}
        and (filter_.backend is None or any(c.backend == filter_.backend for c in snapshot.copies))
        and (filter_.cut_from is None or manifest.cut_at >= filter_.cut_from)
        and (filter_.cut_before is None or manifest.cut_at < filter_.cut_before)
    )
