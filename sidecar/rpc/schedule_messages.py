"""Schedules as messages, and a change to one: the field mask is merged here, nothing else is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from perdure.control.v1 import compression_pb2, schedule_pb2
from sidecar.model import Compression, Preset, Retention, ScheduleSpec
from sidecar.rpc.failures import encode_stored_error
from sidecar.rpc.fields import (
    Collection,
    full_name,
    read_name,
    read_seconds,
    refuse,
    set_instant,
    set_span,
)
from sidecar.rpc.wire import COMPRESSIONS, PRESETS, wire_name
from sidecar.usecases import ScheduleView

# Paths that a mask may name. `preset` and `cron` are one field to us: the timing.
PATHS = (
    "preset",
    "cron",
    "time_zone",
    "backends",
    "retention",
    "retention.keep_last",
    "retention.keep_within",
    "backend_retention",
    "compression",
    "paused",
)


def encode_schedule(view: ScheduleView) -> schedule_pb2.Schedule:
    """Return the resource for one schedule and how it fares."""
    schedule, spec, status = view.schedule, view.schedule.spec, view.status
    message = schedule_pb2.Schedule(
        name=full_name(Collection.SCHEDULES, schedule.schedule_id),
        time_zone=spec.time_zone,
        backends=[full_name(Collection.BACKENDS, name) for name in spec.backends],
        paused=spec.is_paused,
        last_snapshot=full_name(Collection.SNAPSHOTS, status.last_snapshot_id),
        missed_count=status.missed_total,
        etag=view.etag,
    )
    if spec.preset is not None:
        message.preset = schedule_pb2.Schedule.Preset.Value(wire_name(PRESETS, spec.preset))
    elif spec.cron is not None:
        message.cron = spec.cron
    if spec.compression is not None:
        name = wire_name(COMPRESSIONS, spec.compression)
        message.compression = compression_pb2.Compression.Value(name)
    message.retention.SetInParent()
    _encode_retention(spec.retention, message.retention)
    for backend, kept in spec.backend_retention.items():
        key = full_name(Collection.BACKENDS, backend)
        _encode_retention(kept, message.backend_retention[key])
    set_instant(message.next_run_time, status.next_due_at)
    set_instant(message.last_run_time, status.last_run_at)
    set_instant(message.create_time, schedule.created_at)
    set_instant(message.update_time, schedule.updated_at)
    if status.last_error is not None:
        message.last_error.CopyFrom(encode_stored_error(status.last_error))
    return message


def read_new_schedule(message: schedule_pb2.Schedule) -> ScheduleSpec:
    """Return the spec of a schedule to be made."""
    preset, cron = _read_timing(message)
    if preset is None and cron is None:
        raise refuse("schedule.preset", "the schedule has no timing", "set preset or cron")
    return ScheduleSpec(
        preset=preset,
        cron=cron,
        time_zone=message.time_zone or "UTC",
        backends=_read_backends(message),
        retention=_read_retention(message.retention),
        backend_retention=_read_by_backend(message),
        compression=read_compression(message.compression, "schedule.compression"),
        is_paused=message.paused,
    )


def merge_schedule(
    spec: ScheduleSpec, message: schedule_pb2.Schedule, paths: Iterable[str]
) -> ScheduleSpec:
    """Return `spec` with the fields of `message` that the mask's `paths` name.

    No path means every field that has a value, `*` means all of them.
    """
    named = set(paths) or _paths_with_value(message)
    if "*" in named:
        named = {path for path in PATHS if "." not in path}
    unknown = sorted(named.difference(PATHS))
    if unknown:
        raise refuse(
            "update_mask", f"{unknown[0][:64]!r} cannot be changed", f"take of {', '.join(PATHS)}"
        )
    if named & {"preset", "cron"}:
        preset, cron = _read_timing(message)
        if preset is None and cron is None:
            raise refuse("schedule.preset", "the schedule would have no timing", "set one of them")
        spec = replace(spec, preset=preset, cron=cron)
    if "time_zone" in named:
        spec = replace(spec, time_zone=message.time_zone or "UTC")
    if "backends" in named:
        spec = replace(spec, backends=_read_backends(message))
    if "backend_retention" in named:
        spec = replace(spec, backend_retention=_read_by_backend(message))
    if "compression" in named:
        choice = read_compression(message.compression, "schedule.compression")
        spec = replace(spec, compression=choice)
    if "paused" in named:
        spec = replace(spec, is_paused=message.paused)
    return replace(spec, retention=_merge_retention(spec.retention, message.retention, named))


def read_compression(
    value: compression_pb2.Compression.ValueType, field: str
) -> Compression | None:
    """Return the compression, or None for the server's default."""
    if value == compression_pb2.COMPRESSION_UNSPECIFIED:
        return None
    if value not in compression_pb2.Compression.values():
        raise refuse(field, f"{field} {value} is unknown", "take COMPRESSION_NONE or _ZSTD")
    return COMPRESSIONS[compression_pb2.Compression.Name(value)]


def _read_timing(message: schedule_pb2.Schedule) -> tuple[Preset | None, str | None]:
    match message.WhichOneof("timing"):
        case "cron":
            return None, message.cron
        case "preset":
            known = message.preset in schedule_pb2.Schedule.Preset.values()
            name = schedule_pb2.Schedule.Preset.Name(message.preset) if known else ""
            if name not in PRESETS:
                wanted = f"take {', '.join(PRESETS)}, or set cron"
                raise refuse("schedule.preset", "schedule.preset is unknown", wanted)
            return PRESETS[name], None
        case _:
            return None, None


def _read_backends(message: schedule_pb2.Schedule) -> tuple[str, ...]:
    return tuple(
        read_name(Collection.BACKENDS, name, "schedule.backends") for name in message.backends
    )


def _encode_retention(retention: Retention, message: schedule_pb2.RetentionPolicy) -> None:
    message.keep_last = retention.keep_last or 0
    if retention.keep_within_seconds is not None:
        set_span(message.keep_within, retention.keep_within_seconds)


def _read_by_backend(message: schedule_pb2.Schedule) -> dict[str, Retention]:
    return {
        read_name(Collection.BACKENDS, name, "schedule.backend_retention"): _read_retention(kept)
        for name, kept in message.backend_retention.items()
    }


def _read_retention(message: schedule_pb2.RetentionPolicy) -> Retention:
    if message.keep_last < 0:
        raise refuse(
            "schedule.retention.keep_last", "keep_last is negative", "take 1 or more, or leave it"
        )
    within = read_seconds(message.keep_within, "schedule.retention.keep_within")
    return Retention(keep_last=message.keep_last or None, keep_within_seconds=int(within) or None)


def _merge_retention(
    retention: Retention, message: schedule_pb2.RetentionPolicy, named: set[str]
) -> Retention:
    wanted = _read_retention(message)
    if "retention" in named:
        return wanted
    if "retention.keep_last" in named:
        retention = replace(retention, keep_last=wanted.keep_last)
    if "retention.keep_within" in named:
        retention = replace(retention, keep_within_seconds=wanted.keep_within_seconds)
    return retention


def _paths_with_value(message: schedule_pb2.Schedule) -> set[str]:
    """Return the changeable fields that `message` sets; output-only ones are passed by."""
    paths = {field.name for field, _ in message.ListFields()}
    return paths.intersection(PATHS)
