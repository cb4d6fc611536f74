"""The sync client of the data door: keys and values over gRPC.

    with DataClient("127.0.0.1:6380") as client:
        client.set("greeting", "hello", durability=Durability.FSYNCED)
        client.get("greeting")

The methods are verbs (`perdure.data_verbs`); the asyncio client is in `perdure.data_aio`.
"""

from __future__ import annotations

from perdure import data_verbs
from perdure.data_values import Durability
from perdure.driver import CHANNEL_OPTIONS, Driver
from perdure.methods import D_co, Methods, feed, method
from perdure.pipelines import BATCH_COMMANDS, Pipeline, new_core

DATA_TARGET = "127.0.0.1:6380"
DATA_DEADLINE_SECONDS = 5.0
# Bounds are the server's: an answer refused here would hide what a write did.
DATA_CHANNEL_OPTIONS = [
    *((name, value) for name, value in CHANNEL_OPTIONS if not name.endswith("_message_length")),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


class DataMethods(Methods[D_co]):
    """What both data clients can do."""

    get = method(data_verbs.get)
    set = method(data_verbs.set)
    delete = method(data_verbs.delete)
    multi_get = method(data_verbs.multi_get)
    multi_set = method(data_verbs.multi_set)
    increment = method(data_verbs.increment)
    expire = method(data_verbs.expire)
    scan = feed(data_verbs.scan)
    execute = method(data_verbs.execute)
    transact = method(data_verbs.transact)
    wait_durable = method(data_verbs.wait_durable)


class DataClient(Driver, DataMethods[Driver]):
    """A blocking client of one server's data door. Safe to share between threads.

    >>> with DataClient(data_target) as other:
    ...     other.get("greeting") is None
    True
    """

    channel_options = DATA_CHANNEL_OPTIONS

    def __init__(
        self, target: str = DATA_TARGET, deadline_seconds: float = DATA_DEADLINE_SECONDS
    ) -> None:
        """Open a channel to `target` (host:port). Nothing is sent before the first call.

        `deadline_seconds` bounds each call that does not say otherwise.
        """
        super().__init__(target, deadline_seconds)
        self.driver = self

    def pipeline(
        self,
        *,
        durability: Durability | None = None,
        database: int = 0,
        batch_commands: int = BATCH_COMMANDS,
    ) -> Pipeline:
        """Return a block whose commands go out in batches over one stream.

        >>> with client.pipeline() as pipe:
        ...     replies = [pipe.execute("INCR", "counter") for _ in range(1000)]
        >>> replies[-1].result()
        1000
        """
        return Pipeline(self, new_core(durability, database, batch_commands))
