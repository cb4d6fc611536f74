"""What happened, told: a bounded ring of typed events that the door streams and the log repeats.

One seam: whoever has something to tell calls `publish`, and that writes the log line too. Readers
keep a position and no queue, so that a slow one costs nothing: what left the ring before it was
read is told to it as a gap. Positions mean something within one boot only, which has an id; what
must outlive a restart is in the audit log, in operations and in the backends.

Used from the event loop's thread only. No gRPC here, and no decision of the domain.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import TypeAlias

import structlog

from sidecar.clock import Clock
from sidecar.errors import EventPositionError, ExhaustedError, UnavailableError

_log = structlog.get_logger(__name__)
EVENTS_MAX = 4096
SUBSCRIPTIONS_MAX = 32
TEXT_CHARS_MAX = 512


class Severity(IntEnum):
    """How bad it is, as in the log's levels."""

    INFO = 1
    WARNING = 2
    ERROR = 3


class EventType(StrEnum):
    """What can happen; the value is the log line's name too. On the wire: `rpc.wire.EVENTS`."""

    SNAPSHOT_CUT = "snapshot_cut"
    SNAPSHOT_STORED = "snapshot_stored"
    SNAPSHOT_VERIFIED = "snapshot_verified"
    SNAPSHOT_DAMAGED = "snapshot_damaged"
    SNAPSHOT_FAILED = "snapshot_failed"
    SNAPSHOT_DELETED = "snapshot_deleted"
    SNAPSHOT_REVIVED = "snapshot_revived"
    SNAPSHOT_PURGED = "snapshot_purged"
    CUT_QUARANTINED = "cut_quarantined"
    CUT_DROPPED = "cut_dropped"
    SCHEDULE_RUN = "schedule_run"
    SCHEDULE_MISSED = "schedule_missed"
    RESTORE_STARTED = "restore_started"
    RESTORE_COMMITTED = "restore_committed"
    RESTORE_FAILED = "restore_failed"
    OPERATION_ENDED = "operation_ended"
    BACKEND_DOWN = "backend_down"
    BACKEND_UP = "backend_up"
    ENGINE_STATE = "engine_state"
    ENGINE_WARNING = "engine_warning"
    ENGINE_ERROR = "engine_error"
    AUDIT_FAILED = "audit_failed"
    CLONE_READY = "clone_ready"
    CLONE_FAILED = "clone_failed"
    CLONE_REMOVED = "clone_removed"


