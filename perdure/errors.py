"""The errors that the client raises, and how they are read off a gRPC status.

    PerdureError
    ├── InvalidRequestError    INVALID_ARGUMENT, OUT_OF_RANGE
    ├── NotFoundError          NOT_FOUND
    ├── ConflictError          FAILED_PRECONDITION, ALREADY_EXISTS, ABORTED
    │   ├── WrongTypeError         WRONGTYPE: the key holds another type
    │   ├── NoLogError             NO_LOG: durability was asked for, and there is no log
    │   └── TransactionError       EXECABORT: nothing of it was executed
    ├── NotAllowedError        PERMISSION_DENIED, UNAUTHENTICATED
    ├── UnavailableError       UNAVAILABLE: nothing was executed, or that can be repeated
    ├── DeadlineError          DEADLINE_EXCEEDED
    ├── ExhaustedError         RESOURCE_EXHAUSTED (OOM, DISK_FULL ...)
    ├── DamagedError           DATA_LOSS
    ├── CancelledError         CANCELLED
    ├── CommandError           a command among several was refused for another reason
    └── OutcomeUnknownError    OUTCOME_UNKNOWN: the answer to a write was lost

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
        of_server: the server itself said so; otherwise the call failed on its way.
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
        self.of_server = False


class InvalidRequestError(PerdureError):
    """The request can never succeed."""


class NotFoundError(PerdureError):
    """No resource has that name."""


class ConflictError(PerdureError):
    """The state of the server or of the data forbids it."""


class WrongTypeError(ConflictError):
    """The key holds a value of another type."""


class NoLogError(ConflictError):
    """Durability beyond memory was asked for, and the server keeps no log."""


class TransactionError(ConflictError):
    """A command of a transaction cannot be understood; none was executed."""


class NotAllowedError(PerdureError):
    """The caller may not do that."""


class UnavailableError(PerdureError):
    """The server is not there, or cannot serve now."""


class DeadlineError(PerdureError):
    """No answer came in time."""


class ExhaustedError(PerdureError):
    """No room: memory, disk, or a bound."""


class DamagedError(PerdureError):
    """Bytes that cannot be believed."""


class CancelledError(PerdureError):
    """The work or the wait was cancelled."""


class CommandError(PerdureError):
    """A command among several was refused; the others were executed."""


class OutcomeUnknownError(PerdureError):
    """The answer to a write was lost: it may have been executed or not.

    Raised from the error that lost it (`__cause__`). Read the data, or repeat what may be repeated.
    """


_BY_CODE: dict[str, type[PerdureError]] = {
    "WRONGTYPE": WrongTypeError,
    "NO_LOG": NoLogError,
    "EXECABORT": TransactionError,
    "OOM": ExhaustedError,
    "LOADING": UnavailableError,
    "BUSY": UnavailableError,
    "MISCONF": UnavailableError,
    "NOPERM": NotAllowedError,
    "OUTCOME_UNKNOWN": OutcomeUnknownError,
}
_BY_STATUS: dict[str, type[PerdureError]] = {
    "INVALID_ARGUMENT": InvalidRequestError,
    "OUT_OF_RANGE": InvalidRequestError,
    "NOT_FOUND": NotFoundError,
    "FAILED_PRECONDITION": ConflictError,
    "ALREADY_EXISTS": ConflictError,
    "ABORTED": ConflictError,
    "PERMISSION_DENIED": NotAllowedError,
    "UNAUTHENTICATED": NotAllowedError,
    "UNAVAILABLE": UnavailableError,
    "DEADLINE_EXCEEDED": DeadlineError,
    "RESOURCE_EXHAUSTED": ExhaustedError,
    "DATA_LOSS": DamagedError,
    "CANCELLED": CancelledError,
}


def error_class(code: str, status: str) -> type[PerdureError]:
    """Return the class for a code, or else for a gRPC status."""
    return _BY_CODE.get(code) or _BY_STATUS.get(status, PerdureError)


class _Failure(Protocol):
    """What grpc's sync and asyncio errors have in common."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...


def error_from_status(status: status_pb2.Status) -> PerdureError:
    """Read a google.rpc.Status, as it ends a failed operation or rides on a failed call."""
    name = code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN"
    reason, hint, context = name, "", {}
    of_server = False
    retry_after: float | None = None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            reason, context = info.reason, dict(info.metadata)
            hint = context.pop(_HINT_KEY, "")
            of_server = True
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    error = error_class(reason, name)(
        reason,
        status.message,
        status=name,
        hint=hint,
        retry_after_seconds=retry_after,
        context=context,
    )
    error.of_server = of_server
    return error


def error_from_call(failure: _Failure, target: str) -> PerdureError:
    """Read the error of a failed gRPC call to `target`, whoever raised it."""
    rich = rpc_status.from_call(cast("Any", failure))
    if rich is not None:
        return error_from_status(rich)
    status = failure.code()
    if status is grpc.StatusCode.UNAVAILABLE:
        return UnavailableError(
            "SERVER_UNREACHABLE",
            f"no Perdure server answers at {target}",
            status=status.name,
            hint="check that `perdure serve` runs and that the target (--target) names its control "
            "port, or its data port for the data",
            context={"target": target, "detail": failure.details() or ""},
        )
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineError(
            "DEADLINE_EXCEEDED",
            f"{target} did not answer in time",
            status=status.name,
            hint="perdure status, and perdure operation list: the work may still be going on",
            context={"target": target},
        )
    kind = error_class(status.name, status.name)
    return kind(status.name, failure.details() or status.name, status=status.name)
