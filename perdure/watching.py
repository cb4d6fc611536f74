"""Watching a server's events across lost connections and restarts of the server.

The stream itself is `Client.stream`'s; here is where it goes on after it broke: at the last
position that was seen, so that nothing is told twice and what was lost is told as a gap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

from perdure.control.v1 import event_pb2, event_service_pb2
from perdure.driver import Driver
from perdure.errors import PerdureError
from perdure.steps import Rpc

STREAM_EVENTS = Rpc(
    "/perdure.control.v1.EventService/StreamEvents", event_service_pb2.StreamEventsResponse
)
RECONNECT_SECONDS = 1.0
_PASSING = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})


@dataclass(frozen=True)
class Watch:
    """Which events, from where on: after a position, the oldest that is held, or from now on."""

    filter: str = ""  # such as `severity >= SEVERITY_WARNING`
    after: event_pb2.EventPosition | None = None
    from_oldest: bool = False


def watch_events(
    client: Driver,
    watch: Watch,
    on_break: Callable[[PerdureError], None] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Generator[event_pb2.Event | event_pb2.EventGap, None, None]:
    """Give events and gaps for ever; connect again, and go on where it was, when the stream breaks.

    Blocks while nothing happens. `on_break` hears why a stream broke, once each time.

    Raises:
        PerdureError: the server refused the request, or was not there at the beginning.
    """
    after, was_there, is_broken = watch.after, False, False
    while True:
        request = event_service_pb2.StreamEventsRequest(
            after=after, from_oldest=watch.from_oldest and after is None, filter=watch.filter
        )
        try:
            for answer in client.stream(STREAM_EVENTS, request):
                was_there, is_broken = True, False
                match answer.WhichOneof("item"):
                    case "event":
                        after = answer.event.position
                        yield answer.event
                    case "gap":
                        yield answer.gap
                    case "heartbeat":
                        after = answer.heartbeat.position
        except PerdureError as error:
            if not was_there or error.status not in _PASSING:
                raise
            if on_break is not None and not is_broken:
                on_break(error)
            is_broken = True
        pause(RECONNECT_SECONDS)
