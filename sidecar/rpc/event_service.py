"""EventService over the event log: positions, filters, heartbeats; the log does the bounding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from perdure.control.v1 import event_pb2, event_service_pb2, event_service_pb2_grpc
from sidecar.clock import Clock
from sidecar.event_log import Event, EventLog, Gap, Position, Subscription
from sidecar.rpc.failures import Context
from sidecar.rpc.fields import Collection, full_name, read_seconds, refuse, set_instant
from sidecar.rpc.filters import EventFilter, read_event_filter
from sidecar.rpc.wire import EVENTS, SEVERITIES, wire_name

HEARTBEAT_SECONDS = 15.0
HEARTBEAT_SECONDS_MIN = 1.0
HEARTBEAT_SECONDS_MAX = 300.0
BOOT_ID_CHARS_MAX = 64

_Response = event_service_pb2.StreamEventsResponse


class EventService(event_service_pb2_grpc.EventServiceServicer):
    """Tell what happens."""

    def __init__(self, events: EventLog, clock: Clock) -> None:
        self._events = events
        self._clock = clock

    async def StreamEvents(  # noqa: N802  # the wire's name
        self, request: event_service_pb2.StreamEventsRequest, context: Context
    ) -> AsyncIterator[_Response]:
        """Send events until the caller or the server ends."""
        del context
        wanted = read_event_filter(request.filter)
        seconds = _read_interval(request)
        subscription = self._events.subscribe(
            _read_position(request), from_oldest=request.from_oldest
        )
        try:
            if not subscription.has_gap:
                yield self._heartbeat(subscription)
            async for answer in self._follow(subscription, wanted, seconds):
                yield answer
        finally:
            subscription.close()

    async def _follow(
        self, subscription: Subscription, wanted: EventFilter, seconds: float
    ) -> AsyncIterator[_Response]:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + seconds
        while True:
            item = await subscription.next(beat_at - loop.time())
            if isinstance(item, Event) and not wanted.matches(item):
                await asyncio.sleep(0)  # what is left out must not keep the loop to itself
                if loop.time() < beat_at:
                    continue
                item = None
            match item:
                case Event():
                    yield _Response(event=encode_event(item, self._events.boot_id))
                case Gap():
                    gap = event_pb2.EventGap(boot_id=item.boot_id, lost_count=item.lost)
                    yield _Response(gap=gap)
                case None:
                    yield self._heartbeat(subscription)
            beat_at = loop.time() + seconds

    def _heartbeat(self, subscription: Subscription) -> _Response:
        position = event_pb2.EventPosition(
            boot_id=self._events.boot_id, sequence=subscription.cursor
        )
        beat = event_pb2.EventHeartbeat(position=position)
        set_instant(beat.server_time, self._clock.now())
        return _Response(heartbeat=beat)


def encode_event(event: Event, boot_id: str) -> event_pb2.Event:
    """Return the message for one event."""
    message = event_pb2.Event(
        position=event_pb2.EventPosition(boot_id=boot_id, sequence=event.sequence),
        type=event_pb2.Event.Type.Value(wire_name(EVENTS, event.type)),
        severity=event_pb2.Event.Severity.Value(wire_name(SEVERITIES, event.severity)),
        message=event.message,
        resource=event.resource,
        operation=full_name(Collection.OPERATIONS, event.operation_id),
        reason=event.reason,
        context=event.context,
    )
    set_instant(message.event_time, event.at)
    return message


def _read_position(request: event_service_pb2.StreamEventsRequest) -> Position | None:
    if not request.HasField("after"):
        return None
    after = request.after
    if request.from_oldest:
        raise refuse("from_oldest", "from_oldest contradicts after", "give one of them")
    if not after.boot_id or len(after.boot_id) > BOOT_ID_CHARS_MAX or after.sequence < 0:
        raise refuse(
            "after", "after is no position", "send the position of an event or a heartbeat"
        )
    return Position(after.boot_id, after.sequence)


def _read_interval(request: event_service_pb2.StreamEventsRequest) -> float:
    if not request.HasField("heartbeat_interval"):
        return HEARTBEAT_SECONDS
    seconds = read_seconds(request.heartbeat_interval, "heartbeat_interval")
    if not HEARTBEAT_SECONDS_MIN <= seconds <= HEARTBEAT_SECONDS_MAX:
        raise refuse(
            "heartbeat_interval", f"{seconds:g} s between heartbeats", "take 1 second to 5 minutes"
        )
    return seconds
