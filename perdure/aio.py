"""The asyncio client of the control door: the methods of `perdure.client`, awaited.

async with AsyncClient("127.0.0.1:6381") as client:
    snapshot = await client.snapshots.take()
"""

from __future__ import annotations

from perdure.aio_driver import AsyncDriver
from perdure.client import DEFAULT_TARGET
from perdure.control_methods import Backends, Clones, Operations, Schedules, Server, Snapshots
from perdure.steps import DEADLINE_SECONDS


class AsyncClient(AsyncDriver):
    """An asyncio client of one server's control door. Belongs to the loop it was made in."""

    def __init__(
        self, target: str = DEFAULT_TARGET, deadline_seconds: float = DEADLINE_SECONDS
    ) -> None:
        """Open a channel to `target` (host:port). Nothing is sent before the first call."""
        super().__init__(target, deadline_seconds)
        self.snapshots = Snapshots[AsyncDriver](self)
        self.schedules = Schedules[AsyncDriver](self)
        self.server = Server[AsyncDriver](self)
        self.backends = Backends[AsyncDriver](self)
        self.clones = Clones[AsyncDriver](self)
        self.operations = Operations[AsyncDriver](self)
