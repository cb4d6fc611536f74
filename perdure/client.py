"""The sync client: a channel to one server's control door, and the driver of verbs over it.

    with Client("127.0.0.1:6381") as client:
        snapshots = client.run(verbs.list_snapshots())

What the verbs are lives in `perdure.verbs`; the asyncio driver in `perdure.aio`.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message

from perdure.errors import error_from_call
from perdure.steps import Ask, Call, Close, Next, Open, Pause, Res, Rpc, Send, Step, Work

T = TypeVar("T")

DEFAULT_TARGET = "127.0.0.1:6381"
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
CHANNEL_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # Proxies of the environment are for the web; a sidecar's door is nearly always loopback.
    ("grpc.enable_http_proxy", 0),
]


class Client:
    """A blocking client of one server. Safe to share between threads; close it when done."""

    def __init__(self, target: str = DEFAULT_TARGET) -> None:
        """Open a channel to `target` (host:port). Nothing is sent before the first verb."""
        self.target = target
        self._channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)

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
                try:
                    answer = self._perform(step)
                except grpc.RpcError as failure:
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
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Ask(rpc, request, deadline_seconds):
                ask = self._channel.unary_unary(rpc.path, _encode, rpc.response.FromString)
                return ask(request, timeout=deadline_seconds)
            case Send(rpc, messages, deadline_seconds):
                send = self._channel.stream_unary(rpc.path, _encode, rpc.response.FromString)
                return send(messages, timeout=deadline_seconds)
            case Open(rpc, request, deadline_seconds):
                open_ = self._channel.unary_stream(rpc.path, _encode, rpc.response.FromString)
                return open_(request, timeout=deadline_seconds)
            case Next(stream):
                return next(stream, None)
            case Close(stream):
                return stream.cancel()
            case Work(run):
                return run()


def _encode(message: Message) -> bytes:
    return message.SerializeToString()
