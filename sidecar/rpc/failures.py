"""The one table from typed errors to gRPC, and the interceptor at the edge that applies it.

By class, most specific first. What is not in the table, foreign exceptions included, is a bug:
INTERNAL with an incident id, logged once with its trace, its text kept from the caller. Every
answer carries google.rpc.ErrorInfo (reason = the stable code, metadata = context and hint) and
RetryInfo where a repeat can help. Adding an error class? The test of this table will ask for it.

Limit: gRPC carries all of it in trailing metadata (8 KiB by default), so long texts are cut.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from sidecar import errors

DOMAIN = "perdure"
MESSAGE_CHARS_MAX = 1024
VALUE_CHARS_MAX = 256
CONTEXT_FIELDS_MAX = 12
RETRY_SECONDS = 1
GUARDED = ("/perdure.", "/google.longrunning.")  # health and reflection answer for themselves

Code = grpc.StatusCode

STATUS_BY_CLASS: tuple[tuple[type[errors.PerdureError], Code], ...] = (
    (errors.EventPositionError, Code.OUT_OF_RANGE),
    (errors.UsageError, Code.INVALID_ARGUMENT),
    (errors.NotFoundError, Code.NOT_FOUND),
    (errors.AlreadyExistsError, Code.ALREADY_EXISTS),
    (errors.RevisionMismatchError, Code.ABORTED),
    (errors.ConflictError, Code.FAILED_PRECONDITION),
    (errors.BackendTimeoutError, Code.DEADLINE_EXCEEDED),
    (errors.UnavailableError, Code.UNAVAILABLE),
    (errors.CorruptError, Code.DATA_LOSS),
    (errors.ExhaustedError, Code.RESOURCE_EXHAUSTED),
    (errors.CancelledOperationError, Code.CANCELLED),
    (errors.OperationInterruptedError, Code.ABORTED),
    (errors.BackendRefusedError, Code.FAILED_PRECONDITION),
    (errors.BootRefusedError, Code.FAILED_PRECONDITION),
    (errors.CloneFailedError, Code.ABORTED),
)

# By code: what a class alone does not say. The engine's errors keep the engine's own codes, and the
# error that an operation keeps after a restart has a code and no class.
STATUS_BY_CODE: dict[str, Code] = {
    "SNAPSHOT_NOT_FOUND": Code.NOT_FOUND,
    "SCHEDULE_NOT_FOUND": Code.NOT_FOUND,
    "OPERATION_NOT_FOUND": Code.NOT_FOUND,
    "BACKEND_NOT_FOUND": Code.NOT_FOUND,
    "CLONE_NOT_FOUND": Code.NOT_FOUND,
    "CLONE_START_TIMEOUT": Code.ABORTED,
    "CLONES_EXHAUSTED": Code.RESOURCE_EXHAUSTED,
    "SPOOL_FULL": Code.RESOURCE_EXHAUSTED,
    "STREAMS_EXHAUSTED": Code.RESOURCE_EXHAUSTED,
    "DOWNLOAD_TOO_SLOW": Code.DEADLINE_EXCEEDED,
    "TRANSFERS_BUSY": Code.RESOURCE_EXHAUSTED,
    "SNAPSHOT_DROPPED": Code.RESOURCE_EXHAUSTED,
    "SNAPSHOT_IN_USE": Code.FAILED_PRECONDITION,
    "SNAPSHOT_SUPERSEDED": Code.UNAVAILABLE,
    "CATALOGUE_FAILED": Code.INVALID_ARGUMENT,
    "CATALOGUE_TOO_NEW": Code.INVALID_ARGUMENT,
    # the backends', which have classes of their own
    "BACKEND_CHECKSUM_MISMATCH": Code.UNAVAILABLE,
    "BACKEND_CLOCK_SKEWED": Code.FAILED_PRECONDITION,
    "BACKEND_CONFIG_INVALID": Code.FAILED_PRECONDITION,
    "BACKEND_CREDENTIALS_INVALID": Code.FAILED_PRECONDITION,
    "BACKEND_FAILED": Code.FAILED_PRECONDITION,
    "BACKEND_LOCATION_MISSING": Code.FAILED_PRECONDITION,
    "BACKEND_NO_SPACE": Code.RESOURCE_EXHAUSTED,
    "BACKEND_PERMISSION_DENIED": Code.FAILED_PRECONDITION,
    "BACKEND_THROTTLED": Code.UNAVAILABLE,
    "BLOB_KEY_INVALID": Code.FAILED_PRECONDITION,
    # the engine's
    "ADDRESS_IN_USE": Code.FAILED_PRECONDITION,
    "ADDRESS_INVALID": Code.INVALID_ARGUMENT,
    "CHILD_BUSY": Code.FAILED_PRECONDITION,
    "CHILD_ENDED": Code.ABORTED,
    "CHILD_RUNNING": Code.FAILED_PRECONDITION,
    "COMMIT_PAUSE_TOO_LONG": Code.ABORTED,
    "COMMIT_TARGET_CHANGED": Code.ABORTED,
    "FORK_FAILED": Code.RESOURCE_EXHAUSTED,
    "STAGE_BUSY": Code.FAILED_PRECONDITION,
    "STAGE_NOT_FOUND": Code.FAILED_PRECONDITION,
    "TOO_MANY_JOBS": Code.RESOURCE_EXHAUSTED,
    "LOADING": Code.UNAVAILABLE,
    "LOG_BUSY": Code.FAILED_PRECONDITION,
    "LOG_FAILED": Code.UNAVAILABLE,
    "LOG_TIMEOUT": Code.UNAVAILABLE,
    "OUT_OF_MEMORY": Code.RESOURCE_EXHAUSTED,
    "DISK_FULL": Code.RESOURCE_EXHAUSTED,
    "PERMISSION_DENIED": Code.FAILED_PRECONDITION,
    "FILE_MISSING": Code.FAILED_PRECONDITION,
    "FILE_EXISTS": Code.FAILED_PRECONDITION,
}
# Families of codes; the engine's as `sidecar.engine` sorts them into classes.
STATUS_BY_PREFIX: tuple[tuple[str, Code], ...] = (
    ("AOF_", Code.DATA_LOSS),
    ("BOOT_SOURCE_", Code.FAILED_PRECONDITION),
    ("CONFIG_", Code.INVALID_ARGUMENT),
    ("MEMORY_", Code.RESOURCE_EXHAUSTED),
    ("RDB_", Code.DATA_LOSS),
    ("STATE_FILE_", Code.DATA_LOSS),
)

_log = structlog.get_logger(__name__)


def status_of(error: errors.PerdureError) -> Code | None:
    """Return the gRPC status for a typed error, or None when the table does not know it."""
    if isinstance(error, errors.EngineFailedError):
        # A code that is not here is still the engine's word, not an accident of this process: it
        # is answered INTERNAL with its own code, message and hint.
        return status_of_code(error.code)
    return _status_of_class(type(error))


def _status_of_class(kind: type[errors.PerdureError]) -> Code | None:
    for parent, code in STATUS_BY_CLASS:
        if issubclass(kind, parent):
            return code
    return None


def encode_error(error: errors.PerdureError, code: Code) -> status_pb2.Status:
    """Return the google.rpc.Status for `error`, short enough for gRPC's trailers."""
    info = error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN)
    for key, value in list(error.context.items())[:CONTEXT_FIELDS_MAX]:
        info.metadata[key] = _cut(value, VALUE_CHARS_MAX)
    if error.hint:
        info.metadata["hint"] = _cut(error.hint, MESSAGE_CHARS_MAX)
    status = status_pb2.Status(code=code.value[0], message=_cut(error.message, MESSAGE_CHARS_MAX))
    status.details.add().Pack(info)
    if error.is_retryable:
        delay = Duration(seconds=RETRY_SECONDS)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def encode_stored_error(stored: Mapping[str, object]) -> status_pb2.Status:
    """Return the status for an error in the form of `PerdureError.to_json`."""
    context = stored.get("context")
    error = errors.PerdureError(
        str(stored.get("message", "")),
        code=str(stored.get("code", "INTERNAL")),
        hint=str(stored.get("hint", "")),
        is_retryable=bool(stored.get("is_retryable")),
        context=context if isinstance(context, dict) else {},
    )
    return encode_error(error, status_of_code(error.code))


