"""One lane for each backend: whose payload goes next, and when a failing backend is tried again.

A lane takes one payload at a time, so that a slow store never has more to do than it can, and a
hanging one never holds more than one: the newest cut goes first, and a cut that waits for its turn
gives way for good when a newer one of its schedule comes (it stays in the spool). After a failure
the waiting cuts are tried again with growing pauses; a new cut is tried at once, and its success
ends the pause. Nothing here is durable: what waits is what lies in the spool.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sidecar.clock import Clock
from sidecar.errors import BackendUnavailableError
from sidecar.observe import BackendFigures
from sidecar.spool import CutTarget, SpooledCut

RETRY_FIRST = timedelta(seconds=30)
RETRY_MAX = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Waiting:
    planned_at: datetime
    schedule: str | None
    turn: asyncio.Future[None]


class Lane:
    """The way to one backend."""

    def __init__(self, backend: str, clock: Clock, figures: BackendFigures) -> None:
        self.backend = backend
        self.settling = asyncio.Lock()  # one look at what waits at a time
        self.retry_at: datetime | None = None
        self.failures = 0  # since the last success
        self._clock = clock
        self._figures = figures
        self._is_taken = False
        self._waiting: list[_Waiting] = []

    # --- turns ------------------------------------------------------------------------

    @asynccontextmanager
    async def turn(self, cut: SpooledCut, target: CutTarget) -> AsyncIterator[None]:
        """Wait until no other payload is on its way; BackendUnavailableError when superseded."""
        self._supersede(cut, target)
        if self._is_taken:
            waiting = _Waiting(
                cut.planned_at, target.schedule, asyncio.get_running_loop().create_future()
            )
            self._waiting.append(waiting)
            try:
                await waiting.turn  # whoever was before us hands the lane over
            except asyncio.CancelledError:
                turn = waiting.turn
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self._hand_over()  # it had been handed to us already
                raise
            finally:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)
        self._is_taken = True
        try:
            yield
        finally:
            self._hand_over()

    def _supersede(self, cut: SpooledCut, target: CutTarget) -> None:
        for waiting in list(self._waiting):
            is_older = waiting.planned_at < cut.planned_at
            if target.schedule is not None and waiting.schedule == target.schedule and is_older:
                self._waiting.remove(waiting)
                if not waiting.turn.done():
                    waiting.turn.set_exception(self._superseded(target.schedule))

    def _superseded(self, schedule: str) -> BackendUnavailableError:
        self._figures.ships["superseded"] += 1
        return BackendUnavailableError(
            f"backend {self.backend} was still busy when the next snapshot of schedule "
            f"{schedule!r} was there",
            code="SNAPSHOT_SUPERSEDED",
            hint="The newer one goes first. Look at why the backend is slow: perdure backend list.",
            context={"backend": self.backend, "schedule_id": schedule},
        )

    def _hand_over(self) -> None:
        self._waiting = [waiting for waiting in self._waiting if not waiting.turn.done()]
        self._is_taken = bool(self._waiting)
        if self._waiting:
            newest = max(self._waiting, key=lambda waiting: waiting.planned_at)
            self._waiting.remove(newest)
            newest.turn.set_result(None)

    # --- what came of it --------------------------------------------------------------

    def is_due(self) -> bool:
        """Say whether what waits may be tried now."""
        return self.retry_at is None or self.retry_at <= self._clock.now()

    def note_stored(self) -> None:
        """Count a success: the backend is there, whatever waits may come."""
        self._figures.ships["ok"] += 1
        self.failures, self.retry_at = 0, None
        self._figures.ship_retry_at = None

    def note_failed(self) -> datetime:
        """Count a failure; return when what waits is tried again."""
        self._figures.ships["failed"] += 1
        if self.is_due():  # failures of the same minute are one
            self.failures += 1
            self.retry_at = self._clock.now() + min(
                RETRY_FIRST * 2 ** min(self.failures - 1, 8), RETRY_MAX
            )
        self._figures.ship_retry_at = self.retry_at
        return self.retry_at or self._clock.now()
