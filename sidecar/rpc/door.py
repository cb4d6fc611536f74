"""The control door itself: a grpc.aio server with the services, health, reflection and its limits.

Health is SERVING once the engine is ready, per service and for the whole (""); a drain turns it
NOT_SERVING for good before calls are refused.
"""

from __future__ import annotations

import grpc.aio
from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as lro
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from perdure.control.v1 import (
    backend_service_pb2,
    backend_service_pb2_grpc,
    clone_service_pb2,
    clone_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    schedule_service_pb2,
    schedule_service_pb2_grpc,
    server_service_pb2,
    server_service_pb2_grpc,
    snapshot_service_pb2,
    snapshot_service_pb2_grpc,
)
from sidecar.engine_port import EnginePort
from sidecar.rpc.audit_interceptor import AuditInterceptor
from sidecar.rpc.backend_service import BackendService
from sidecar.rpc.clone_service import CloneService
from sidecar.rpc.event_service import EventService
from sidecar.rpc.failures import ErrorInterceptor
from sidecar.rpc.operations_service import OperationsService
from sidecar.rpc.schedule_service import ScheduleService
from sidecar.rpc.server_service import ServerService, ServerView
from sidecar.rpc.snapshot_service import SnapshotService
from sidecar.usecases import ControlPlane

REQUEST_BYTES_MAX = 1024 * 1024
# A page of 1000 snapshots is about a megabyte; the answer's bound leaves room for many databases.
ANSWER_BYTES_MAX = 16 * 1024 * 1024
CALLS_MAX = 256
STREAMS_MAX = 128

SERVICES = (
    snapshot_service_pb2.DESCRIPTOR.services_by_name["SnapshotService"].full_name,
    schedule_service_pb2.DESCRIPTOR.services_by_name["ScheduleService"].full_name,
    server_service_pb2.DESCRIPTOR.services_by_name["ServerService"].full_name,
    backend_service_pb2.DESCRIPTOR.services_by_name["BackendService"].full_name,
    event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name,
    clone_service_pb2.DESCRIPTOR.services_by_name["CloneService"].full_name,
    lro.DESCRIPTOR.services_by_name["Operations"].full_name,
)
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_Status = health_pb2.HealthCheckResponse


class ControlDoor:
    """The grpc.aio server of the control plane."""

    def __init__(self, auditor: AuditInterceptor | None = None) -> None:
        """Make the server. It must be made in the loop that serves it."""
        self._server = grpc.aio.server(
            interceptors=[ErrorInterceptor(), *([auditor] if auditor else [])],
            maximum_concurrent_rpcs=CALLS_MAX,
            options=[
                ("grpc.max_receive_message_length", REQUEST_BYTES_MAX),
                ("grpc.max_send_message_length", ANSWER_BYTES_MAX),
                ("grpc.max_concurrent_streams", STREAMS_MAX),
                # Two servers on one port would share its calls in silence.
                ("grpc.so_reuseport", 0),
            ],
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*SERVICES, _HEALTH, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    def bind(self, address: str) -> int:
        """Take `host:port` and return the port in use (0 takes a free one).

        Raises:
            RuntimeError: the address cannot be bound.
        """
        return self._server.add_insecure_port(address)

    def add_services(self, plane: ControlPlane, engine: EnginePort, view: ServerView) -> None:
        """Register every service; before `start`."""
        server, snapshots = self._server, plane.snapshots
        snapshot_service_pb2_grpc.add_SnapshotServiceServicer_to_server(
            SnapshotService(snapshots, plane.transfers), server
        )
        schedule_service_pb2_grpc.add_ScheduleServiceServicer_to_server(
            ScheduleService(plane.schedules, snapshots), server
        )
        server_service_pb2_grpc.add_ServerServiceServicer_to_server(
            ServerService(plane, engine, view), server
        )
        backend_service_pb2_grpc.add_BackendServiceServicer_to_server(
            BackendService(plane.backends, snapshots), server
        )
        event_service_pb2_grpc.add_EventServiceServicer_to_server(
            EventService(view.events, view.clock), server
        )
        clone_service_pb2_grpc.add_CloneServiceServicer_to_server(
            CloneService(plane.clones, snapshots), server
        )
        operations_pb2_grpc.add_OperationsServicer_to_server(
            OperationsService(plane.operations, snapshots), server
        )

    async def start(self) -> None:
        """Begin to answer; health says NOT_SERVING until `set_serving`."""
        await self.set_serving(is_serving=False)
        await self._server.start()

    async def set_serving(self, *, is_serving: bool) -> None:
        """Say on the health service whether calls will be served."""
        status = _Status.SERVING if is_serving else _Status.NOT_SERVING
        for service in ("", *SERVICES):
            await self._health.set(service, status)

    async def drain(self) -> None:
        """Say NOT_SERVING for good; calls are still answered."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, give those in flight some time, then end them."""
        await self._server.stop(grace_seconds)
