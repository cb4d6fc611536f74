"""Writes a line of the audit log for each call that changes something; the one place that does.

Inside the guard of errors (`failures`), so that it sees the typed error and not its translation. A
call that is refused, fails or is cancelled has its line too. Reads are known by their verbs: a new
rpc under another verb is audited until somebody says that it changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
from google.longrunning import operations_proto_pb2 as lro
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from sidecar.audit import AuditLog, mask
from sidecar.clock import Clock
from sidecar.errors import PerdureError
from sidecar.rpc.failures import GUARDED, Answer, Context, Handler, status_of

READING_VERBS = ("Get", "List", "Wait", "Stream", "Download")
_NAMES = ("name", "schedule_id", "clone_id")


def is_mutation(method: str) -> bool:
    """Say whether a full method name (`/package.Service/Verb`) is one to be audited."""
    return method.startswith(GUARDED) and not method.rpartition("/")[2].startswith(READING_VERBS)


class AuditInterceptor(grpc.aio.ServerInterceptor):
    """Wrap the handlers of mutations."""

    def __init__(self, audit: AuditLog, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap what answers once; no mutation answers with a stream."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not is_mutation(method):
            return handler
        wraps: dict[str, Callable[..., Any]] = {
            "unary_unary": grpc.unary_unary_rpc_method_handler,
            "stream_unary": grpc.stream_unary_rpc_method_handler,
        }
        for kind, wrap in wraps.items():
            answer = getattr(handler, kind)
            if answer is not None:
                wrapped: Handler = wrap(
                    self._audited(answer, method),
                    request_deserializer=handler.request_deserializer,
                    response_serializer=handler.response_serializer,
                )
                return wrapped
        return handler

    def _audited(self, answer: Answer, method: str) -> Answer:
        async def audited(request: Any, context: Context) -> Any:
            header = _Header(request)
            started = self._clock.monotonic()
            outcome: dict[str, object] = {"outcome": "OK"}
            response: Message | None = None
            try:
                response = await answer(header.request, context)
            except asyncio.CancelledError:
                outcome = {"outcome": "CANCELLED"}
                raise
            except PerdureError as exc:
                status = status_of(exc) or grpc.StatusCode.INTERNAL
                outcome = {"outcome": status.name, "code": exc.code}
                raise
            except Exception:
                outcome = {"outcome": "INTERNAL"}
                raise
            finally:
                asked = header.message
                spent = round(self._clock.monotonic() - started, 6)
                record = {
                    "actor": "caller",
                    "peer": unquote(context.peer() or ""),
                    "method": method.lstrip("/"),
                    **_about(asked, response),
                    **outcome,
                    "duration_seconds": spent,
                    **_shown(asked),
                }
                self._audit.write(record)
            return response

        return audited


class _Header:
    """A request's one message, or the first of a stream: the part of it that is no bytes."""

    def __init__(self, request: Any) -> None:
        self.message: Message | None = request if isinstance(request, Message) else None
        self.request = request if self.message is not None else self._listen(request)

    async def _listen(self, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        is_first = True
        async for message in messages:
            if is_first:
                part = next((p for _, p in message.ListFields() if isinstance(p, Message)), None)
                self.message, is_first = part, False
            yield message


def _about(request: Message | None, response: Message | None) -> dict[str, object]:
    """Return target, operation and request_id, as far as the messages have them."""
    found: dict[str, object] = {}
    target = _first_name(request)
    if isinstance(response, lro.Operation):
        found["operation"] = response.name
    elif not target and response is not None:
        target = _first_name(response)
    if target:
        found["target"] = target
    request_id = getattr(request, "request_id", "")
    if request_id:
        found["request_id"] = request_id
    return found


def _first_name(message: Message | None) -> str:
    """Return what a message names: its own name, an id to be given, or its resource's name."""
    if message is None:
        return ""
    for field in _NAMES:
        if (text := getattr(message, field, "")) and isinstance(text, str):
            return text
    for part, value in message.ListFields():
        if part.message_type is not None and isinstance(getattr(value, "name", None), str):
            return str(value.name)
    return ""


def _shown(request: Message | None) -> dict[str, object]:
    """Return the request as JSON, without secrets and without what stands beside it already.

    A message may hold what has no form in JSON (a Duration out of its range, a path of a mask that
    is none): the call has its line all the same.
    """
    if request is None:
        return {"request": {}}
    try:
        document = MessageToDict(request, preserving_proto_field_name=True)
    except Exception as exc:  # noqa: BLE001 - whatever it is, it must not cost the line
        return {"left_out": f"the request: {type(exc).__name__}"}
    document.pop("request_id", None)
    return {"request": mask(document)}