def status_of_code(code: str) -> Code:
    """Return the gRPC status for a stable code whose class is no longer known."""
    if code in STATUS_BY_CODE:
        return STATUS_BY_CODE[code]
    for prefix, status in STATUS_BY_PREFIX:
        if code.startswith(prefix):
            return status
    for kind in _all_classes(errors.PerdureError):
        if kind.default_code == code:
            return _status_of_class(kind) or Code.INTERNAL
    return Code.INTERNAL


def _all_classes(kind: type[errors.PerdureError]) -> Iterator[type[errors.PerdureError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _all_classes(child)


def encode_failure(failure: BaseException, **where: str) -> status_pb2.Status:
    """Return the status for whatever a use case raised; log it when nobody expected it."""
    if isinstance(failure, errors.PerdureError):
        code = status_of(failure)
        if code is not None:
            return encode_error(failure, code)
    incident = secrets.token_hex(4)
    _log.error("unexpected_failure", incident=incident, exc_info=failure, **where)
    return encode_error(
        errors.InternalError(
            f"something unexpected happened (incident {incident})",
            hint=f"look for incident {incident} in the server's log, and report it",
            context={"incident": incident},
        ),
        Code.INTERNAL,
    )


def _cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else f"{text[: chars_max - 1]}…"


Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Answer: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
StreamAnswer: TypeAlias = Callable[[Any, Context], AsyncIterator[Any]]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # not generic at run time


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turn what a servicer raises into a status; nothing else gets past this edge."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap each handler in its own kind; only streams of gRPC's own pass as they are."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(GUARDED):
            return handler
        for kind, (wrap, guard) in _KINDS.items():
            answer = getattr(handler, kind)
            if answer is not None:
                return cast(
                    "Handler",
                    wrap(
                        guard(answer, method),
                        request_deserializer=handler.request_deserializer,
                        response_serializer=handler.response_serializer,
                    ),
                )
        return handler


def _guard(answer: Answer, method: str) -> Answer:
    async def guarded(request: Any, context: Context) -> Any:
        try:
            return await answer(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as failure:  # noqa: BLE001  # the edge: everything is mapped or logged
            status = encode_failure(failure, method=method)
            await context.abort_with_status(rpc_status.to_status(status))

    return guarded


def _guard_stream(answer: StreamAnswer, method: str) -> StreamAnswer:
    async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            async for message in answer(request, context):
                yield message
        except grpc.aio.AbortError:
            raise
        except Exception as failure:  # noqa: BLE001  # the edge, as above
            status = encode_failure(failure, method=method)
            await context.abort_with_status(rpc_status.to_status(status))

    return guarded


# Whether the request is one message or a stream is nothing to the guard.
_KINDS: dict[str, tuple[Callable[..., Any], Callable[[Any, str], Any]]] = {
    "unary_unary": (grpc.unary_unary_rpc_method_handler, _guard),
    "unary_stream": (grpc.unary_stream_rpc_method_handler, _guard_stream),
    "stream_unary": (grpc.stream_unary_rpc_method_handler, _guard),
    "stream_stream": (grpc.stream_stream_rpc_method_handler, _guard_stream),
}
