"""The asyncio client: the same verbs as `perdure.client`, driven without blocking the loop.

async with AsyncClient("127.0.0.1:6381") as client:
    snapshots = await client.run(verbs.list_snapshots())
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from perdure.client import CHANNEL_OPTIONS, DEFAULT_TARGET
from perdure.errors import error_from_call
from perdure.steps import Ask, Call, Close, Next, Open, Pause, Res, Rpc, Send, Step, Work

T = TypeVar("T")


class AsyncClient:
    """An asyncio client of one server. Belongs to the loop that it was made in."""

    def __init__(self, target: str = DEFAULT_TARGET) -> None:
        """Open a channel to `target` (host:port). Nothing is sent before the first verb."""
        self.target = target
        self._channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel. Calls in flight end with CANCELLED."""
        await self._channel.close()

    async def run(self, call: Call[T]) -> T:
        """Run one verb to its end and return its result.

        Raises:
            PerdureError: the server refused, failed, or was not there.
        """
        try:
            step = next(call)
            while True:
                try:
                    answer = await self._perform(step)
                except grpc.aio.AioRpcError as failure:
                    step = call.throw(error_from_call(failure, self.target))
                except OSError as failure:  # of a file that the verb works on
                    step = call.throw(failure)
                else:
                    step = call.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            call.close()

    async def stream(self, rpc: Rpc[Res], request: Message) -> AsyncIterator[Res]:
        """Ask an rpc that answers with a stream, and give its messages as they come.

        As `Client.stream`: nothing is retried, and closing the iterator ends the call.
        """
        ask = self._channel.unary_stream(
            rpc.path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=rpc.response.FromString,
        )
        call = ask(request)
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as failure:
            raise error_from_call(failure, self.target) from None
        finally:
            call.cancel()

    async def _perform(self, step: Step) -> Any:  # noqa: PLR0911  # one for each kind of step
        match step:
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Ask(rpc, request, deadline_seconds):
                ask = self._channel.unary_unary(rpc.path, _encode, rpc.response.FromString)
                return await ask(request, timeout=deadline_seconds)
            case Send(rpc, messages, deadline_seconds):
                send = self._channel.stream_unary(rpc.path, _encode, rpc.response.FromString)
                return await send(_unblock(messages), timeout=deadline_seconds)
            case Open(rpc, request, deadline_seconds):
                open_ = self._channel.unary_stream(rpc.path, _encode, rpc.response.FromString)
                return open_(request, timeout=deadline_seconds)
            case Next(stream):
                message = await stream.read()
                return None if message is grpc.aio.EOF else message
            case Close(stream):
                return stream.cancel()
            case Work(run):
                return await asyncio.to_thread(run)


def _encode(message: Message) -> bytes:
    return message.SerializeToString()


async def _unblock(messages: Iterator[Message]) -> AsyncIterator[Message]:
    """Make messages in a thread: they are read from a file."""
    while (message := await asyncio.to_thread(next, messages, None)) is not None:
        yield message
