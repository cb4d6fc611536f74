"""The event log: order, resuming, gaps, bounds."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.errors import EventPositionError, ExhaustedError, PerdureError, UnavailableError
from sidecar.event_log import (
    SUBSCRIPTIONS_MAX,
    About,
    Event,
    EventLog,
    EventType,
    Gap,
    Position,
    Severity,
    Subscription,
)
from tests.support.driven_clock import DrivenClock

WAIT = 30.0


def make(events_max: int = 4) -> EventLog:
    return EventLog(DrivenClock(), events_max, boot_id="boot-1")


def tell(events: EventLog, count: int) -> None:
    for number in range(count):
        events.publish(EventType.SNAPSHOT_CUT, f"number {number}")


async def sequences(subscription: Subscription, count: int) -> list[int]:
    found = [await subscription.next(WAIT) for _ in range(count)]
    return [item.sequence if isinstance(item, Event) else -1 for item in found]


async def test_reader_gets_what_happens_from_now_on_in_order() -> None:
    events = make()
    tell(events, 2)
    subscription = events.subscribe()
    assert await subscription.next(0.001) is None
    tell(events, 2)
    assert await sequences(subscription, 2) == [3, 4]
    waiting = asyncio.create_task(subscription.next(WAIT))
    await asyncio.sleep(0)
    tell(events, 1)
    woken = await waiting
    assert isinstance(woken, Event)
    assert woken.sequence == 5


async def test_reader_goes_on_after_a_position_and_misses_nothing() -> None:
    events = make()
    tell(events, 3)
    assert await sequences(events.subscribe(Position("boot-1", 1)), 2) == [2, 3]
    assert await sequences(events.subscribe(from_oldest=True), 3) == [1, 2, 3]


async def test_position_that_left_the_ring_is_a_gap_of_known_size() -> None:
    events = make()
    tell(events, 10)  # 7, 8, 9 and 10 are held
    subscription = events.subscribe(Position("boot-1", 2))
    assert await subscription.next(WAIT) == Gap("boot-1", 4, 7)
    assert await sequences(subscription, 4) == [7, 8, 9, 10]


async def test_slow_reader_is_told_its_gap_and_costs_no_memory() -> None:
    """It reads one event, sleeps through a hundred, and goes on with what is held."""
    events = make()
    subscription = events.subscribe()
    tell(events, 1)
    assert await sequences(subscription, 1) == [1]
    tell(events, 100)
    assert await subscription.next(WAIT) == Gap("boot-1", 96, 98)
    assert await sequences(subscription, 4) == [98, 99, 100, 101]
    assert await subscription.next(0.001) is None
    assert len(events._ring) == 4


async def test_position_of_another_boot_is_a_gap_of_unknown_size() -> None:
    events = make()
    tell(events, 1)
    subscription = events.subscribe(Position("boot-0", 700))
    assert await subscription.next(WAIT) == Gap("boot-0", None, 1)
    assert await sequences(subscription, 1) == [1]


async def test_position_that_was_never_told_is_refused() -> None:
    events = make()
    tell(events, 1)
    assert events.subscribe(Position("boot-1", 1))
    with pytest.raises(EventPositionError):
        events.subscribe(Position("boot-1", 2))


async def test_readers_are_bounded_and_a_closed_one_makes_room() -> None:
    events = make()
    open_ = [events.subscribe() for _ in range(SUBSCRIPTIONS_MAX)]
    with pytest.raises(ExhaustedError) as caught:
        events.subscribe()
    assert caught.value.code == "STREAMS_EXHAUSTED"
    open_[0].close()
    events.subscribe()


async def test_event_holds_only_what_a_message_can() -> None:
    """A file's name that is no UTF-8 must not end every stream that comes to it."""
    event = make().publish(EventType.SNAPSHOT_CUT, "at \udcff", path="\udcff")
    assert (event.message, event.context) == ("at \\udcff", {"path": "\\udcff"})
    error = PerdureError("at \udcff", context={"path": "\udcff"})
    assert (error.message, error.context) == ("at \\udcff", {"path": "\\udcff"})


async def test_ending_server_gives_what_is_left_and_then_the_end() -> None:
    events = make()
    subscription = events.subscribe()
    waiting = asyncio.create_task(subscription.next(WAIT))
    await asyncio.sleep(0)
    tell(events, 1)
    events.close()
    assert isinstance(await waiting, Event)
    with pytest.raises(UnavailableError):
        await subscription.next(WAIT)
    with pytest.raises(UnavailableError):
        events.subscribe()


async def test_event_says_how_bad_and_what_about_within_bounds() -> None:
    events = make()
    heard: list[Event] = []
    events.add_listener(heard.append)
    about = About("backends/x", "op", "DISK_FULL")
    events.publish(EventType.BACKEND_DOWN, "x" * 10_000, about, tries=3)
    (event,) = heard
    assert (event.severity, event.resource, event.operation_id, event.reason) == (
        *(Severity.WARNING, "backends/x", "op", "DISK_FULL"),
    )
    assert event.context == {"tries": "3"}
    assert len(event.message) < 1000
    events.publish(EventType.OPERATION_ENDED, "", About(severity=Severity.ERROR))
    assert heard[-1].severity is Severity.ERROR
