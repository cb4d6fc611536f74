"""The asyncio client of the data door: the methods of `perdure.data_client`, awaited.

async with AsyncDataClient("127.0.0.1:6380") as client:
await client.set("greeting", "hello")
async for entry in client.scan("user:*"):
...
"""

from __future__ import annotations

from perdure.aio_driver import AsyncDriver
from perdure.data_client import (
    DATA_CHANNEL_OPTIONS,
    DATA_DEADLINE_SECONDS,
    DATA_TARGET,
    DataMethods,
)
from perdure.data_values import Durability
from perdure.pipelines import BATCH_COMMANDS, AsyncPipeline, new_core


class AsyncDataClient(AsyncDriver, DataMethods[AsyncDriver]):
    """An asyncio client of one server's data door. Belongs to the loop it was made in."""

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
    ) -> AsyncPipeline:
        """Return a block whose commands go out in batches over one stream; `await` its methods."""
        return AsyncPipeline(self, new_core(durability, database, batch_commands))
