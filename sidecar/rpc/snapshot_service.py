"""SnapshotService over the snapshot use cases."""

from __future__ import annotations

from collections.abc import AsyncIterator

from google.longrunning import operations_proto_pb2 as lro

from perdure.control.v1 import (
    snapshot_pb2,
    snapshot_service_pb2,
    snapshot_service_pb2_grpc,
    transfer_pb2,
)
from sidecar.rpc.failures import Context
from sidecar.rpc.fields import (
    Collection,
    read_name,
    read_optional_name,
    read_page,
    read_request_id,
)
from sidecar.rpc.filters import read_snapshot_filter
from sidecar.rpc.operation_messages import encode_operation
from sidecar.rpc.schedule_messages import read_compression
from sidecar.rpc.snapshot_messages import encode_snapshot
from sidecar.rpc.transfer_streams import (
    heed_silence,
    read_import,
    read_import_chunks,
    stream_download,
)
from sidecar.usecases import CreateSnapshot, SnapshotUseCases, TransferUseCases


class SnapshotService(snapshot_service_pb2_grpc.SnapshotServiceServicer):
    """Take, look at, verify, delete, download and import snapshots."""

    def __init__(self, snapshots: SnapshotUseCases, transfers: TransferUseCases) -> None:
        self._snapshots = snapshots
        self._transfers = transfers

    async def CreateSnapshot(  # noqa: N802  # the wire's name
        self, request: snapshot_service_pb2.CreateSnapshotRequest, context: Context
    ) -> lro.Operation:
        """Start a snapshot of the live data."""
        del context
        wanted = CreateSnapshot(
            backends=tuple(
                read_name(Collection.BACKENDS, name, "backends") for name in request.backends
            ),
            compression=read_compression(request.compression, "compression"),
        )
        operation = await self._snapshots.create(wanted, read_request_id(request.request_id))
        return encode_operation(operation, self._snapshots)

    async def GetSnapshot(  # noqa: N802  # the wire's name
        self, request: snapshot_service_pb2.GetSnapshotRequest, context: Context
    ) -> snapshot_pb2.Snapshot:
        """Answer one snapshot."""
        del context
        return encode_snapshot(self._snapshots.get(read_name(Collection.SNAPSHOTS, request.name)))

    async def ListSnapshots(  # noqa: N802  # the wire's name
        self, request: snapshot_service_pb2.ListSnapshotsRequest, context: Context
    ) -> snapshot_service_pb2.ListSnapshotsResponse:
        """Answer one page of snapshots, newest first."""
        del context
        wanted = read_snapshot_filter(request.filter, show_deleted=request.show_deleted)
        narrowed = (request.filter, request.show_deleted)
        asked = read_page(request.page_size, request.page_token, "snapshots", *narrowed)
        page = self._snapshots.list(asked, wanted)
        return snapshot_service_pb2.ListSnapshotsResponse(
            snapshots=map(encode_snapshot, page.items), next_page_token=page.next_page_token
        )

    async def VerifySnapshot(  # noqa: N802  # the wire's name
        self, request: snapshot_service_pb2.VerifySnapshotRequest, context: Context
    ) -> lro.Operation:
        """Start reading a stored snapshot back."""
        del context
        operation = await self._snapshots.verify(
            read_name(Collection.SNAPSHOTS, request.name),
            read_optional_name(Collection.BACKENDS, request.backend, "backend"),
            read_request_id(request.request_id),
        )
        return encode_operation(operation, self._snapshots)

    async def DeleteSnapshot(  # noqa: N802  # the wire's name
        self, request: snapshot_service_pb2.DeleteSnapshotRequest, context: Context
    ) -> snapshot_pb2.Snapshot:
        """Put a tombstone on every copy."""
        del context
        deleted = await self._snapshots.delete(
            read_name(Collection.SNAPSHOTS, request.name), read_request_id(request.request_id)
        )
        return encode_snapshot(deleted)

    async def DownloadSnapshot(  # noqa: N802  # the wire's name
        self, request: transfer_pb2.DownloadSnapshotRequest, context: Context
    ) -> AsyncIterator[transfer_pb2.DownloadSnapshotResponse]:
        """Send a payload in chunks."""
        del context
        async for message in heed_silence(stream_download(self._transfers, request)):
            yield message

    async def ImportSnapshot(  # noqa: N802  # the wire's name
        self,
        request_iterator: AsyncIterator[transfer_pb2.ImportSnapshotRequest],
        context: Context,
    ) -> lro.Operation:
        """Receive a file and start making a snapshot of it."""
        del context
        messages = aiter(request_iterator)
        wanted, request_id = read_import(await anext(messages, None))
        operation = await self._transfers.import_file(
            wanted, read_import_chunks(messages), read_request_id(request_id)
        )
        return encode_operation(operation, self._snapshots)
