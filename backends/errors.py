"""What can go wrong with a backend, as one tree.

Each class is an *operating* error: expected, typed, with a stable `code`, an operator's `hint`,
`is_retryable` and `context`. A vendor's error is translated in the file that called the vendor and
chained; what nobody recognises becomes `BackendFailedError`, which is not retryable.

    BackendError
    |-- BlobNotFoundError            there is no blob of that name
    |-- BlobExistsError              there is one already, and nothing is ever overwritten
    |-- BlobCorruptError             what came back is not what was stored
    |-- BlobTooLargeError            more bytes than the caller is ready to hold
    |-- InvalidKeyError              a name outside the grammar of `keys.py`
    |-- InvalidRangeError            a read that begins behind the end
    |-- SourceMismatchError          what was to be stored is not what the caller announced
    |-- SourceUnreadableError        what was to be stored could not be read
    |-- BackendUnavailableError      does not answer now; a retry can help
    |   `-- BackendThrottledError        answers that this was too much at once
    |-- BackendPermissionError       answers, and refuses
    |   |-- BackendCredentialsError      credentials are missing, wrong or expired
    |   `-- BackendClockError            this machine's clock is wrong, so it refuses
    |-- BackendLocationError         what should hold the blobs is not there
    |-- BackendChecksumError         bytes were damaged on the way; a retry can help
    |-- BackendFullError             no room
    |-- BackendFailedError           anything else
    `-- BackendConfigError           a wrong type or wrong options, before anything is opened
"""

from __future__ import annotations

from typing import ClassVar, Self


class BackendError(Exception):
    """The base of every error that a backend raises; never raised itself."""

    code: ClassVar[str] = "BACKEND_FAILED"
    hint: str = "See the message; the cause is chained below it in the server's log."
    is_retryable: ClassVar[bool] = False

    def __init__(self, message: str, **context: str) -> None:
        """Keep the message and the facts; `context` is for machines and holds no secret."""
        super().__init__(message)
        self.message = message
        self.context = context

    def with_hint(self, hint: str) -> Self:
        """Say something more to the point than the class does."""
        self.hint = hint
        return self


class BlobNotFoundError(BackendError):
    """There is no blob of that name."""

    code = "BLOB_NOT_FOUND"
    hint = "Somebody removed it, or the backend's location was changed; look at the listing."


class BlobExistsError(BackendError):
    """There is a blob of that name already; it was left as it is."""

    code = "BLOB_ALREADY_EXISTS"
    hint = "Names are never used twice: another server may write under the same server.name."


class BlobCorruptError(BackendError):
    """What came back is not what was stored: too short, or with another digest."""

    code = "BLOB_CORRUPT"
    hint = "The bytes on the backend are damaged; use another copy, and check the storage below."


class BlobTooLargeError(BackendError):
    """The blob has more bytes than the caller is ready to hold in memory."""

    code = "BLOB_TOO_LARGE"
    hint = "The blob is not what its name says; look at it before you remove it."


class InvalidKeyError(BackendError):
    """The name is outside the grammar, or lies above or below another blob's name."""

    code = "BLOB_KEY_INVALID"
    hint = "Use segments of A-Z, a-z, 0-9, '.', '_' and '-', joined by '/', not beginning with '.'."


class InvalidRangeError(BackendError):
    """The read would begin behind the blob's end."""

    code = "BLOB_RANGE_INVALID"
    hint = "The blob is shorter than expected: compare its size with what was stored."


class SourceMismatchError(BackendError):
    """The bytes that were to be stored are not those that the caller announced; none were."""

    code = "BLOB_SOURCE_MISMATCH"
    hint = "The local file changed or is damaged after it was verified; check the local disk."


class SourceUnreadableError(BackendError):
    """The bytes that were to be stored could not be read; none were stored."""

    code = "BLOB_SOURCE_UNREADABLE"
    hint = "The local file could not be read; check the local disk, not the backend."


class BackendUnavailableError(BackendError):
    """The backend does not answer now."""

    code = "BACKEND_UNAVAILABLE"
    hint = "Check that the storage is mounted or reachable; the operation can be repeated."
    is_retryable = True


class BackendThrottledError(BackendUnavailableError):
    """The backend answers that it was asked for too much at once."""

    code = "BACKEND_THROTTLED"
    hint = "It is repeated more slowly; spread the schedules, or raise the storage's limits."

    def __init__(
        self, message: str, *, retry_after_seconds: float | None = None, **context: str
    ) -> None:
        """Keep after how long the backend wants to be asked again, when it says so."""
        super().__init__(message, **context)
        self.retry_after_seconds = retry_after_seconds


class BackendPermissionError(BackendError):
    """The backend refuses: wrong rights, wrong credentials, or read-only."""

    code = "BACKEND_PERMISSION_DENIED"
    hint = "Give this process the right to read, write and delete there."


class BackendCredentialsError(BackendPermissionError):
    """There are no credentials, or the backend does not know them (any more)."""

    code = "BACKEND_CREDENTIALS_INVALID"
    hint = "Give this process credentials that are valid now."


class BackendClockError(BackendPermissionError):
    """The backend refuses because this machine's clock differs too much from its own."""

    code = "BACKEND_CLOCK_SKEWED"
    hint = "Set this machine's clock (NTP); no request is believed until then."


class BackendLocationError(BackendError):
    """What should hold the blobs, such as a bucket, is not there."""

    code = "BACKEND_LOCATION_MISSING"
    hint = "Create it, or correct its name in the [backends.<name>] table."


class BackendChecksumError(BackendError):
    """The backend got other bytes than were sent; nothing was stored."""

    code = "BACKEND_CHECKSUM_MISMATCH"
    hint = "It is repeated; if it happens again, check the memory and the network of this machine."
    is_retryable = True


class BackendFullError(BackendError):
    """The backend has no room, or a quota is used up."""

    code = "BACKEND_NO_SPACE"
    hint = "Free space or raise the quota; then repeat."


class BackendFailedError(BackendError):
    """Something else; not known to be worth a retry."""


class BackendConfigError(BackendError):
    """The type is unknown, its plugin is broken, or its options are wrong."""

    code = "BACKEND_CONFIG_INVALID"
    hint = "Correct the [backends.<name>] table of the configuration."