# Where the publisher says nothing else; what is not here is INFO.
SEVERITIES: Mapping[EventType, Severity] = {
    EventType.SNAPSHOT_DAMAGED: Severity.ERROR,
    EventType.SNAPSHOT_FAILED: Severity.ERROR,
    EventType.SNAPSHOT_REVIVED: Severity.WARNING,
    EventType.CUT_QUARANTINED: Severity.ERROR,
    EventType.CUT_DROPPED: Severity.ERROR,
    EventType.SCHEDULE_MISSED: Severity.WARNING,
    EventType.RESTORE_FAILED: Severity.ERROR,
    EventType.BACKEND_DOWN: Severity.WARNING,
    EventType.ENGINE_WARNING: Severity.WARNING,
    EventType.ENGINE_ERROR: Severity.ERROR,
    EventType.AUDIT_FAILED: Severity.ERROR,
    EventType.CLONE_FAILED: Severity.ERROR,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    sequence: int
    at: datetime
    type: EventType
    severity: Severity
    message: str
    resource: str = ""  # `snapshots/x` and the like
    operation_id: str = ""
    reason: str = ""  # the stable code of the error behind it
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that a reader will not see; how many is not known across a restart."""

    boot_id: str  # whose events they were
    lost: int | None
    resumed_at: int  # the next sequence that it gets


@dataclass(frozen=True, slots=True)
class About:
    """What an event is about, beside its message."""

    resource: str = ""
    operation_id: str = ""
    reason: str = ""
    severity: Severity | None = None  # None: as SEVERITIES says


@dataclass(frozen=True, slots=True)
class Position:
    """After which event to go on."""

    boot_id: str
    sequence: int


Listener: TypeAlias = Callable[[Event], None]
_NOTHING = About()


class EventLog:
    """The ring of this process."""

    def __init__(
        self, clock: Clock, events_max: int = EVENTS_MAX, boot_id: str | None = None
    ) -> None:
        self.boot_id = boot_id or secrets.token_hex(8)
        self._clock = clock
        self._ring: deque[Event] = deque(maxlen=events_max)
        self._newest = 0
        self._subscriptions: set[Subscription] = set()
        self._listeners: list[Listener] = []
        self._is_closed = False

    @property
    def newest(self) -> int:
        """Return the last sequence that was given out, 0 before the first."""
        return self._newest

    @property
    def oldest(self) -> int:
        """Return the first sequence that is still held, the next one's when none is."""
        return self._ring[0].sequence if self._ring else self._newest + 1

    @property
    def is_closed(self) -> bool:
        """Return whether the server is ending: readers are told, not left waiting."""
        return self._is_closed

    def add_listener(self, listener: Listener) -> None:
        """Call `listener` with each event from now on, at once and on the loop."""
        self._listeners.append(listener)

    def publish(
        self, type_: EventType, message: str, about: About = _NOTHING, **context: object
    ) -> Event:
        """Tell readers, listeners and the log; never fails and never waits."""
        severity = about.severity or SEVERITIES.get(type_, Severity.INFO)
        self._write_log(type_, message, about, severity, context)
        return self.keep(type_, message, about, context)

    def keep(
        self, type_: EventType, message: str, about: About, context: Mapping[str, object]
    ) -> Event:
        """Tell readers and listeners what is in the log already (the engine's own lines)."""
        self._newest += 1
        event = Event(
            sequence=self._newest,
            at=self._clock.now(),
            type=type_,
            severity=about.severity or SEVERITIES.get(type_, Severity.INFO),
            message=_text(message),
            resource=about.resource,
            operation_id=about.operation_id,
            reason=about.reason,
            context={key: _text(str(value)) for key, value in context.items()},
        )
        self._ring.append(event)
        for listener in self._listeners:
            listener(event)
        for subscription in self._subscriptions:
            subscription.wake()
        return event

    def _write_log(
        self,
        type_: EventType,
        message: str,
        about: About,
        severity: Severity,
        context: Mapping[str, object],
    ) -> None:
        write = {Severity.INFO: _log.info, Severity.WARNING: _log.warning}.get(severity, _log.error)
        fields: dict[str, object] = {"message": message, "resource": about.resource, **context}
        if about.operation_id:
            fields["operation_id"] = about.operation_id
        if about.reason:
            fields["code"] = about.reason
        write(type_.value, **fields)

    # --- reading ----------------------------------------------------------------------

    def subscribe(
        self, after: Position | None = None, *, from_oldest: bool = False
    ) -> Subscription:
        """Begin to read: after a position, from the oldest event that is held, or from now on.

        Raises EventPositionError for a position that this boot has not reached, ExhaustedError
        when too many read already, UnavailableError when the server is ending.
        """
        if self._is_closed:
            raise _ending()
        if len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
            raise ExhaustedError(
                f"{SUBSCRIPTIONS_MAX} streams of events are open",
                code="STREAMS_EXHAUSTED",
                hint="End one of the others, or share one stream between readers.",
            )
        cursor, gap = self._place(after, from_oldest=from_oldest)
        subscription = Subscription(self, cursor, gap)
        self._subscriptions.add(subscription)
        return subscription

    def _place(self, after: Position | None, *, from_oldest: bool) -> tuple[int, Gap | None]:
        """Return the sequence that was seen last, and the gap that comes before all else."""
        if after is None:
            return (self.oldest - 1 if from_oldest else self._newest), None
        if after.boot_id != self.boot_id:  # what the other boot told last is not known any more
            return self.oldest - 1, Gap(after.boot_id, None, self.oldest)
        if after.sequence > self._newest:
            raise EventPositionError(
                f"this server has told {self._newest} events, not {after.sequence} yet",
                context={"boot_id": self.boot_id, "newest": self._newest},
            )
        return after.sequence, None

    def read(self, cursor: int) -> Event | Gap | None:
        """Return what comes after `cursor`: the next event, a gap, or None when there is none."""
        if cursor >= self._newest:
            return None
        oldest = self.oldest
        if cursor < oldest - 1:
            return Gap(self.boot_id, oldest - 1 - cursor, oldest)
        return self._ring[cursor + 1 - oldest]

    def drop(self, subscription: Subscription) -> None:
        """Forget a reader."""
        self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End every stream: readers get what is left, then UnavailableError."""
        self._is_closed = True
        for subscription in self._subscriptions:
            subscription.wake()

    def reopen(self) -> None:
        """Let readers come again: the end that `close` was for was refused."""
        self._is_closed = False


class Subscription:
    """One reader's place; close it when done."""

    def __init__(self, events: EventLog, cursor: int, gap: Gap | None) -> None:
        self._events = events
        self._gap = gap
        self._woken = asyncio.Event()
        self.cursor = cursor

    @property
    def has_gap(self) -> bool:
        """Return whether a gap comes before all else."""
        return self._gap is not None

    def wake(self) -> None:
        """Let a waiting `next` look again."""
        self._woken.set()

    async def next(self, timeout_seconds: float) -> Event | Gap | None:
        """Return what comes next, or None when nothing did within the time."""
        if self._gap is not None:
            gap, self._gap = self._gap, None
            return gap
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._wait()
        except TimeoutError:
            return None

    async def _wait(self) -> Event | Gap:
        while True:
            self._woken.clear()
            found = self._events.read(self.cursor)
            if found is not None:
                self.cursor = found.resumed_at - 1 if isinstance(found, Gap) else found.sequence
                return found
            if self._events.is_closed:
                raise _ending()
            await self._woken.wait()

    def close(self) -> None:
        """Stop reading."""
        self._events.drop(self)


def _text(text: str) -> str:
    """Return a text that a message may hold: not too long, and UTF-8 (a file's name may not be)."""
    return text.encode(errors="backslashreplace").decode()[:TEXT_CHARS_MAX]


def _ending() -> UnavailableError:
    return UnavailableError(
        "the server is ending", hint="Read on from the same position when it is up again."
    )
