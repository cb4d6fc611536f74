"""A clock that tests drive: time passes only when they say so, and sleepers wake in order."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta


class DrivenClock:
    """Our Clock protocol on a time that stands still."""

    def __init__(self, start: datetime = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)) -> None:
        self._now = start
        self._start = start
        self._order = itertools.count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    def unix_ms(self) -> int:
        return int(self._now.timestamp() * 1000)

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wake = self._now + timedelta(seconds=seconds)
        heapq.heappush(self._sleepers, (wake, next(self._order), future))
        await future

    def advance(self, span: timedelta) -> None:
        """Let time pass and wake whoever has slept enough."""
        self._now += span
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
