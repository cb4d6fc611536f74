"""CloneService over the clone use cases."""

from __future__ import annotations

from google.longrunning import operations_proto_pb2 as lro

from perdure.control.v1 import clone_pb2, clone_service_pb2, clone_service_pb2_grpc
from sidecar.rpc.clone_messages import encode_clone, read_clone_filter
from sidecar.rpc.failures import Context
from sidecar.rpc.fields import (
    Collection,
    read_name,
    read_optional_name,
    read_page,
    read_request_id,
    read_seconds,
    refuse,
)
from sidecar.rpc.operation_messages import encode_operation
from sidecar.usecases import CloneUseCases, CreateClone, SnapshotUseCases


class CloneService(clone_service_pb2_grpc.CloneServiceServicer):
    """Make, look at, prolong and end clones."""

    def __init__(self, clones: CloneUseCases, snapshots: SnapshotUseCases) -> None:
        self._clones = clones
        self._snapshots = snapshots

    async def CreateClone(  # noqa: N802  # the wire's name
        self, request: clone_service_pb2.CreateCloneRequest, context: Context
    ) -> lro.Operation:
        """Start making a clone."""
        del context
        backend = read_optional_name(Collection.BACKENDS, request.backend, "backend")
        if request.live and backend is not None:
            raise refuse("backend", "the live data is on no backend", "leave backend out")
        lease = read_seconds(request.lease, "lease") if request.HasField("lease") else None
        wanted = CreateClone(
            snapshot_id=read_optional_name(Collection.SNAPSHOTS, request.snapshot, "snapshot"),
            backend=backend,
            is_live=request.live,
            lease_seconds=lease,
        )
        operation = await self._clones.create(wanted, read_request_id(request.request_id))
        return encode_operation(operation, self._snapshots)

    async def GetClone(  # noqa: N802  # the wire's name
        self, request: clone_service_pb2.GetCloneRequest, context: Context
    ) -> clone_pb2.Clone:
        """Answer one clone."""
        del context
        clone_id = read_name(Collection.CLONES, request.name)
        return encode_clone(self._clones.get(clone_id), self._clones.folder_of(clone_id))

    async def ListClones(  # noqa: N802  # the wire's name
        self, request: clone_service_pb2.ListClonesRequest, context: Context
    ) -> clone_service_pb2.ListClonesResponse:
        """Answer one page of clones, newest first."""
        del context
        wanted = read_clone_filter(request.filter)
        asked = read_page(request.page_size, request.page_token, "clones", request.filter)
        page = self._clones.list(asked, wanted)
        return clone_service_pb2.ListClonesResponse(
            clones=[
                encode_clone(clone, self._clones.folder_of(clone.clone_id)) for clone in page.items
            ],
            next_page_token=page.next_page_token,
        )

    async def RenewClone(  # noqa: N802  # the wire's name
        self, request: clone_service_pb2.RenewCloneRequest, context: Context
    ) -> clone_pb2.Clone:
        """Give a clone a new lease."""
        del context
        if not request.HasField("lease"):
            raise refuse("lease", "lease is missing", "say how long from now on, such as 7200s")
        clone_id = read_name(Collection.CLONES, request.name)
        clone = await self._clones.renew(
            clone_id,
            read_seconds(request.lease, "lease"),
            request.etag or None,
            read_request_id(request.request_id),
        )
        return encode_clone(clone, self._clones.folder_of(clone_id))

    async def DeleteClone(  # noqa: N802  # the wire's name
        self, request: clone_service_pb2.DeleteCloneRequest, context: Context
    ) -> lro.Operation:
        """Start ending a clone."""
        del context
        operation = await self._clones.delete(
            read_name(Collection.CLONES, request.name),
            request.etag or None,
            read_request_id(request.request_id),
        )
        return encode_operation(operation, self._snapshots)
