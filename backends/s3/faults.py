"""A vendor's error to ours: every code that stores are known to answer, in one table.

Called in the files that call boto3, and nowhere else. By class first (no answer at all), then by
the code of the answer, then by its HTTP status. What is in no table is BackendFailedError, which is
not retryable; so is a 404 with an unknown code, which must not pass for a missing blob. An answer
to HEAD has no code; `backend.py` asks once more in a way that has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore import exceptions as vendor
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from backends import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

VENDOR_ERRORS: Final = (ClientError, vendor.BotoCoreError, ResponseParserError)

_LOGIN = (
    "Give this process valid credentials, by the environment (AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY), ~/.aws, the option profile, or the role of the machine."
)
_REGION = "Set region in the [backends.<name>] table to the bucket's own; the message may name it."
_GRANT = (
    "Grant the actions that docs/operations/backends-s3.md lists, on the bucket and the prefix."
)
_BUCKET = "Create the bucket, or correct bucket and endpoint_url in the [backends.<name>] table."
_TLS = "Check the store's certificate; AWS_CA_BUNDLE names a file of authorities to trust."
RETRY_AFTER_DIGITS_MAX = 6
NO_STORE = "Look at endpoint_url: what answers there is no store, or a proxy stands before it."
_CHECKSUM_MODE = "Set checksum in the [backends.<name>] table to one that the store knows, or none."

_REFUSED = errors.BackendPermissionError
_LOGGED_OUT = errors.BackendCredentialsError
_DOWN = errors.BackendUnavailableError
_SLOWLY = errors.BackendThrottledError

# Code of the answer -> our class, and a hint where the class's own is too general.
_BY_CODE: Final[dict[str, tuple[type[errors.BackendError], str]]] = {
    "NoSuchKey": (errors.BlobNotFoundError, ""),
    "NotFound": (errors.BlobNotFoundError, ""),
    "404": (errors.BlobNotFoundError, ""),  # HEAD's answer has no other word
    "NoSuchVersion": (errors.BlobNotFoundError, ""),
    "PreconditionFailed": (errors.BlobExistsError, ""),
    "NoSuchBucket": (errors.BackendLocationError, _BUCKET),
    "NoSuchUpload": (_DOWN, "The upload was ended by somebody else; it begins anew."),
    # Credentials.
    "InvalidAccessKeyId": (_LOGGED_OUT, _LOGIN),
    "SignatureDoesNotMatch": (_LOGGED_OUT, _LOGIN),
    "ExpiredToken": (_LOGGED_OUT, _LOGIN),
    "ExpiredTokenException": (_LOGGED_OUT, _LOGIN),
    "TokenRefreshRequired": (_LOGGED_OUT, _LOGIN),
    "InvalidToken": (_LOGGED_OUT, _LOGIN),
    "InvalidSecurity": (_LOGGED_OUT, _LOGIN),
    "NotSignedUp": (_LOGGED_OUT, _LOGIN),
    "UnrecognizedClientException": (_LOGGED_OUT, _LOGIN),
    "XAdminUserNotFound": (_LOGGED_OUT, _LOGIN),
    # Rights.
    "AccessDenied": (_REFUSED, _GRANT),
    "AllAccessDisabled": (_REFUSED, _GRANT),
    "AccountProblem": (_REFUSED, _GRANT),
    "MethodNotAllowed": (_REFUSED, _GRANT),
    "ObjectLocked": (_REFUSED, "The object is under a lock or a legal hold of the store."),
    "InvalidObjectState": (_REFUSED, "The object is archived; bring it back in the store first."),
    "KMS.DisabledException": (_REFUSED, "Enable the KMS key, or name another in kms_key_id."),
    "KMS.NotFoundException": (_REFUSED, "Correct kms_key_id in the [backends.<name>] table."),
    # The clock.
    "RequestTimeTooSkewed": (errors.BackendClockError, ""),
    "RequestExpired": (errors.BackendClockError, ""),
    # Too much at once.
    "SlowDown": (_SLOWLY, ""),
    "SlowDownRead": (_SLOWLY, ""),
    "SlowDownWrite": (_SLOWLY, ""),
    "Throttling": (_SLOWLY, ""),
    "ThrottlingException": (_SLOWLY, ""),
    "RequestLimitExceeded": (_SLOWLY, ""),
    "TooManyRequests": (_SLOWLY, ""),
    "BandwidthLimitExceeded": (_SLOWLY, ""),
    # Passing.
    "InternalError": (_DOWN, ""),
    "InternalFailure": (_DOWN, ""),
    "ServiceUnavailable": (_DOWN, ""),
    "RequestTimeout": (_DOWN, ""),
    "OperationAborted": (_DOWN, ""),
    "ConditionalRequestConflict": (_DOWN, ""),
    "IncompleteBody": (_DOWN, ""),
    # The bytes.
    "BadDigest": (errors.BackendChecksumError, ""),
    "XAmzContentSHA256Mismatch": (errors.BackendChecksumError, ""),
    "XAmzContentChecksumMismatch": (errors.BackendChecksumError, ""),
    "InvalidDigest": (errors.BackendConfigError, _CHECKSUM_MODE),
    # Room.
    "QuotaExceeded": (errors.BackendFullError, ""),
    "QuotaExceededException": (errors.BackendFullError, ""),
    "StorageFull": (errors.BackendFullError, ""),
    "InsufficientStorage": (errors.BackendFullError, ""),
    "XMinioStorageFull": (errors.BackendFullError, ""),
    "XMinioAdminBucketQuotaExceeded": (errors.BackendFullError, ""),
    "EntityTooLarge": (errors.BackendFullError, "Raise part_size_bytes: the object has too many."),
    # The configuration.
    "PermanentRedirect": (errors.BackendConfigError, _REGION),
    "TemporaryRedirect": (_DOWN, ""),
    "AuthorizationHeaderMalformed": (errors.BackendConfigError, _REGION),
    "IllegalLocationConstraintException": (errors.BackendConfigError, _REGION),
    "InvalidBucketName": (errors.BackendConfigError, _BUCKET),
}

_BY_STATUS: Final[dict[int, tuple[type[errors.BackendError], str]]] = {
    301: (errors.BackendConfigError, _REGION),
    401: (_LOGGED_OUT, _LOGIN),
    403: (_REFUSED, _GRANT),
    404: (errors.BackendFailedError, ""),
    408: (_DOWN, ""),
    412: (errors.BlobExistsError, ""),
    429: (_SLOWLY, ""),
    500: (_DOWN, ""),
    502: (_DOWN, ""),
    503: (_DOWN, ""),
    504: (_DOWN, ""),
    507: (errors.BackendFullError, ""),
}

# Without an answer; a subclass stands before its base.
_BY_CLASS: Final[tuple[tuple[type[Exception], type[errors.BackendError], str], ...]] = (
    (vendor.NoCredentialsError, _LOGGED_OUT, _LOGIN),
    (vendor.PartialCredentialsError, _LOGGED_OUT, _LOGIN),
    (vendor.CredentialRetrievalError, _LOGGED_OUT, _LOGIN),
    (vendor.MetadataRetrievalError, _LOGGED_OUT, _LOGIN),
    (vendor.NoAuthTokenError, _LOGGED_OUT, _LOGIN),
    (vendor.TokenRetrievalError, _LOGGED_OUT, _LOGIN),
    (vendor.UnauthorizedSSOTokenError, _LOGGED_OUT, _LOGIN),
    (vendor.SSOError, _LOGGED_OUT, _LOGIN),
    (vendor.LoginError, _LOGGED_OUT, _LOGIN),
    (vendor.ProfileNotFound, errors.BackendConfigError, "Correct profile, or add it to ~/.aws."),
    (vendor.ConfigParseError, errors.BackendConfigError, "Correct the file that it names."),
    (vendor.NoRegionError, errors.BackendConfigError, _REGION),
    (vendor.SSLError, _DOWN, _TLS),
    (vendor.ConnectionError, _DOWN, ""),
    (vendor.HTTPClientError, _DOWN, ""),
    (vendor.IncompleteReadError, _DOWN, ""),
    (ResponseParserError, _DOWN, NO_STORE),
    (OSError, _DOWN, ""),
    (ValueError, errors.BackendConfigError, ""),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Which blob, and where it lies; for messages."""

    location: str
    key: str = ""

    @property
    def context(self) -> dict[str, str]:
        """The same for machines."""
        return {"location": self.location} | ({"key": self.key} if self.key else {})


