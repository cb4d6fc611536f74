"""What a client can ask of a server, one function a verb, written once for sync and asyncio.

Each returns a `Call` for `Client.run` or `AsyncClient.run`. Nothing here knows sockets or retries
(`perdure.steps`) or prints (`perdure.cli`). Names are taken with or without their collection.
Mutations send a fresh request_id, so that a repeat after a lost answer is the same request.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from google.longrunning import operations_proto_pb2 as lro
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from perdure.control.v1 import (
    backend_pb2,
    backend_service_pb2,
    compression_pb2,
    operation_metadata_pb2,
    restore_pb2,
    schedule_pb2,
    schedule_service_pb2,
    server_pb2,
    server_service_pb2,
    snapshot_pb2,
    snapshot_service_pb2,
)
from perdure.errors import PerdureError, error_from_status
from perdure.names import Collection, full_name
from perdure.steps import Call, Rpc, ask

_PACKAGE = "/perdure.control.v1."
_OPERATIONS = "/google.longrunning.Operations/"
PAGE_SIZE = 500
# One long poll. Short, so that a progress bar moves; the server answers early at the end.
WAIT_SECONDS = 0.5

Operation: TypeAlias = lro.Operation
Metadata: TypeAlias = operation_metadata_pb2.OperationMetadata
ProgressSink: TypeAlias = Callable[[Operation], None]


def new_request_id() -> str:
    """Return a request_id that nobody used before."""
    return str(uuid.uuid4())


# --- snapshots -----------------------------------------------------------------------------------


def create_snapshot(
    backends: Sequence[str] = (),
    compression: compression_pb2.Compression.ValueType = compression_pb2.COMPRESSION_UNSPECIFIED,
) -> Call[Operation]:
    """Take a snapshot now; no backend named means all of them."""
    rpc = Rpc(f"{_PACKAGE}SnapshotService/CreateSnapshot", Operation)
    request = snapshot_service_pb2.CreateSnapshotRequest(
        backends=[full_name(Collection.BACKENDS, name) for name in backends],
        compression=compression,
        request_id=new_request_id(),
    )
    return ask(rpc, request)


def get_snapshot(snapshot: str) -> Call[snapshot_pb2.Snapshot]:
    """Return one snapshot."""
    rpc = Rpc(f"{_PACKAGE}SnapshotService/GetSnapshot", snapshot_pb2.Snapshot)
    name = full_name(Collection.SNAPSHOTS, snapshot)
    return ask(rpc, snapshot_service_pb2.GetSnapshotRequest(name=name))


def list_snapshots(
    filter_text: str = "", *, show_deleted: bool = False
) -> Call[list[snapshot_pb2.Snapshot]]:
    """Return all snapshots that pass the filter, newest first."""
    rpc = Rpc(
        f"{_PACKAGE}SnapshotService/ListSnapshots", snapshot_service_pb2.ListSnapshotsResponse
    )
    found: list[snapshot_pb2.Snapshot] = []
    request = snapshot_service_pb2.ListSnapshotsRequest(
        page_size=PAGE_SIZE, filter=filter_text, show_deleted=show_deleted
    )
    while True:
        page = yield from ask(rpc, request)
        found += page.snapshots
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def verify_snapshot(snapshot: str, backend: str = "") -> Call[Operation]:
    """Read a snapshot back from one backend, or from all that have it."""
    rpc = Rpc(f"{_PACKAGE}SnapshotService/VerifySnapshot", Operation)
    request = snapshot_service_pb2.VerifySnapshotRequest(
        name=full_name(Collection.SNAPSHOTS, snapshot),
        backend=full_name(Collection.BACKENDS, backend) if backend else "",
        request_id=new_request_id(),
    )
    return ask(rpc, request)


def delete_snapshot(snapshot: str) -> Call[snapshot_pb2.Snapshot]:
    """Put a tombstone on every copy; the bytes go when the grace is over."""
    rpc = Rpc(f"{_PACKAGE}SnapshotService/DeleteSnapshot", snapshot_pb2.Snapshot)
    name = full_name(Collection.SNAPSHOTS, snapshot)
    return ask(
        rpc, snapshot_service_pb2.DeleteSnapshotRequest(name=name, request_id=new_request_id())
    )


# --- schedules -----------------------------------------------------------------------------------


def create_schedule(
    schedule_id: str, schedule: schedule_pb2.Schedule
) -> Call[schedule_pb2.Schedule]:
    """Make a schedule."""
    rpc = Rpc(f"{_PACKAGE}ScheduleService/CreateSchedule", schedule_pb2.Schedule)
    request = schedule_service_pb2.CreateScheduleRequest(
        schedule_id=schedule_id.removeprefix(f"{Collection.SCHEDULES}/"),
        schedule=schedule,
        request_id=new_request_id(),
    )
    return ask(rpc, request)


def get_schedule(schedule: str) -> Call[schedule_pb2.Schedule]:
    """Return one schedule."""
    rpc = Rpc(f"{_PACKAGE}ScheduleService/GetSchedule", schedule_pb2.Schedule)
    name = full_name(Collection.SCHEDULES, schedule)
    return ask(rpc, schedule_service_pb2.GetScheduleRequest(name=name))


def list_schedules(filter_text: str = "") -> Call[list[schedule_pb2.Schedule]]:
    """Return all schedules that pass the filter, by name."""
    rpc = Rpc(
        f"{_PACKAGE}ScheduleService/ListSchedules", schedule_service_pb2.ListSchedulesResponse
    )
    found: list[schedule_pb2.Schedule] = []
    request = schedule_service_pb2.ListSchedulesRequest(page_size=PAGE_SIZE, filter=filter_text)
    while True:
        page = yield from ask(rpc, request)
        found += page.schedules
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def update_schedule(
    schedule: schedule_pb2.Schedule, fields: Sequence[str]
) -> Call[schedule_pb2.Schedule]:
    """Change the named fields of the schedule that `schedule.name` names."""
    rpc = Rpc(f"{_PACKAGE}ScheduleService/UpdateSchedule", schedule_pb2.Schedule)
    request = schedule_service_pb2.UpdateScheduleRequest(
        schedule=schedule, update_mask=FieldMask(paths=fields), request_id=new_request_id()
    )
    return ask(rpc, request)


def delete_schedule(schedule: str, etag: str = "") -> Call[Empty]:
    """Remove a schedule, if it still has the etag; its snapshots stay."""
    rpc = Rpc(f"{_PACKAGE}ScheduleService/DeleteSchedule", Empty)
    name = full_name(Collection.SCHEDULES, schedule)
    return ask(
        rpc,
        schedule_service_pb2.DeleteScheduleRequest(
            name=name, etag=etag, request_id=new_request_id()
        ),
    )


def run_schedule(schedule: str) -> Call[Operation]:
    """Take the schedule's snapshot now."""
    rpc = Rpc(f"{_PACKAGE}ScheduleService/RunSchedule", Operation)
    name = full_name(Collection.SCHEDULES, schedule)
    return ask(rpc, schedule_service_pb2.RunScheduleRequest(name=name, request_id=new_request_id()))


