"""Drives verbs (`perdure.steps`) over one channel without blocking the loop, as `perdure.driver`.

Work that blocks (files) runs in threads. A driver belongs to the loop that it was made in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from perdure.driver import CHANNEL_OPTIONS
from perdure.errors import error_from_call
from perdure.steps import (
    DEADLINE_SECONDS,
    Ask,
    Call,
    Emit,
    Exchange,
    Feed,
    Next,
    Open,
    Pause,
    Res,
    Rpc,
    Send,
    Step,
    Work,
    Write,
)

T = TypeVar("T")
S = TypeVar("S")


class AsyncDriver:
    """An asyncio connection to one door. Belongs to the loop that it was made in."""

    channel_options = CHANNEL_OPTIONS

    def __init__(self, target: str, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        """Open a channel to `target` (host:port). Nothing is sent before the first verb."""
        self.target = target
        self.deadline_seconds = deadline_seconds
        self._channel = grpc.aio.insecure_channel(target, options=self.channel_options)

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
                step = self._resume(call, *await self._try(step))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            call.close()

    async def iterate(self, feed: Feed[T]) -> AsyncIterator[T]:
        """Run one verb that gives items, and give them as they come.

        Raises:
            PerdureError: as `run`.
        """
        try:
            step = next(feed)
            while True:
                if isinstance(step, Emit):
                    yield step.item
                    step = feed.send(None)
                else:
                    step = self._resume(feed, *await self._try(step))
        except StopIteration:
            return
        finally:
            feed.close()

    async def _try(self, step: Step) -> tuple[Any, Exception | None]:
        """Perform a step; give its answer, or what the verb is to be told."""
        try:
            return await self._perform(step), None
        except grpc.aio.AioRpcError as failure:
            return None, error_from_call(failure, self.target)
        except OSError as failure:  # of a file that the verb works on
            return None, failure

    @staticmethod
    def _resume(call: Generator[S, Any, Any], answer: Any, failure: Exception | None) -> S:
        """Go on with the verb; its end (StopIteration) could not leave a coroutine."""
        return call.send(answer) if failure is None else call.throw(failure)

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
            case Ask(rpc, request, deadline):
                ask = self._channel.unary_unary(rpc.path, _encode, rpc.response.FromString)
                return await ask(request, timeout=deadline or self.deadline_seconds)
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Send(rpc, messages, deadline):
                send = self._channel.stream_unary(rpc.path, _encode, rpc.response.FromString)
                return await send(_unblock(messages), timeout=deadline)
            case Open(rpc, request, deadline):
                open_ = self._channel.unary_stream(rpc.path, _encode, rpc.response.FromString)
                return open_(request, timeout=deadline)
            case Exchange(rpc, deadline):
                both = self._channel.stream_stream(rpc.path, _encode, rpc.response.FromString)
                return both(timeout=deadline)
            case Write(stream, message):
                return await _write(stream, message)
            case Next(stream):
                message = await stream.read()
                return None if message is grpc.aio.EOF else message
            case Work(run):
                return await asyncio.to_thread(run)


def _encode(message: Message) -> bytes:
    return message.SerializeToString()


async def _write(stream: Any, message: Message | None) -> None:
    """Send a message, or end our side; raise what the call ended with when it is over."""
    try:
        await (stream.done_writing() if message is None else stream.write(message))
    except asyncio.InvalidStateError:  # grpc's word for a call that is over, not ours to let out
        code = await stream.code()
        if code is grpc.StatusCode.OK:
            return  # the next read says that the stream has ended
        raise grpc.aio.AioRpcError(
            code,
            await stream.initial_metadata(),
            await stream.trailing_metadata(),
            await stream.details(),
        ) from None


async def _unblock(messages: Iterator[Message]) -> AsyncIterator[Message]:
    """Make messages in a thread: they are read from a file."""
    while (message := await asyncio.to_thread(next, messages, None)) is not None:
        yield message
