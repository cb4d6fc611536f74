"""Encode and decode what is kept beside manifests: schedules, operations, restore plans, reports.

Pairs stand together. Schedules and the server record also lie on the backends; operations lie in
SQLite only. No storage and no clock live here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from sidecar.errors import InternalError, ManifestInvalidError
from sidecar.json_fields import Fields, encode_instant
from sidecar.model import (
    BackendCheck,
    BackendReport,
    Compression,
    JsonObject,
    Operation,
    OperationKind,
    OperationState,
    Preset,
    Problem,
    Progress,
    RestoreOutcome,
    RestorePlan,
    Retention,
    Schedule,
    ScheduleSpec,
    Verdict,
)

SCHEMA_VERSION = 1
RECORD_BYTES_MAX = 256 << 10
_Enum = TypeVar("_Enum", bound=StrEnum)


def _instant(at: datetime | None) -> str | None:
    return encode_instant(at) if at else None


def _enum(kind: type[_Enum], fields: Fields, name: str) -> _Enum:
    try:
        return kind(fields.text(name))
    except ValueError as exc:
        raise fields.wrong(name, "has an unknown value") from exc


# --- server record -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """`{name}/server.json`: which uid writes under a name."""

    name: str
    uid: str
    created_at: datetime


def encode_server(record: ServerRecord) -> JsonObject:
    """Return the document of `server.json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": record.name,
        "uid": record.uid,
        "created_at": encode_instant(record.created_at),
    }


def decode_server(fields: Fields) -> ServerRecord:
    """Read what `encode_server` wrote."""
    return ServerRecord(fields.text("name"), fields.text("uid"), fields.instant("created_at"))


# --- schedules ---------------------------------------------------------------------------


def encode_spec(spec: ScheduleSpec) -> JsonObject:
    """Return a schedule's spec; what came after the first version is there when it is set."""
    by_backend: JsonObject = {
        name: {"keep_last": kept.keep_last, "keep_within_seconds": kept.keep_within_seconds}
        for name, kept in sorted(spec.backend_retention.items())
    }
    return {
        "preset": spec.preset.value if spec.preset else None,
        "cron": spec.cron,
        "time_zone": spec.time_zone,
        "backends": list(spec.backends),
        "keep_last": spec.retention.keep_last,
        "keep_within_seconds": spec.retention.keep_within_seconds,
        "compression": spec.compression.value if spec.compression else None,
        "is_paused": spec.is_paused,
        **({"backend_retention": by_backend} if by_backend else {}),
    }


def decode_spec(fields: Fields) -> ScheduleSpec:
    """Read what `encode_spec` wrote."""
    has_compression = fields.has("compression")
    return ScheduleSpec(
        preset=_enum(Preset, fields, "preset") if fields.has("preset") else None,
        cron=fields.maybe_text("cron"),
        time_zone=fields.text("time_zone"),
        backends=fields.texts("backends"),
        retention=_decode_retention(fields),
        backend_retention=_decode_by_backend(fields),
        compression=_enum(Compression, fields, "compression") if has_compression else None,
        is_paused=fields.flag("is_paused"),
    )


def _decode_retention(fields: Fields) -> Retention:
    return Retention(fields.maybe_number("keep_last"), fields.maybe_number("keep_within_seconds"))


def _decode_by_backend(fields: Fields) -> dict[str, Retention]:
    if not fields.has("backend_retention"):
        return {}
    by_backend = fields.child("backend_retention")
    return {name: _decode_retention(by_backend.child(name)) for name in by_backend.names()}


def encode_schedule(schedule: Schedule) -> JsonObject:
    """Return the document of one revision."""
    return {
        "schema_version": SCHEMA_VERSION,
        "schedule_id": schedule.schedule_id,
        "revision": schedule.revision,
        "spec": encode_spec(schedule.spec),
        "created_at": encode_instant(schedule.created_at),
        "updated_at": encode_instant(schedule.updated_at),
        "anchor_at": encode_instant(schedule.anchor_at),
        "is_deleted": schedule.is_deleted,
        "config_digest": schedule.config_digest,
    }


def decode_schedule(fields: Fields) -> Schedule:
    """Read what `encode_schedule` wrote."""
    return Schedule(
        schedule_id=fields.text("schedule_id"),
        revision=fields.number("revision"),
        spec=decode_spec(fields.child("spec")),
        created_at=fields.instant("created_at"),
        updated_at=fields.instant("updated_at"),
        anchor_at=fields.instant("anchor_at"),
        is_deleted=fields.flag("is_deleted"),
        config_digest=fields.maybe_text("config_digest"),
    )


# --- operations --------------------------------------------------------------------------


def encode_operation(operation: Operation) -> JsonObject:
    """Return the row of an operation."""
    return {
        "operation_id": operation.operation_id,
        "kind": operation.kind.value,
        "target": operation.target,
        "state": operation.state.value,
        "progress": {
            "phase": operation.progress.phase,
            "done": operation.progress.done,
            "total": operation.progress.total,
            "unit": operation.progress.unit,
        },
        "created_at": encode_instant(operation.created_at),
        "updated_at": encode_instant(operation.updated_at),
        "ended_at": _instant(operation.ended_at),
        "request_id": operation.request_id,
        "is_cancel_requested": operation.is_cancel_requested,
        "plan": operation.plan,
        "result": operation.result,
        "error": operation.error,
    }


def decode_operation(fields: Fields) -> Operation:
    """Read what `encode_operation` wrote."""
    progress = fields.child("progress")

    def maybe(name: str) -> JsonObject | None:
        return fields.child(name).raw() if fields.has(name) else None

    return Operation(
        operation_id=fields.text("operation_id"),
        kind=_enum(OperationKind, fields, "kind"),
        target=fields.text("target"),
        state=_enum(OperationState, fields, "state"),
        progress=Progress(
            progress.text("phase"),
            progress.number("done"),
            progress.number("total"),
            progress.text("unit"),
        ),
        created_at=fields.instant("created_at"),
        updated_at=fields.instant("updated_at"),
        ended_at=fields.maybe_instant("ended_at"),
        request_id=fields.maybe_text("request_id"),
        is_cancel_requested=fields.flag("is_cancel_requested"),
        plan=maybe("plan"),
        result=maybe("result"),
        error=maybe("error"),
    )


# --- restores ----------------------------------------------------------------------------


def encode_restore_plan(plan: RestorePlan) -> JsonObject:
    """Return a plan as an operation keeps it."""
    verdict = plan.verdict
    return {
        "snapshot_id": plan.snapshot_id,
        "backend": plan.backend,
        "cut_at": encode_instant(plan.cut_at),
        "age_seconds": plan.age_seconds,
        "keys": plan.keys,
        "raw_size_bytes": plan.raw_size_bytes,
        "raw_sha256": plan.raw_sha256,
        "stored_size_bytes": plan.stored_size_bytes,
        "stored_sha256": plan.stored_sha256,
        "compression": plan.compression.value,
        "verdict": {
            "verified_at": encode_instant(verdict.verified_at),
            "is_passed": verdict.is_passed,
            "detail": verdict.detail,
            "backend": verdict.backend,
        },
        "memory_needed_bytes": plan.memory_needed_bytes,
        "memory_available_bytes": plan.memory_available_bytes,
        "disk_needed_bytes": plan.disk_needed_bytes,
        "disk_available_bytes": plan.disk_available_bytes,
        "replaced_keys": plan.replaced_keys,
        "unsaved_changes": plan.unsaved_changes,
        "newest_snapshot_id": plan.newest_snapshot_id,
        "newest_cut_at": _instant(plan.newest_cut_at),
        "problems": [{"code": p.code, "message": p.message, "hint": p.hint} for p in plan.problems],
    }


def decode_restore_plan(document: JsonObject) -> RestorePlan:
    """Read what `encode_restore_plan` wrote."""
    fields = Fields(document, "restore plan", InternalError)
    verdict = fields.child("verdict")
    return RestorePlan(
        snapshot_id=fields.text("snapshot_id"),
        backend=fields.text("backend"),
        cut_at=fields.instant("cut_at"),
        age_seconds=fields.seconds("age_seconds"),
        keys=fields.number("keys"),
        raw_size_bytes=fields.number("raw_size_bytes"),
        raw_sha256=fields.text("raw_sha256"),
        stored_size_bytes=fields.number("stored_size_bytes"),
        stored_sha256=fields.text("stored_sha256"),
        compression=_enum(Compression, fields, "compression"),
        verdict=Verdict(
            verdict.instant("verified_at"),
            verdict.flag("is_passed"),
            verdict.text("detail"),
            verdict.maybe_text("backend"),
        ),
        memory_needed_bytes=fields.number("memory_needed_bytes"),
        memory_available_bytes=fields.number("memory_available_bytes"),
        disk_needed_bytes=fields.number("disk_needed_bytes"),
        disk_available_bytes=fields.number("disk_available_bytes"),
        replaced_keys=fields.number("replaced_keys"),
        unsaved_changes=fields.number("unsaved_changes"),
        newest_snapshot_id=fields.maybe_text("newest_snapshot_id"),
        newest_cut_at=fields.maybe_instant("newest_cut_at"),
        problems=tuple(
            Problem(p.text("code"), p.text("message"), p.text("hint"))
            for p in fields.children("problems")
        ),
    )


def encode_restore_outcome(outcome: RestoreOutcome) -> JsonObject:
    """Return the result of a restore's operation."""
    return {
        "plan": encode_restore_plan(outcome.plan),
        "is_dry_run": outcome.is_dry_run,
        "restored_at": _instant(outcome.restored_at),
        "keys": outcome.keys,
        "expired_keys": outcome.expired_keys,
        "replaced_keys": outcome.replaced_keys,
        "pause_seconds": outcome.pause_seconds,
        "safety_snapshot_id": outcome.safety_snapshot_id,
    }


def decode_restore_outcome(document: JsonObject) -> RestoreOutcome:
    """Read what `encode_restore_outcome` wrote."""
    fields = Fields(document, "restore outcome", InternalError)
    return RestoreOutcome(
        plan=decode_restore_plan(fields.child("plan").raw()),
        is_dry_run=fields.flag("is_dry_run"),
        restored_at=fields.maybe_instant("restored_at"),
        keys=fields.number("keys"),
        expired_keys=fields.number("expired_keys"),
        replaced_keys=fields.number("replaced_keys"),
        pause_seconds=fields.seconds("pause_seconds"),
        safety_snapshot_id=fields.maybe_text("safety_snapshot_id"),
    )


# --- backend reports ---------------------------------------------------------------------


def encode_backend_report(report: BackendReport) -> JsonObject:
    """Return the result of a backend check's operation."""
    return {
        "backend": report.backend,
        "checks": [
            {"id": c.check_id, "outcome": c.outcome, "detail": c.detail, "seconds": c.seconds}
            for c in report.checks
        ],
    }


def decode_backend_report(document: JsonObject) -> BackendReport:
    """Read what `encode_backend_report` wrote."""
    fields = Fields(document, "backend report", InternalError)
    checks = tuple(
        BackendCheck(c.text("id"), c.text("outcome"), c.text("detail"), c.seconds("seconds"))
        for c in fields.children("checks")
    )
    return BackendReport(fields.text("backend"), checks)


def check_schema(fields: Fields) -> Fields:
    """Refuse a document of a schema that this server does not know."""
    version = fields.number("schema_version")
    if version != SCHEMA_VERSION:
        raise ManifestInvalidError(
            f"schema version {version} is not known here",
            hint="A newer Perdure wrote it: use that version.",
            context={"schema_version": version},
        )
    return fields
