"""The filters of list calls: `field op value` terms joined with AND, as the protos describe.

    schedule = "schedules/hourly" AND cut_time >= "2026-11-22T07:00:00Z"

Deliberately small: no OR, no NOT, no functions. What is not understood is refused, never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from sidecar.errors import InvalidArgumentError
from sidecar.event_log import Event, EventType, Severity
from sidecar.model import CopyState
from sidecar.rpc.fields import Collection, read_instant, read_name, refuse
from sidecar.rpc.wire import (
    BACKEND_STATES,
    EVENTS,
    KINDS,
    OPERATION_STATES,
    SEVERITIES,
    STATES,
    TRIGGERS,
)
from sidecar.usecases import BackendFilter, OperationFilter, ScheduleFilter, SnapshotFilter

FILTER_CHARS_MAX = 1024
_MICROSECOND = timedelta(microseconds=1)
_BOOLEANS = {"true": True, "false": False}
_TERM = re.compile(r'\s*([a-z_]+)\s*(<=|>=|=|<|>)\s*(?:"([^"]*)"|([^\s"]+))\s*')
_HINT = 'join terms with AND, such as: schedule = "schedules/hourly" AND trigger = TRIGGER_SCHEDULE'


def read_snapshot_filter(text: str, *, show_deleted: bool) -> SnapshotFilter:
    """Return what a snapshot filter asks for."""
    wanted = SnapshotFilter(show_deleted=show_deleted)
    for field, operator, value in split_terms(text):
        if field == "cut_time":
            wanted = _with_cut_time(wanted, operator, value)
            continue
        reader = _SNAPSHOT_TERMS.get(field)
        if reader is None or operator != "=":
            raise _refuse(f"{field} {operator}")
        wanted = reader(wanted, value)
    return wanted


def read_operation_filter(text: str) -> OperationFilter:
    """Return which operations are wanted."""
    wanted = OperationFilter()
    for field, operator, value in split_terms(text):
        match field, operator:
            case "kind", "=" if value in KINDS:
                wanted = replace(wanted, kind=KINDS[value])
            case "state", "=" if value in OPERATION_STATES:
                wanted = replace(wanted, state=OPERATION_STATES[value])
            case "target", "=" if value:
                wanted = replace(wanted, target=value)
            case "done", "=" if value in _BOOLEANS:
                wanted = replace(wanted, is_done=_BOOLEANS[value])
            case _:
                raise _unknown(field, operator, value, "done = false, kind = KIND_..., state = ...")
    return wanted


def read_schedule_filter(text: str) -> ScheduleFilter:
    """Return which schedules are wanted."""
    wanted = ScheduleFilter()
    for field, operator, value in split_terms(text):
        match field, operator:
            case "paused", "=" if value in _BOOLEANS:
                wanted = replace(wanted, is_paused=_BOOLEANS[value])
            case "backend", "=":
                bare = read_name(Collection.BACKENDS, value, "filter")
                wanted = replace(wanted, backend=bare)
            case _:
                known = 'paused = true, backend = "backends/local"'
                raise _unknown(field, operator, value, known)
    return wanted


def read_backend_filter(text: str) -> BackendFilter:
    """Return which backends are wanted."""
    wanted = BackendFilter()
    for field, operator, value in split_terms(text):
        match field, operator:
            case "type", "=" if value:
                wanted = replace(wanted, type=value)
            case "state", "=" if value in BACKEND_STATES:
                wanted = replace(wanted, states=frozenset({BACKEND_STATES[value]}))
            case _:
                raise _unknown(field, operator, value, "state = STATE_DOWN, type = local")
    return wanted


def _unknown(field: str, operator: str, value: str, known: str) -> InvalidArgumentError:
    return refuse(
        "filter",
        f"filter does not know {field} {operator} {value[:64]}",
        f"take {known} and the like",
    )


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Terms that must all hold; None does not ask."""

    type: EventType | None = None
    severity: Severity | None = None
    severity_min: Severity = Severity.INFO
    resource: str | None = None
    operation_id: str | None = None

    def matches(self, event: Event) -> bool:
        """Say whether every term holds."""
        return (
            self.type in {None, event.type}
            and self.severity in {None, event.severity}
            and event.severity >= self.severity_min
            and self.resource in {None, event.resource}
            and self.operation_id in {None, event.operation_id}
        )


def read_event_filter(text: str) -> EventFilter:
    """Return which events are wanted."""
    wanted = EventFilter()
    for field, operator, value in split_terms(text):
        match field, operator:
            case "type", "=" if value in EVENTS:
                wanted = replace(wanted, type=EVENTS[value])
            case "severity", "=" if value in SEVERITIES:
                wanted = replace(wanted, severity=SEVERITIES[value])
            case "severity", ">=" if value in SEVERITIES:
                wanted = replace(wanted, severity_min=SEVERITIES[value])
            case "resource", "=" if value:
                wanted = replace(wanted, resource=value)
            case "operation", "=":
                bare = read_name(Collection.OPERATIONS, value, "filter")
                wanted = replace(wanted, operation_id=bare)
            case _:
                known = "type = TYPE_SNAPSHOT_STORED, severity >= SEVERITY_WARNING"
                raise _unknown(field, operator, value, known)
    return wanted


def split_terms(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield field, operator and value of each term."""
    if len(text) > FILTER_CHARS_MAX:
        raise refuse("filter", "filter is too long", f"take at most {FILTER_CHARS_MAX} characters")
    if not text.strip():
        return
    for term in re.split(r"\s+AND\s+", text.strip()):
        match = _TERM.fullmatch(term)
        if match is None:
            raise _refuse(term)
        field, operator, quoted, bare = match.groups()
        yield field, operator, bare if quoted is None else quoted


def _refuse(term: str) -> InvalidArgumentError:
    return refuse("filter", f"filter does not understand {term[:64]!r}", _HINT)


def _with_cut_time(wanted: SnapshotFilter, operator: str, value: str) -> SnapshotFilter:
    """Cut times have microseconds, so that `>` is `>=` one later and `<=` is `<` one later."""
    instant = read_instant(value, "filter")
    later = instant + _MICROSECOND
    match operator:
        case ">=":
            return replace(wanted, cut_from=instant)
        case ">":
            return replace(wanted, cut_from=later)
        case "<":
            return replace(wanted, cut_before=instant)
        case "<=":
            return replace(wanted, cut_before=later)
        case _:
            return replace(wanted, cut_from=instant, cut_before=later)


def _with_schedule(wanted: SnapshotFilter, value: str) -> SnapshotFilter:
    return replace(wanted, schedule=read_name(Collection.SCHEDULES, value, "filter"))


def _with_backend(wanted: SnapshotFilter, value: str) -> SnapshotFilter:
    return replace(wanted, backend=read_name(Collection.BACKENDS, value, "filter"))


def _with_trigger(wanted: SnapshotFilter, value: str) -> SnapshotFilter:
    if value not in TRIGGERS:
        raise _refuse(f"trigger = {value}")
    return replace(wanted, trigger=TRIGGERS[value])


def _with_state(wanted: SnapshotFilter, value: str) -> SnapshotFilter:
    if value not in STATES:
        raise _refuse(f"state = {value}")
    state = STATES[value]
    shows = wanted.show_deleted or state is CopyState.DELETING
    return replace(wanted, state=state, show_deleted=shows)


_SNAPSHOT_TERMS: dict[str, Callable[[SnapshotFilter, str], SnapshotFilter]] = {
    "schedule": _with_schedule,
    "backend": _with_backend,
    "trigger": _with_trigger,
    "state": _with_state,
}