# --- server --------------------------------------------------------------------------------------


def get_server_status() -> Call[server_pb2.ServerStatus]:
    """Return one look at the server."""
    rpc = Rpc(f"{_PACKAGE}ServerService/GetServerStatus", server_pb2.ServerStatus)
    return ask(rpc, server_service_pb2.GetServerStatusRequest())


def restore_snapshot(
    snapshot: str, backend: str = "", *, validate_only: bool = False
) -> Call[Operation]:
    """Replace the live data with a snapshot's; `validate_only` makes the plan and stops there."""
    rpc = Rpc(f"{_PACKAGE}ServerService/RestoreSnapshot", Operation)
    request = server_service_pb2.RestoreSnapshotRequest(
        name=full_name(Collection.SNAPSHOTS, snapshot),
        backend=full_name(Collection.BACKENDS, backend) if backend else "",
        validate_only=validate_only,
        request_id=new_request_id(),
    )
    return ask(rpc, request)


def get_config(pattern: str = "") -> Call[server_pb2.Config]:
    """Return the effective configuration, or what matches the glob."""
    rpc = Rpc(f"{_PACKAGE}ServerService/GetConfig", server_pb2.Config)
    return ask(rpc, server_service_pb2.GetConfigRequest(pattern=pattern))


def update_config(directives: Mapping[str, str], etag: str = "") -> Call[server_pb2.Config]:
    """Set directives, all or none; with an etag only if no directive has changed since."""
    rpc = Rpc(f"{_PACKAGE}ServerService/UpdateConfig", server_pb2.Config)
    request = server_service_pb2.UpdateConfigRequest(
        directives=directives, request_id=new_request_id(), etag=etag
    )
    return ask(rpc, request)


