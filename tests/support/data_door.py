"""A data door that answers as a test scripts it: for what the client does when answers go wrong.

It knows nothing of keys. Each answer is a message, a (status, reason) to refuse with (reason None:
without our details), or LOSE: end the call as a broken connection does. What was asked is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from perdure.data.v1 import data_messages_pb2 as messages

LOSE = "lose"
_STREAMS = frozenset({"Scan"})
_EXCHANGES = frozenset({"Pipeline"})


@dataclass
class ScriptedDoor:
    """The script, and what came."""

    script: list[Any] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    target: str = ""

    def _answer(self, name: str, request: Any, context: grpc.ServicerContext) -> Any:
        self.asked.append((name, request))
        answer = self.script.pop(0)
        if answer == LOSE:
            context.abort(grpc.StatusCode.UNAVAILABLE, "socket closed")
        if isinstance(answer, tuple):
            context.abort_with_status(rpc_status.to_status(_refusal(*answer)))
        return answer

    def _stream(self, name: str, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self.asked.append((name, messages.ScanRequest.FromString(request.SerializeToString())))
        while self.script:
            answer = self.script.pop(0)
            if answer == LOSE:
                context.abort(grpc.StatusCode.UNAVAILABLE, "socket closed")
            yield answer

    def _exchange(self, name: str, requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Answer each message in turn; a refusal ends the stream, and so does the script's end."""
        while self.script:
            if isinstance(self.script[0], tuple):
                context.abort_with_status(rpc_status.to_status(_refusal(*self.script.pop(0))))
            self.asked.append((name, next(requests)))
            yield self.script.pop(0)


def _refusal(status: str, reason: str | None) -> status_pb2.Status:
    refusal = status_pb2.Status(code=code_pb2.Code.Value(status), message=reason or "")
    if reason is None:
        return refusal
    info = error_details_pb2.ErrorInfo(reason=reason, domain="perdure")
    info.metadata["hint"] = "a hint"
    refusal.details.add().Pack(info)
    return refusal


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, door: ScriptedDoor) -> None:
        self._door = door

    def service(self, handler_call_details: Any) -> Any:
        name = handler_call_details.method.rpartition("/")[2]
        request: Any = getattr(messages, f"{name}Request")
        make: Any = grpc.unary_unary_rpc_method_handler
        answer: Any = self._door._answer
        if name in _EXCHANGES:
            make = grpc.stream_stream_rpc_method_handler
            answer = self._door._exchange
        if name in _STREAMS:
            make, answer = grpc.unary_stream_rpc_method_handler, self._door._stream
        return make(
            lambda asked, context: answer(name, asked, context),
            request_deserializer=request.FromString,
            response_serializer=_encode,
        )


def _encode(message: Message) -> bytes:
    return message.SerializeToString()


@contextmanager
def scripted_door() -> Iterator[ScriptedDoor]:
    """Serve a door for as long as the block runs."""
    door = ScriptedDoor()
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((_Handlers(door),))
    door.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield door
    finally:
        server.stop(None).wait()
