"""BackendService over the backend use cases."""

from __future__ import annotations

from google.longrunning import operations_proto_pb2 as lro

from perdure.control.v1 import backend_service_pb2, backend_service_pb2_grpc
from sidecar.rpc.failures import Context
from sidecar.rpc.fields import Collection, read_name, read_page, read_request_id
from sidecar.rpc.filters import read_backend_filter
from sidecar.rpc.operation_messages import encode_operation
from sidecar.rpc.status_messages import encode_backend
from sidecar.usecases import BackendUseCases, SnapshotUseCases


class BackendService(backend_service_pb2_grpc.BackendServiceServicer):
    """Show the backends and check them."""

    def __init__(self, backends: BackendUseCases, snapshots: SnapshotUseCases) -> None:
        self._backends = backends
        self._snapshots = snapshots

    async def ListBackends(  # noqa: N802  # the wire's name
        self, request: backend_service_pb2.ListBackendsRequest, context: Context
    ) -> backend_service_pb2.ListBackendsResponse:
        """Answer one page of backends, by name."""
        del context
        wanted = read_backend_filter(request.filter)
        asked = read_page(request.page_size, request.page_token, "backends", request.filter)
        page = self._backends.list(asked, wanted)
        return backend_service_pb2.ListBackendsResponse(
            backends=map(encode_backend, page.items), next_page_token=page.next_page_token
        )

    async def CheckBackend(  # noqa: N802  # the wire's name
        self, request: backend_service_pb2.CheckBackendRequest, context: Context
    ) -> lro.Operation:
        """Start the conformance suite."""
        del context
        operation = await self._backends.check(
            read_name(Collection.BACKENDS, request.name), read_request_id(request.request_id)
        )
        return encode_operation(operation, self._snapshots)