def code_of(error: ClientError) -> str:
    """Return the code of the answer; for an answer without a body its HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """Return the HTTP status of the answer; 0 when there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def translate(
    error: Exception, operation: str, location: str, key: str = ""
) -> errors.BackendError:
    """Return our error for what boto3 raised; the caller chains it."""
    context = {"operation": operation, **Place(location, key).context}
    what = f"cannot {operation} {key or location}"
    if isinstance(error, ClientError):
        return _of_answer(error, what, context)
    for kind, ours, hint in _BY_CLASS:
        if isinstance(error, kind):
            found = ours(f"{what}: {error}", **context)
            return found.with_hint(hint) if hint else found
    return errors.BackendFailedError(f"{what}: {error}", **context)


def _of_answer(error: ClientError, what: str, context: dict[str, str]) -> errors.BackendError:
    code, status = code_of(error), status_of(error)
    context |= {"store_code": code, "http_status": str(status)}
    said = str(error.response.get("Error", {}).get("Message", "")) or f"HTTP status {status}"
    message = f"{what}: {code}: {said}"
    kind, hint = _BY_CODE.get(code) or _BY_STATUS.get(status) or (errors.BackendFailedError, "")
    metadata = error.response.get("ResponseMetadata", {})
    found: errors.BackendError
    if issubclass(kind, errors.BackendThrottledError):
        wait = retry_after(metadata.get("HTTPHeaders", {}))
        found = kind(message, retry_after_seconds=wait, **context)
    else:
        found = kind(message, **context)
    if request_id := metadata.get("RequestId"):
        found.context["store_request_id"] = str(request_id)
    return found.with_hint(hint) if hint else found


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the store wants to be left alone; a date is not read."""
    told = headers.get("retry-after", "")
    is_number = told.isascii() and told.isdigit() and len(told) <= RETRY_AFTER_DIGITS_MAX
    return float(told) if is_number else None
