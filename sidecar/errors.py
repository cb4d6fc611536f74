"""The typed errors of the control plane; no mapping to gRPC or exit codes lives here.

    PerdureError
    ├── UsageError                 the caller's fault; repeating it as it is cannot help
    │   ├── InvalidArgumentError       INVALID_ARGUMENT
    │   ├── ConfigError                CONFIG_INVALID
    │   ├── EventPositionError         EVENT_POSITION_AHEAD
    │   └── AddressRefusedError        ADDRESS_REFUSED
    ├── NotFoundError              SNAPSHOT_/SCHEDULE_/OPERATION_/BACKEND_/CLONE_NOT_FOUND
    │   └── BlobNotFoundError          BLOB_NOT_FOUND
    ├── ConflictError              the request is sound, the state forbids it
    │   ├── AlreadyExistsError         ALREADY_EXISTS
    │   │   └── BlobExistsError            BLOB_EXISTS
    │   ├── RequestIdReusedError       REQUEST_ID_REUSED
    │   ├── RestoreInProgressError     RESTORE_IN_PROGRESS
    │   ├── ScheduleRunningError       SCHEDULE_RUNNING
    │   ├── SnapshotNotAvailableError  SNAPSHOT_NOT_AVAILABLE
    │   ├── SnapshotProtectedError     SNAPSHOT_PROTECTED
    │   ├── NotCancellableError        NOT_CANCELLABLE
    │   ├── RevisionMismatchError      REVISION_MISMATCH
    │   ├── CloneBusyError             CLONE_BUSY
    │   └── DataDirLockedError         DATA_DIR_LOCKED
    ├── UnavailableError           something outside does not answer; a retry can help
    │   ├── BackendUnavailableError    BACKEND_UNAVAILABLE, SNAPSHOT_SUPERSEDED
    │   ├── BackendTimeoutError        BACKEND_TIMEOUT, DOWNLOAD_TOO_SLOW
    │   ├── ServerUidUnknownError      SERVER_UID_UNKNOWN
    │   └── EngineNotReadyError        ENGINE_NOT_READY
    ├── CorruptError               bytes that cannot be believed
    │   ├── SnapshotDamagedError       SNAPSHOT_DAMAGED
    │   ├── ManifestInvalidError       MANIFEST_INVALID
    │   ├── CutDamagedError            CUT_DAMAGED
    │   └── ImportRefusedError         IMPORT_REFUSED
    ├── ExhaustedError             MEMORY_EXHAUSTED, DISK_FULL, SPOOL_FULL, SNAPSHOT_DROPPED,
    │                              CLONES_EXHAUSTED
    ├── CancelledOperationError    CANCELLED
    ├── OperationInterruptedError  OPERATION_INTERRUPTED
    │   └── ImportBrokenError          IMPORT_BROKEN
    ├── BackendRefusedError        BACKEND_REFUSED, or the backend's own code
    ├── CloneFailedError           CLONE_FAILED, CLONE_START_TIMEOUT
    ├── BootRefusedError           BOOT_SOURCE_AMBIGUOUS, _MISSING, _UNREACHABLE, _DAMAGED
    ├── EngineFailedError          whatever code the engine gave
    └── InternalError              INTERNAL

Nobody parses the message. `code` is stable; a new class or code is also named in
`docs/operations/errors.md` and mapped in the one table of `sidecar.rpc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class PerdureError(Exception):
    """Say what failed, why, and what the operator does next."""

    default_code: ClassVar[str] = "INTERNAL"
    default_retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        is_retryable: bool | None = None,
        context: Mapping[str, object] | None = None,
    ) -> None:
        # A file's name that is no UTF-8 may stand in it: it must not break who tells the error.
        message = message.encode(errors="backslashreplace").decode()
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = self.default_hint if hint is None else hint
        self.is_retryable = self.default_retryable if is_retryable is None else is_retryable
        self.context: dict[str, str] = {
            k: str(v).encode(errors="backslashreplace").decode() for k, v in (context or {}).items()
        }

    def to_json(self) -> dict[str, object]:
        """Return the form in which an operation keeps its error."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "is_retryable": self.is_retryable,
            "context": dict(self.context),
        }


class UsageError(PerdureError):
    """The request itself is wrong."""

    default_code = "INVALID_ARGUMENT"


class InvalidArgumentError(UsageError):
    """A field has a value that no state would accept."""


class ConfigError(UsageError):
    """The configuration cannot be used; nothing was started."""

    default_code = "CONFIG_INVALID"


class AddressRefusedError(UsageError):
    """A door was asked to listen beyond loopback without `insecure`."""

    default_code = "ADDRESS_REFUSED"
    default_hint = "Bind to a loopback address, or say --insecure if the network is yours."


class EventPositionError(UsageError):
    """A stream of events was to go on after one that was never told."""

    default_code = "EVENT_POSITION_AHEAD"
    default_hint = "Send back boot_id and sequence as an event or a heartbeat had them."


class NotFoundError(PerdureError):
    """No resource has that name."""

    default_code = "NOT_FOUND"


class BlobNotFoundError(NotFoundError):
    """A backend has no blob under that name."""

    default_code = "BLOB_NOT_FOUND"


class ConflictError(PerdureError):
    """The state of the server forbids the request."""

    default_code = "FAILED_PRECONDITION"


