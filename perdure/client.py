"""The sync client of the control door.

    with Client("127.0.0.1:6381") as client:
        snapshot = client.snapshots.take()

The methods are verbs (`perdure.control_methods`); the asyncio client is in `perdure.aio`, the
clients of the data door in `perdure.data_client` and `perdure.data_aio`.
"""

from __future__ import annotations

from perdure.control_methods import Backends, Clones, Operations, Schedules, Server, Snapshots
from perdure.driver import Driver
from perdure.steps import DEADLINE_SECONDS

DEFAULT_TARGET = "127.0.0.1:6381"


class Client(Driver):
    """A blocking client of one server's control door. Safe to share between threads.

    >>> with Client(control_target) as client:
    ...     client.snapshots.list()
    []
    """

    def __init__(
        self, target: str = DEFAULT_TARGET, deadline_seconds: float = DEADLINE_SECONDS
    ) -> None:
        """Open a channel to `target` (host:port). Nothing is sent before the first call."""
        super().__init__(target, deadline_seconds)
        self.snapshots = Snapshots[Driver](self)
        self.schedules = Schedules[Driver](self)
        self.server = Server[Driver](self)
        self.backends = Backends[Driver](self)
        self.clones = Clones[Driver](self)
        self.operations = Operations[Driver](self)
