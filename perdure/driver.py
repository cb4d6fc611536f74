"""Drives verbs (`perdure.steps`) over one channel, blocking; `perdure.aio_driver` for asyncio.

One channel serves all calls of a client, from any thread; it connects at the first call and again
when the server is back. What the verbs are is not known here.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message

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

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
CHANNEL_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # Proxies of the environment are for the web; a sidecar's door is nearly always loopback.
    ("grpc.enable_http_proxy", 0),
    # A server that restarts is found again within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class Driver:
    """A blocking connection to one door. Safe to share between threads; close it when done."""

    channel_options = CHANNEL_OPTIONS

    def __init__(self, target: str, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        """Open a channel to `target` (host:port). Nothing is sent before the first verb."""
        self.target = target
        self.deadline_seconds = deadline_seconds
        self._channel = grpc.insecure_channel(target, options=self.channel_options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel. Calls in flight end with CANCELLED."""
        self._channel.close()

    def run(self, call: Call[T]) -> T:
        """Run one verb to its end and return its result; blocks.

        Raises:
            PerdureError: the server refused, failed, or was not there.
        """
        try:
            step = next(call)
            while True:
                step = self._advance(call, step)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            call.close()

    def iterate(self, feed: Feed[T]) -> Iterator[T]:
        """Run one verb that gives items, and give them as they come; blocks between them.

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
                    step = self._advance(feed, step)
        except StopIteration:
            return
        finally:
            feed.close()

    def _advance(self, call: Generator[S, Any, Any], step: Step) -> S:
        try:
            answer = self._perform(step)
        except grpc.RpcError as failure:
            return call.throw(error_from_call(failure, self.target))
        except OSError as failure:  # of a file that the verb works on
            return call.throw(failure)
        return call.send(answer)

    def stream(self, rpc: Rpc[Res], request: Message) -> Generator[Res, None, None]:
        """Ask an rpc that answers with a stream, and give its messages as they come; blocks.

        Nothing is retried: what a stream can go on from, only its reader knows. Closing the
        iterator ends the call.

        Raises:
            PerdureError: the server refused, failed, or was not there.
        """
        ask = self._channel.unary_stream(
            rpc.path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=rpc.response.FromString,
        )
        call = ask(request)
        try:
            yield from call
        except grpc.RpcError as failure:
            raise error_from_call(failure, self.target) from None
        finally:
            call.cancel()

    def _perform(self, step: Step) -> Any:  # noqa: PLR0911  # one for each kind of step
        match step:
            case Ask(rpc, request, deadline):
                ask = self._channel.unary_unary(rpc.path, _encode, rpc.response.FromString)
                return ask(request, timeout=deadline or self.deadline_seconds)
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Send(rpc, messages, deadline):
                send = self._channel.stream_unary(rpc.path, _encode, rpc.response.FromString)
                return send(messages, timeout=deadline)
            case Open(rpc, request, deadline):
                open_ = self._channel.unary_stream(rpc.path, _encode, rpc.response.FromString)
                return open_(request, timeout=deadline)
            case Exchange(rpc, deadline):
                both = self._channel.stream_stream(rpc.path, _encode, rpc.response.FromString)
                return _Duplex(both, deadline)
            case Write(stream, message):
                return stream.write(message)
            case Next(stream):
                return next(stream, None)
            case Work(run):
                return run()


class _Duplex:
    """A stream in both directions: what is written waits here until gRPC takes it."""

    def __init__(self, both: Any, deadline_seconds: float) -> None:
        self._outgoing: SimpleQueue[Message | None] = SimpleQueue()
        self._call = both(iter(self._outgoing.get, None), timeout=deadline_seconds)

    def write(self, message: Message | None) -> None:
        """Send a message; None ends our side."""
        self._outgoing.put(message)

    def __next__(self) -> Any:
        return next(self._call)

    def cancel(self) -> None:
        """End the call."""
        self._outgoing.put(None)
        self._call.cancel()


def _encode(message: Message) -> bytes:
    return message.SerializeToString()
