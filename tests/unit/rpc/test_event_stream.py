"""The stream of events over a real door: what is sent, where it goes on, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from perdure.cli.main import run
from perdure.client import Client
from perdure.control.v1 import event_pb2, event_service_pb2
from perdure.errors import PerdureError
from perdure.exit_codes import ExitCode
from perdure.watching import STREAM_EVENTS, Watch, watch_events
from sidecar.event_log import About, EventType
from tests.support.control_plane import FakePlane, serving

Request = event_service_pb2.StreamEventsRequest
Response = event_service_pb2.StreamEventsResponse


@pytest.fixture
def plane() -> Iterator[FakePlane]:
    """Serve a plane with three events in its past."""
    plane = FakePlane()
    for number in range(3):
        plane.events.publish(EventType.SNAPSHOT_CUT, f"number {number}")
    plane.events.publish(EventType.BACKEND_DOWN, "gone", About("backends/x", reason="TIMEOUT"))
    with serving(plane):
        yield plane


def _first(plane: FakePlane, request: Request, count: int) -> list[Response]:
    with Client(plane.target) as client, closing(client.stream(STREAM_EVENTS, request)) as stream:
        return [next(stream) for _ in range(count)]


def _refusal(plane: FakePlane, request: Request) -> PerdureError:
    with pytest.raises(PerdureError) as caught:
        _first(plane, request, 1)
    return caught.value


def test_stream_begins_with_a_heartbeat_that_says_where_it_is(plane: FakePlane) -> None:
    """The caller knows at once that its request was understood, and has a position."""
    (beat,) = _first(plane, Request(), 1)
    assert beat.heartbeat.position.sequence == 4
    assert beat.heartbeat.position.boot_id == plane.events.boot_id
    assert beat.heartbeat.HasField("server_time")


def test_events_come_whole_and_in_order(plane: FakePlane) -> None:
    _, *events = _first(plane, Request(from_oldest=True), 5)
    assert [item.event.position.sequence for item in events] == [1, 2, 3, 4]
    last = events[-1].event
    assert last.type == event_pb2.Event.TYPE_BACKEND_DOWN
    assert last.severity == event_pb2.Event.SEVERITY_WARNING
    assert (last.resource, last.reason, last.message) == ("backends/x", "TIMEOUT", "gone")


def test_stream_goes_on_after_a_position(plane: FakePlane) -> None:
    after = event_pb2.EventPosition(boot_id=plane.events.boot_id, sequence=3)
    _, event = _first(plane, Request(after=after), 2)
    assert event.event.position.sequence == 4


def test_position_of_an_earlier_run_begins_with_a_gap(plane: FakePlane) -> None:
    after = event_pb2.EventPosition(boot_id="earlier", sequence=70)
    gap, event = _first(plane, Request(after=after), 2)
    assert gap.gap.boot_id == "earlier"
    assert not gap.gap.HasField("lost_count")
    assert event.event.position.sequence == 1


@pytest.mark.parametrize(
    "text",
    [
        "type = TYPE_BACKEND_DOWN",
        "severity >= SEVERITY_WARNING",
        "severity = SEVERITY_WARNING",
        'resource = "backends/x" AND type = TYPE_BACKEND_DOWN',
    ],
)
def test_filter_leaves_out_what_does_not_match(plane: FakePlane, text: str) -> None:
    _, event = _first(plane, Request(from_oldest=True, filter=text), 2)
    assert event.event.position.sequence == 4


@pytest.mark.parametrize("text", ["type = TYPE_X", "severity < SEVERITY_ERROR", "message = x", "x"])
def test_filter_that_is_not_understood_is_refused(plane: FakePlane, text: str) -> None:
    assert _refusal(plane, Request(filter=text)).context == {"field": "filter"}


def test_bad_positions_and_intervals_are_refused(plane: FakePlane) -> None:
    ahead = event_pb2.EventPosition(boot_id=plane.events.boot_id, sequence=5)
    error = _refusal(plane, Request(after=ahead))
    assert (error.code, error.status) == ("EVENT_POSITION_AHEAD", "OUT_OF_RANGE")
    both = Request(after=ahead, from_oldest=True)
    assert _refusal(plane, both).context == {"field": "from_oldest"}
    nameless = Request(after=event_pb2.EventPosition(sequence=1))
    assert _refusal(plane, nameless).context == {"field": "after"}
    hasty = Request()
    hasty.heartbeat_interval.FromMilliseconds(1)
    assert _refusal(plane, hasty).context == {"field": "heartbeat_interval"}


def test_silent_stream_sends_heartbeats_past_what_the_filter_left_out(plane: FakePlane) -> None:
    """Resumed at a heartbeat, a stream does not look at the same events again."""
    request = Request(from_oldest=True, filter="type = TYPE_SNAPSHOT_PURGED")
    request.heartbeat_interval.FromSeconds(1)
    _, beat = _first(plane, request, 2)
    assert beat.heartbeat.position.sequence == 4


def test_readers_that_went_away_make_room(plane: FakePlane) -> None:
    """More streams than may be open at once, one after the other."""
    for _ in range(40):
        _first(plane, Request(), 1)


def test_watch_goes_on_where_it_was_when_the_server_is_back(plane: FakePlane) -> None:
    """The stream is ended by the server; nothing is told twice, and what came meanwhile is told."""
    broken: list[str] = []

    def reopen(_seconds: float) -> None:
        plane.events._is_closed = False
        plane.events.publish(EventType.BACKEND_UP, "meanwhile")

    with Client(plane.target) as client:
        watch = Watch(from_oldest=True)
        stream = watch_events(client, watch, lambda error: broken.append(error.status), reopen)
        with closing(stream) as events:
            seen = [next(events) for _ in range(4)]
            closing_down = plane.run_in_loop(plane.events.close)
            seen.append(next(events))
            closing_down.result(30)
    numbers = [item.position.sequence for item in seen if isinstance(item, event_pb2.Event)]
    assert numbers == [1, 2, 3, 4, 5]
    assert broken == ["UNAVAILABLE"]


def test_command_prints_a_line_each(plane: FakePlane, capsys: pytest.CaptureFixture[str]) -> None:
    """For a person, and as JSON that is complete line by line."""
    words = ["--target", plane.target, "event", "watch", "--from-oldest", "--count", "4"]
    assert run(words) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "backend down" in lines[-1]
    assert "backends/x" in lines[-1]
    assert run([*words, "-o", "json"]) == ExitCode.OK
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert documents[-1]["event"]["type"] == "TYPE_BACKEND_DOWN"
    boot_id = documents[0]["event"]["position"]["boot_id"]
    words = ["--target", plane.target, "event", "watch", "--after", f"{boot_id}:3", "--count", "1"]
    assert run(words) == ExitCode.OK
    assert "gone" in capsys.readouterr().out
    assert run([*words[:4], "--after", "nonsense"]) == ExitCode.USAGE


def test_no_server_is_said_at_once() -> None:
    """Only a stream that was there once is waited for."""
    with Client("127.0.0.1:1") as client, pytest.raises(PerdureError) as caught:
        next(watch_events(client, Watch()))
    assert caught.value.code == "SERVER_UNREACHABLE"
