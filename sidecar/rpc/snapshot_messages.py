"""Snapshots as messages. One direction only: nothing of a snapshot is accepted from a client."""

from __future__ import annotations

from perdure.control.v1 import compression_pb2, restore_pb2, snapshot_pb2
from sidecar.model import Copy, CopyState, Manifest, RestorePlan, Snapshot, Verdict
from sidecar.rpc.fields import Collection, full_name, set_instant, set_span
from sidecar.rpc.wire import COMPRESSIONS, STATES, TRIGGERS, wire_name

_Outcome = snapshot_pb2.Verification.Outcome


def encode_snapshot(snapshot: Snapshot) -> snapshot_pb2.Snapshot:
    """Return the resource for one snapshot with all its copies."""
    manifest = snapshot.manifest
    message = snapshot_pb2.Snapshot(
        name=full_name(Collection.SNAPSHOTS, snapshot.snapshot_id),
        state=_state(snapshot.state),
        trigger=snapshot_pb2.Snapshot.Trigger.Value(wire_name(TRIGGERS, manifest.trigger)),
        schedule=full_name(Collection.SCHEDULES, manifest.schedule),
        server_name=manifest.server_name,
        server_uid=manifest.server_uid,
        engine_version=manifest.engine_version,
        redis_version=manifest.verification.redis_version,
        rdb_version=manifest.rdb_version,
        key_count=manifest.keys,
        databases=_databases(manifest),
        payload=_payload(manifest),
        verification=encode_verdict(snapshot.verdict),
        copies=[_copy(copy) for copy in sorted(snapshot.copies, key=lambda copy: copy.backend)],
        held=snapshot.is_held,
    )
    set_instant(message.due_time, manifest.due_at)
    set_instant(message.cut_time, manifest.cut_at)
    set_instant(message.create_time, manifest.created_at)
    if manifest.fork_seconds is not None:
        set_span(message.fork_duration, manifest.fork_seconds)
    if manifest.log_position is not None:
        message.log_position.epoch, message.log_position.offset = manifest.log_position
    if snapshot.state is CopyState.DELETING:
        tombstones = [copy.tombstoned_at for copy in snapshot.copies if copy.tombstoned_at]
        purges = [copy.purge_at for copy in snapshot.copies if copy.purge_at]
        set_instant(message.delete_time, max(tombstones, default=None))
        set_instant(message.purge_time, max(purges, default=None))
    return message


def encode_verdict(verdict: Verdict) -> snapshot_pb2.Verification:
    """Return the message for one look at a payload."""
    message = snapshot_pb2.Verification(
        outcome=_Outcome.OUTCOME_PASSED if verdict.is_passed else _Outcome.OUTCOME_FAILED,
        detail=verdict.detail,
        backend=full_name(Collection.BACKENDS, verdict.backend),
    )
    set_instant(message.verified_time, verdict.verified_at)
    return message


def encode_restore_plan(plan: RestorePlan) -> restore_pb2.RestorePlan:
    """Return the message for what a restore is going to do."""
    message = restore_pb2.RestorePlan(
        snapshot=full_name(Collection.SNAPSHOTS, plan.snapshot_id),
        backend=full_name(Collection.BACKENDS, plan.backend),
        key_count=plan.keys,
        payload=snapshot_pb2.Payload(
            raw_size_bytes=plan.raw_size_bytes,
            raw_sha256=plan.raw_sha256,
            stored_size_bytes=plan.stored_size_bytes,
            stored_sha256=plan.stored_sha256,
            compression=compression_pb2.Compression.Value(
                wire_name(COMPRESSIONS, plan.compression)
            ),
        ),
        verification=encode_verdict(plan.verdict),
        required_memory_bytes=plan.memory_needed_bytes,
        available_memory_bytes=plan.memory_available_bytes,
        required_disk_bytes=plan.disk_needed_bytes,
        available_disk_bytes=plan.disk_available_bytes,
        replaced_key_count=plan.replaced_keys,
        newest_snapshot=full_name(Collection.SNAPSHOTS, plan.newest_snapshot_id),
        problems=[
            restore_pb2.RestoreProblem(
                code=problem.code, message=problem.message, hint=problem.hint
            )
            for problem in plan.problems
        ],
    )
    set_instant(message.cut_time, plan.cut_at)
    set_span(message.age, max(0.0, plan.age_seconds))
    set_instant(message.newest_snapshot_time, plan.newest_cut_at)
    return message


def _state(state: CopyState) -> snapshot_pb2.Snapshot.State.ValueType:
    return snapshot_pb2.Snapshot.State.Value(wire_name(STATES, state))


def _databases(manifest: Manifest) -> list[snapshot_pb2.DatabaseSummary]:
    return [
        snapshot_pb2.DatabaseSummary(
            index=index,
            key_count=counts.keys,
            expire_count=counts.expires,
            key_counts_by_type=counts.types,
        )
        for index, counts in sorted(manifest.verification.databases.items())
    ]


def _payload(manifest: Manifest) -> snapshot_pb2.Payload:
    return snapshot_pb2.Payload(
        raw_size_bytes=manifest.raw_size_bytes,
        raw_sha256=manifest.raw_sha256,
        stored_size_bytes=manifest.stored_size_bytes,
        stored_sha256=manifest.stored_sha256,
        compression=compression_pb2.Compression.Value(
            wire_name(COMPRESSIONS, manifest.compression)
        ),
    )


def _copy(copy: Copy) -> snapshot_pb2.SnapshotCopy:
    message = snapshot_pb2.SnapshotCopy(
        backend=full_name(Collection.BACKENDS, copy.backend),
        state=_state(copy.state),
        payload_key=copy.payload_key,
        verification=encode_verdict(copy.verdict),
    )
    if copy.state is CopyState.DELETING:
        set_instant(message.purge_time, copy.purge_at)
    return message
