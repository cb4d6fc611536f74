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


class Backends:
    """Backends as callers see them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def list(self, request: ListRequest) -> Page[BackendStatus]:
        """Return what is known; no backend is called."""
        return paginate([self._status(storage) for storage in self._ground.storages], request)

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
        )

    async def check(self, backend: str, request_id: str | None = None) -> Operation:
        """Run the conformance suite; result is `records.encode_backend_report`."""
        storage = self._ground.storages[backend]
        start = OperationStart(
            OperationKind.BACKEND_CHECK, f"backends/{backend}", {"backend": backend}, request_id
        )

        async def work(handle: OperationHandle) -> JsonObject:
            handle.phase(Phase.CHECK)
            limit = storage.options.transfer_timeout_seconds
            results = await storage.run("check", run_contract, timeout_seconds=limit)
            checks = tuple(
                BackendCheck(r.id, r.outcome.value, r.detail, r.duration_seconds) for r in results
            )
            return encode_backend_report(BackendReport(backend, checks))

        return self._ground.operations.start(start, work)
