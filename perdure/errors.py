"""The one error that the client raises, and how it is read off a gRPC status.

A server's error arrives as google.rpc.Status with ErrorInfo (stable reason, context, hint) and
RetryInfo; the end of a failed operation carries the same Status. Both become `PerdureError` here.
What the server may answer is decided in `sidecar.rpc`, not here.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "perdure"
_HINT_KEY = "hint"


class PerdureError(Exception):
    """A call or an operation failed.

    Attributes:
        code: the stable reason, UPPER_SNAKE (`SNAPSHOT_NOT_FOUND`); match on this.
        status: the name of the gRPC status (`NOT_FOUND`).
        message: what happened, for a person.
        hint: what to do next; may be empty.
        is_retryable: the same call may succeed later.
        retry_after_seconds: how long the server asks to wait, when it says so.
        context: the fields that belong to this error.
        of_operation: an operation ended with this error (the call itself succeeded).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: str = "UNKNOWN",
        hint: str = "",
        retry_after_seconds: float | None = None,
        context: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.hint = hint
        self.retry_after_seconds = retry_after_seconds
        self.context = context or {}
        self.is_retryable = retry_after_seconds is not None or status == "UNAVAILABLE"
        self.of_operation = False


class _Failure(Protocol):
    """What grpc's sync and asyncio errors have in common."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...


def error_from_status(status: status_pb2.Status) -> PerdureError:
    """Read a google.rpc.Status, as it ends a failed operation or rides on a failed call."""
    name = code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN"
    reason, hint, context = name, "", {}
    retry_after: float | None = None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            reason, context = info.reason, dict(info.metadata)
            hint = context.pop(_HINT_KEY, "")
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return PerdureError(
        reason,
        status.message,
        status=name,
        hint=hint,
        retry_after_seconds=retry_after,
        context=context,
    )


def error_from_call(failure: _Failure, target: str) -> PerdureError:
    """Read the error of a failed gRPC call to `target`, whoever raised it."""
    rich = rpc_status.from_call(cast("Any", failure))
    if rich is not None:
        return error_from_status(rich)
    status = failure.code()
    if status is grpc.StatusCode.UNAVAILABLE:
        return PerdureError(
            "SERVER_UNREACHABLE",
            f"no Perdure server answers at {target}",
            status=status.name,
            hint="check that `perdure serve` runs and that --target names its control port",
            context={"target": target, "detail": failure.details() or ""},
        )
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return PerdureError(
            "DEADLINE_EXCEEDED",
            f"{target} did not answer in time",
            status=status.name,
            hint="perdure status, and perdure operation list: the work may still be going on",
            context={"target": target},
        )
    return PerdureError(status.name, failure.details() or status.name, status=status.name)
