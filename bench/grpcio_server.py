"""A small server of the data API in Python: grpc.aio over a dict, as one would write it.

It does what the rows of `calls.py` need and nothing else: no log, no expiry, no types. Prints its
port, then serves until it is terminated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import grpc

from perdure.data.v1 import data_messages_pb2 as messages
from perdure.data.v1 import durability_pb2 as durability
from perdure.data.v1 import value_pb2 as values
from perdure.data.v1.data_service_pb2_grpc import (
    DataServiceServicer,
    add_DataServiceServicer_to_server,
)

_MEMORY = durability.WriteReceipt(durability=durability.DURABILITY_MEMORY)


class OfDict(DataServiceServicer):
    """Answers from a dict."""

    def __init__(self) -> None:
        """Begin empty."""
        self._values: dict[bytes, bytes] = {}

    async def Get(self, request: messages.GetRequest, _: object) -> messages.GetResponse:  # noqa: N802  # the wire's name
        """Answer one value."""
        return messages.GetResponse(value=self._values.get(request.key))

    async def Set(self, request: messages.SetRequest, _: object) -> messages.SetResponse:  # noqa: N802  # the wire's name
        """Set one value."""
        self._values[request.key] = request.value
        return messages.SetResponse(applied=True, receipt=_MEMORY)

    async def MultiGet(  # noqa: N802  # the wire's name
        self, request: messages.MultiGetRequest, _: object
    ) -> messages.MultiGetResponse:
        """Answer several values."""
        found = (messages.OptionalValue(value=self._values.get(key)) for key in request.keys)
        return messages.MultiGetResponse(values=found)

    async def MultiSet(  # noqa: N802  # the wire's name
        self, request: messages.MultiSetRequest, _: object
    ) -> messages.MultiSetResponse:
        """Set several values."""
        for entry in request.entries:
            self._values[entry.key] = entry.value
        return messages.MultiSetResponse(applied=True, receipt=_MEMORY)

    async def Pipeline(  # noqa: N802  # the wire's name
        self, requests: AsyncIterator[messages.PipelineRequest], _: object
    ) -> AsyncIterator[messages.PipelineResponse]:
        """Run GET and SET."""
        async for request in requests:
            results = [self._result(command.args) for command in request.commands]
            yield messages.PipelineResponse(id=request.id, results=results, receipt=_MEMORY)

    def _result(self, args: Sequence[bytes]) -> values.CommandResult:
        if args[0] == b"SET":
            self._values[args[1]] = args[2]
            return values.CommandResult(value=values.Value(status="OK"))
        value = self._values.get(args[1])
        return values.CommandResult(value=values.Value(blob=value) if value else values.Value())


async def _serve() -> None:
    server = grpc.aio.server()
    of_dict = OfDict()  # type: ignore[abstract]  # the rows call nothing else
    add_DataServiceServicer_to_server(of_dict, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve())
