"""The backend use cases: what is known of each, and the conformance suite as an operation."""

from __future__ import annotations

from backends.contract import run_contract
from sidecar.ground import Ground
from sidecar.model import (
    BackendCheck,
    BackendReport,
    BackendStatus,
    CopyState,
    JsonObject,
    Operation,
    OperationKind,
    Page,
    Phase,
)
from sidecar.operations import OperationHandle, OperationStart
from sidecar.paging import ListRequest, paginate
from sidecar.records import encode_backend_report
from sidecar.storage import Storage
from sidecar.usecases import BackendFilter


class Backends:
    """Backends as callers see them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def list(
        self, request: ListRequest, filter_: BackendFilter | None = None
    ) -> Page[BackendStatus]:
        """Return what is known; no backend is called."""
        found = [self._status(storage) for storage in self._ground.storages]
        if filter_ is not None:
            found = [status for status in found if _matches(status, filter_)]
        return paginate(found, request)

    def _status(self, storage: Storage) -> BackendStatus:
        copies = [
            copy
            for copy in self._ground.catalogue.copies(storage.name)
            if copy.state is not CopyState.DELETING
        ]
        return BackendStatus(
            name=storage.name,
            type=storage.type,
            location=storage.location,
            is_up=storage.figures.is_up,
            last_operation_at=storage.figures.last_operation_at,
            last_error=storage.figures.last_error,
            snapshots=len(copies),
            stored_size_bytes=sum(copy.manifest.stored_size_bytes for copy in copies),
            pending_snapshots=storage.figures.pending_snapshots,
            next_retry_at=storage.figures.ship_retry_at,
        )

    async def check(self, backend: str, request_id: str | None = None) -> Operation:
        """Run the conformance suite; result is `records.encode_backend_report`."""
        start = OperationStart(
            OperationKind.BACKEND_CHECK, f"backends/{backend}", {"backend": backend}, request_id
        )
        if (repeat := self._ground.operations.repeat_of(start)) is not None:
            return repeat
        storage = self._ground.storages[backend]

        async def work(handle: OperationHandle) -> JsonObject:
            handle.phase(Phase.CHECK)
            limit = storage.options.transfer_timeout_seconds
            results = await storage.run("check", run_contract, timeout_seconds=limit)
            checks = tuple(
                BackendCheck(r.id, r.outcome.value, r.detail, r.duration_seconds) for r in results
            )
            return encode_backend_report(BackendReport(backend, checks))

        return self._ground.operations.start(start, work)


def _matches(status: BackendStatus, filter_: BackendFilter) -> bool:
    return filter_.type in {None, status.type} and (
        filter_.states is None or status.is_up in filter_.states
    )
