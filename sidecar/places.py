"""How many calls may run on one backend, and who waits for a place. Used from the loop only.

A hanging call holds its place until its thread ends, given up or not: that bounds the threads. Who
finds no place waits for one in turn. When all places are held by calls that were given up, waiting
is of no use, and it is said at once. Payloads that are read may not have all places: what is to be
stored, and the small calls, keep some.
"""

from __future__ import annotations

import asyncio

CALLS_MAX = 8
READS_MAX = 5


class BusyError(Exception):
    """No place was free within the time: others use the backend, which says nothing about it."""


class HangingError(Exception):
    """Every place is held by a call that was given up and does not end."""


class Place:
    """One call's place."""

    def __init__(self, *, is_read: bool) -> None:
        self.is_read = is_read
        self.is_given_up = False


class Places:
    """The places of one backend."""

    def __init__(self) -> None:
        self._held: set[Place] = set()
        self._waiting: list[tuple[Place, asyncio.Future[None]]] = []

    async def take(self, seconds: float, *, is_read: bool) -> Place:
        """Wait for a place; BusyError when none came free in time, HangingError when none can."""
        place = Place(is_read=is_read)
        entry = (place, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._hand_on()
        try:
            async with asyncio.timeout(seconds):
                await entry[1]
        except BaseException as exc:
            self.free(place)  # it may have been handed to us as we stopped waiting
            if isinstance(exc, TimeoutError):
                raise BusyError(f"{seconds:g} s") from exc
            raise
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
        return place

    def give_up(self, place: Place) -> None:
        """Say that nobody waits for the call any more; it keeps its place until it ends."""
        if place in self._held:
            place.is_given_up = True
            self._hand_on()

    def free(self, place: Place) -> None:
        """Let the next one have it; freeing twice is nothing."""
        self._held.discard(place)
        self._hand_on()

    def _hand_on(self) -> None:
        for entry in list(self._waiting):
            place, turn = entry
            if turn.done():
                self._waiting.remove(entry)
            elif self._has_room(place):
                self._waiting.remove(entry)
                self._held.add(place)
                turn.set_result(None)
            elif self._is_hopeless(place):
                self._waiting.remove(entry)
                turn.set_exception(HangingError())

    def _has_room(self, place: Place) -> bool:
        reads = sum(held.is_read for held in self._held)
        return len(self._held) < CALLS_MAX and not (place.is_read and reads >= READS_MAX)

    def _is_hopeless(self, place: Place) -> bool:
        lost = [held for held in self._held if held.is_given_up]
        reads = sum(held.is_read for held in lost)
        return len(lost) >= CALLS_MAX or (place.is_read and reads >= READS_MAX)
