"""Operations as google.longrunning messages, with their metadata, results and errors packed."""

from __future__ import annotations

from google.longrunning import operations_proto_pb2 as lro
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from perdure.control.v1 import backend_pb2, operation_metadata_pb2, restore_pb2, snapshot_pb2
from sidecar.clone_record import decode_clone
from sidecar.errors import InternalError, NotFoundError
from sidecar.json_fields import Fields
from sidecar.model import BackendReport, Operation, OperationKind, Progress, RestoreOutcome
from sidecar.records import decode_backend_report, decode_restore_outcome, decode_restore_plan
from sidecar.rpc.clone_messages import encode_clone
from sidecar.rpc.failures import encode_stored_error
from sidecar.rpc.fields import Collection, full_name, set_instant, set_span
from sidecar.rpc.snapshot_messages import encode_restore_plan, encode_snapshot
from sidecar.rpc.wire import KINDS, PHASES, wire_name
from sidecar.usecases import SnapshotUseCases

_Metadata = operation_metadata_pb2.OperationMetadata
_UNITS = {
    "bytes": operation_metadata_pb2.Progress.UNIT_BYTES,
    "keys": operation_metadata_pb2.Progress.UNIT_KEYS,
    "checks": operation_metadata_pb2.Progress.UNIT_CHECKS,
}
_OUTCOMES = {
    "passed": backend_pb2.BackendCheck.OUTCOME_PASSED,
    "failed": backend_pb2.BackendCheck.OUTCOME_FAILED,
    "skipped": backend_pb2.BackendCheck.OUTCOME_SKIPPED,
}


def encode_operation(operation: Operation, snapshots: SnapshotUseCases) -> lro.Operation:
    """Return the message; `snapshots` looks up the one that an operation made."""
    message = lro.Operation(
        name=full_name(Collection.OPERATIONS, operation.operation_id), done=operation.is_done
    )
    message.metadata.Pack(_metadata(operation))
    if operation.error is not None:
        message.error.CopyFrom(encode_stored_error(operation.error))
    elif operation.is_done:
        message.response.Pack(_response(operation, snapshots))
    return message


def _metadata(operation: Operation) -> operation_metadata_pb2.OperationMetadata:
    message = _Metadata(
        kind=_Metadata.Kind.Value(wire_name(KINDS, operation.kind)),
        target=operation.target,
        cancel_requested=operation.is_cancel_requested,
        request_id=operation.request_id or "",
    )
    if not operation.is_done:
        _set_progress(message, operation.progress)
    if operation.plan is not None:
        plan = decode_restore_plan(operation.plan)
        message.restore_plan.CopyFrom(encode_restore_plan(plan))
    set_instant(message.create_time, operation.created_at)
    set_instant(message.update_time, operation.updated_at)
    set_instant(message.end_time, operation.ended_at)
    return message


def _set_progress(message: operation_metadata_pb2.OperationMetadata, progress: Progress) -> None:
    name = f"PHASE_{progress.phase.upper()}"
    if name in PHASES:
        message.phase = _Metadata.Phase.Value(name)
    if progress.done or progress.total:
        message.progress.unit = _UNITS[progress.unit]
        message.progress.done = progress.done
        message.progress.total = progress.total


def _response(operation: Operation, snapshots: SnapshotUseCases) -> Message:
    result = operation.result or {}
    match operation.kind:
        case OperationKind.RESTORE:
            return _restore_result(decode_restore_outcome(result))
        case OperationKind.BACKEND_CHECK:
            return _backend_report(decode_backend_report(result))
        case OperationKind.CLONE_CREATE:
            return encode_clone(decode_clone(Fields(result, "operation", InternalError)), None)
        case OperationKind.CLONE_DELETE:
            return Empty()
        case _:
            return _snapshot(str(result.get("snapshot_id", "")), snapshots)


def _snapshot(snapshot_id: str, snapshots: SnapshotUseCases) -> snapshot_pb2.Snapshot:
    """Return the snapshot as it stands now; one that was purged since has its name left."""
    try:
        return encode_snapshot(snapshots.get(snapshot_id))
    except NotFoundError:
        return snapshot_pb2.Snapshot(
            name=full_name(Collection.SNAPSHOTS, snapshot_id),
            state=snapshot_pb2.Snapshot.STATE_DELETED,
        )


def _restore_result(outcome: RestoreOutcome) -> restore_pb2.RestoreResult:
    message = restore_pb2.RestoreResult(
        plan=encode_restore_plan(outcome.plan), validate_only=outcome.is_dry_run
    )
    if not outcome.is_dry_run:
        message.key_count = outcome.keys
        message.expired_key_count = outcome.expired_keys
        message.replaced_key_count = outcome.replaced_keys
        message.safety_snapshot = full_name(Collection.SNAPSHOTS, outcome.safety_snapshot_id)
        set_instant(message.restored_time, outcome.restored_at)
        set_span(message.pause_duration, outcome.pause_seconds)
    return message


def _backend_report(report: BackendReport) -> backend_pb2.BackendReport:
    message = backend_pb2.BackendReport(
        backend=full_name(Collection.BACKENDS, report.backend), passed=report.is_passed
    )
    for check in report.checks:
        encoded = message.checks.add(
            id=check.check_id, outcome=_OUTCOMES[check.outcome], detail=check.detail
        )
        set_span(encoded.duration, check.seconds)
    return message