# --- backends ------------------------------------------------------------------------------------


def list_backends(filter_text: str = "") -> Call[list[backend_pb2.Backend]]:
    """Return the configured backends that pass the filter, by name."""
    rpc = Rpc(f"{_PACKAGE}BackendService/ListBackends", backend_service_pb2.ListBackendsResponse)
    found: list[backend_pb2.Backend] = []
    request = backend_service_pb2.ListBackendsRequest(page_size=PAGE_SIZE, filter=filter_text)
    while True:
        page = yield from ask(rpc, request)
        found += page.backends
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def check_backend(backend: str) -> Call[Operation]:
    """Run the conformance suite against a backend."""
    rpc = Rpc(f"{_PACKAGE}BackendService/CheckBackend", Operation)
    name = full_name(Collection.BACKENDS, backend)
    return ask(rpc, backend_service_pb2.CheckBackendRequest(name=name, request_id=new_request_id()))


# --- operations ----------------------------------------------------------------------------------


def get_operation(operation: str) -> Call[Operation]:
    """Return one operation as it stands."""
    rpc = Rpc(f"{_OPERATIONS}GetOperation", Operation)
    name = full_name(Collection.OPERATIONS, operation)
    return ask(rpc, lro.GetOperationRequest(name=name))


def list_operations(filter_text: str = "") -> Call[list[Operation]]:
    """Return the operations that pass the filter, newest first."""
    rpc = Rpc(f"{_OPERATIONS}ListOperations", lro.ListOperationsResponse)
    found: list[Operation] = []
    request = lro.ListOperationsRequest(
        name=Collection.OPERATIONS.value, page_size=PAGE_SIZE, filter=filter_text
    )
    while True:
        page = yield from ask(rpc, request)
        found += page.operations
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def cancel_operation(operation: str) -> Call[Empty]:
    """Ask an operation to stop; it may still end well."""
    rpc = Rpc(f"{_OPERATIONS}CancelOperation", Empty)
    name = full_name(Collection.OPERATIONS, operation)
    return ask(rpc, lro.CancelOperationRequest(name=name))


def wait_operation(
    operation: Operation, on_progress: ProgressSink | None = None
) -> Call[Operation]:
    """Wait until an operation has ended, however it did, and return it.

    A server that restarts meanwhile is waited for as far as the retries reach. `on_progress` sees
    every state that is fetched, the last one too.
    """
    rpc = Rpc(f"{_OPERATIONS}WaitOperation", Operation)
    request = lro.WaitOperationRequest(
        name=operation.name, timeout=Duration(nanos=int(WAIT_SECONDS * 1e9))
    )
    while True:
        if on_progress is not None:
            on_progress(operation)
        if operation.done:
            return operation
        operation = yield from ask(rpc, request)


def result_of(operation: Operation) -> Operation:
    """Return an ended operation that succeeded.

    Raises:
        PerdureError: it failed or was cancelled; `of_operation` is set.
    """
    if operation.HasField("error"):
        error = error_from_status(operation.error)
        error.of_operation = True
        raise error
    return operation


def snapshot_of(operation: Operation) -> snapshot_pb2.Snapshot:
    """Return the Snapshot that a succeeded operation made."""
    return _unpack(result_of(operation), snapshot_pb2.Snapshot())


def restore_result_of(operation: Operation) -> restore_pb2.RestoreResult:
    """Return what a succeeded restore did."""
    return _unpack(result_of(operation), restore_pb2.RestoreResult())


def backend_report_of(operation: Operation) -> backend_pb2.BackendReport:
    """Return what a backend's conformance suite said."""
    return _unpack(result_of(operation), backend_pb2.BackendReport())


def metadata_of(operation: Operation) -> Metadata:
    """Return an operation's metadata; an empty one when the server sent none."""
    metadata = Metadata()
    operation.metadata.Unpack(metadata)
    return metadata


M = TypeVar("M", bound=Message)


def _unpack(operation: Operation, into: M) -> M:
    if not operation.response.Unpack(into):
        raise PerdureError(
            "ANSWER_UNKNOWN",
            f"the server answered with {operation.response.type_url}",
            hint="use the client of the server's own version",
        )
    return into
