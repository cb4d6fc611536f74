"""google.longrunning.Operations over the operation use cases."""

from __future__ import annotations

from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as lro
from google.protobuf.empty_pb2 import Empty

from sidecar.rpc.failures import Context
from sidecar.rpc.fields import Collection, read_name, read_page, read_seconds, refuse
from sidecar.rpc.filters import read_operation_filter
from sidecar.rpc.operation_messages import encode_operation
from sidecar.usecases import OperationUseCases, SnapshotUseCases

# One wait. A client that wants longer asks again; so no call outlives a drain by much.
WAIT_SECONDS_MAX = 30.0


class OperationsService(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]  # untyped
    """Look at, wait for, cancel and forget operations."""

    def __init__(self, operations: OperationUseCases, snapshots: SnapshotUseCases) -> None:
        self._operations = operations
        self._snapshots = snapshots

    async def GetOperation(  # noqa: N802  # the wire's name
        self, request: lro.GetOperationRequest, context: Context
    ) -> lro.Operation:
        """Answer one operation as it stands."""
        del context
        operation = self._operations.get(read_name(Collection.OPERATIONS, request.name))
        return encode_operation(operation, self._snapshots)

    async def ListOperations(  # noqa: N802  # the wire's name
        self, request: lro.ListOperationsRequest, context: Context
    ) -> lro.ListOperationsResponse:
        """Answer one page of operations, newest first."""
        del context
        if request.name not in ("", Collection.OPERATIONS.value):
            raise refuse("name", "name is not the collection", "give operations, or leave it out")
        wanted = read_operation_filter(request.filter)
        asked = read_page(request.page_size, request.page_token, "operations", request.filter)
        page = self._operations.list(asked, wanted)
        return lro.ListOperationsResponse(
            operations=[encode_operation(item, self._snapshots) for item in page.items],
            next_page_token=page.next_page_token,
        )

    async def CancelOperation(  # noqa: N802  # the wire's name
        self, request: lro.CancelOperationRequest, context: Context
    ) -> Empty:
        """Ask an operation to stop."""
        del context
        await self._operations.cancel(read_name(Collection.OPERATIONS, request.name))
        return Empty()

    async def DeleteOperation(  # noqa: N802  # the wire's name
        self, request: lro.DeleteOperationRequest, context: Context
    ) -> Empty:
        """Forget an ended operation."""
        del context
        await self._operations.delete(read_name(Collection.OPERATIONS, request.name))
        return Empty()

    async def WaitOperation(  # noqa: N802  # the wire's name
        self, request: lro.WaitOperationRequest, context: Context
    ) -> lro.Operation:
        """Answer an operation when it has ended, or as it stands when the time is over."""
        del context
        seconds = WAIT_SECONDS_MAX
        if request.HasField("timeout"):
            seconds = min(read_seconds(request.timeout, "timeout"), WAIT_SECONDS_MAX)
        operation = await self._operations.wait(
            read_name(Collection.OPERATIONS, request.name), seconds
        )
        return encode_operation(operation, self._snapshots)
