"""The sync client of the control door.

    with Client("127.0.0.1:6381") as client:
        snapshot = client.snapshots.take()

The methods are verbs (`perdure.control_methods`); the asyncio client is in `perdure.aio`, the
clients of the data door in `perdure.data_client` and `perdure.data_aio`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from perdure.control.v1.event_pb2 import Event, EventGap, EventPosition
from perdure.control_methods import Backends, Clones, Operations, Schedules, Server, Snapshots
from perdure.driver import Driver
from perdure.errors import PerdureError
from perdure.steps import DEADLINE_SECONDS
from perdure.watching import Watch, watch_events

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

    def watch_events(
        self,
        filter_text: str = "",
        *,
        after: EventPosition | None = None,
        from_oldest: bool = False,
        on_break: Callable[[PerdureError], None] | None = None,
    ) -> Generator[Event | EventGap, None, None]:
        """Give what happens in the server, as it happens, for ever; blocks.

        From now on, after a position, or from the oldest event that the server holds. A stream that
        breaks is opened again where it was; what was lost meanwhile is an `EventGap`.

        >>> with Client(control_target) as client:
        ...     events = client.watch_events("type = TYPE_ENGINE_STATE", from_oldest=True)
        ...     event = next(events)
        ...     events.close()
        >>> event.context["state"]
        'loading'
        """
        return watch_events(self, Watch(filter_text, after, from_oldest), on_break)