class AlreadyExistsError(ConflictError):
    """The name is taken."""

    default_code = "ALREADY_EXISTS"


class BlobExistsError(AlreadyExistsError):
    """A backend has a blob under that name; nothing is overwritten."""

    default_code = "BLOB_EXISTS"


class RequestIdReusedError(ConflictError):
    """The same request_id came with another request."""

    default_code = "REQUEST_ID_REUSED"
    default_hint = "Use a new request_id for each new request; repeat it only to retry one."


class RestoreInProgressError(ConflictError):
    """A restore runs already; `context` names its operation."""

    default_code = "RESTORE_IN_PROGRESS"


class ScheduleRunningError(ConflictError):
    """The schedule is taking a snapshot now; runs do not overlap."""

    default_code = "SCHEDULE_RUNNING"
    default_hint = "Wait for the running operation to end, then run the schedule again."
    default_retryable = True


class SnapshotNotAvailableError(ConflictError):
    """The snapshot has no copy that may be used (deleted, or marked damaged)."""

    default_code = "SNAPSHOT_NOT_AVAILABLE"
    default_hint = "List the snapshots that can be restored: perdure snapshot list"


class SnapshotProtectedError(ConflictError):
    """The snapshot is held, or is the newest verified one."""

    default_code = "SNAPSHOT_PROTECTED"


class NotCancellableError(ConflictError):
    """The operation has ended, or has passed its point of no return."""

    default_code = "NOT_CANCELLABLE"


class RevisionMismatchError(ConflictError):
    """The schedule changed since the caller read it."""

    default_code = "REVISION_MISMATCH"
    default_hint = "Read the schedule again and repeat the change on it."


class CloneBusyError(ConflictError):
    """The clone is being made or deleted; `context` names the operation, if there is one."""

    default_code = "CLONE_BUSY"


class DataDirLockedError(ConflictError):
    """Another process has the data directory."""

    default_code = "DATA_DIR_LOCKED"


class UnavailableError(PerdureError):
    """Something outside this process does not answer."""

    default_code = "UNAVAILABLE"
    default_retryable = True


class BackendUnavailableError(UnavailableError):
    """A backend cannot be reached or failed in a passing way."""

    default_code = "BACKEND_UNAVAILABLE"
    default_hint = "See what the backend says: perdure backend check"


class BackendTimeoutError(BackendUnavailableError):
    """A backend did not answer within its deadline; the call may still take effect."""

    default_code = "BACKEND_TIMEOUT"


class ServerUidUnknownError(UnavailableError):
    """The local state is gone and no backend could be asked who we are."""

    default_code = "SERVER_UID_UNKNOWN"
    default_hint = "Bring one backend back; the catalogue is then rebuilt without a restart."


class EngineNotReadyError(UnavailableError):
    """The engine is loading, failed or stopped."""

    default_code = "ENGINE_NOT_READY"


class CorruptError(PerdureError):
    """Bytes that cannot be believed; they are set aside, never deleted."""

    default_code = "DATA_CORRUPT"


class SnapshotDamagedError(CorruptError):
    """The stored payload is not what its manifest says."""

    default_code = "SNAPSHOT_DAMAGED"
    default_hint = "Restore another snapshot; the running data was not touched."


class ManifestInvalidError(CorruptError):
    """A manifest or a small object beside it cannot be read."""

    default_code = "MANIFEST_INVALID"


class CutDamagedError(CorruptError):
    """A cut in the spool did not verify; it was set aside in quarantine."""

    default_code = "CUT_DAMAGED"
    default_hint = "Check this machine's disk and memory, then take a snapshot again."


class ImportRefusedError(CorruptError):
    """A file from outside is damaged, too new, or another than was announced; nothing is left."""

    default_code = "IMPORT_REFUSED"


class ExhaustedError(PerdureError):
    """Memory, disk or the spool is full; nothing was changed."""

    default_code = "RESOURCE_EXHAUSTED"
    default_retryable = True


class CancelledOperationError(PerdureError):
    """Somebody cancelled the operation; nothing was changed."""

    default_code = "CANCELLED"


class OperationInterruptedError(PerdureError):
    """The process ended while the operation ran."""

    default_code = "OPERATION_INTERRUPTED"
    default_retryable = True


class ImportBrokenError(OperationInterruptedError):
    """The stream of an import ended, or was ended, before all of the file was here."""

    default_code = "IMPORT_BROKEN"
    default_hint = "Send the file again, under a fresh request_id."


class BackendRefusedError(PerdureError):
    """A backend refused for good: permission, wrong bucket, another server's name."""

    default_code = "BACKEND_REFUSED"


class CloneFailedError(PerdureError):
    """A clone's process did not come to serve, or does not serve any more."""

    default_code = "CLONE_FAILED"
    default_hint = "The end of its log is in the message, or in: perdure clone get"


class BootRefusedError(PerdureError):
    """The server will not start with less than was promised."""

    default_code = "BOOT_SOURCE_MISSING"


class EngineFailedError(PerdureError):
    """The engine refused or failed a job; its own code, hint and context are kept."""

    default_code = "ENGINE_FAILED"


class InternalError(PerdureError):
    """A bug: something happened that this code says cannot happen."""

    default_code = "INTERNAL"
    default_hint = "Report this with the server's log of this moment."
