"""Why the process is to end, whoever says so: a signal, a client's SHUTDOWN, or a failed engine.

One object hears all of them. A signal may come again: each one is a new request, since an end can
be refused (the data could not be saved) and asked for anew.
"""

from __future__ import annotations

import asyncio
import signal
from enum import Enum, auto

from sidecar.engine import EngineAdapter
from sidecar.engine_port import EngineState

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopReason(Enum):
    """What asked for the end."""

    SIGNAL = auto()
    CLIENT = auto()
    """SHUTDOWN on the RESP door: the engine has saved as it was told, and is stopped."""
    ENGINE = auto()
    """The engine failed or stopped without being asked."""


class StopRequests:
    """Waits for a reason to end. Install it in the loop that serves."""

    def __init__(self, engine: EngineAdapter) -> None:
        self._engine = engine
        self._queue: asyncio.Queue[StopReason] = asyncio.Queue()
        self._watcher: asyncio.Task[None] | None = None

    def install(self) -> None:
        """Begin to hear signals and the engine."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._queue.put_nowait, StopReason.SIGNAL)
        self._engine.add_listener(self._note_state)
        self._watcher = loop.create_task(self._watch_client(), name="watch-shutdown")

    def remove(self) -> None:
        """Leave signals to Python again."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        if self._watcher is not None:
            self._watcher.cancel()

    def ask(self, reason: StopReason) -> None:
        """Ask for the end."""
        self._queue.put_nowait(reason)

    async def wait(self) -> StopReason:
        """Return the next reason to end."""
        return await self._queue.get()

    async def _watch_client(self) -> None:
        await self._engine.exit_requested.wait()
        self._queue.put_nowait(StopReason.CLIENT)

    def _note_state(self, state: EngineState) -> None:
        # SHUTDOWN stops the engine too; its own event comes with it and says more.
        if state is EngineState.FAILED:
            self._queue.put_nowait(StopReason.ENGINE)
