"""The error table: every typed error has a status, and nothing foreign passes the edge unmapped."""

from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from sidecar import errors
from sidecar.rpc.failures import (
    CONTEXT_FIELDS_MAX,
    MESSAGE_CHARS_MAX,
    STATUS_BY_CLASS,
    encode_error,
    encode_failure,
    encode_stored_error,
    status_of,
    status_of_code,
)


def _classes(kind: type[errors.PerdureError]) -> Iterator[type[errors.PerdureError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _classes(child)


EVERY_CLASS = sorted(set(_classes(errors.PerdureError)), key=lambda kind: kind.__name__)
UNMAPPED = {errors.InternalError}


def _info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


@pytest.mark.parametrize("kind", EVERY_CLASS, ids=lambda kind: kind.__name__)
def test_every_error_class_is_in_the_table(kind: type[errors.PerdureError]) -> None:
    """Only a bug is unmapped; a new class without a row fails here."""
    assert (status_of(kind("x")) is None) is (kind in UNMAPPED)


def test_table_goes_from_specific_to_general() -> None:
    """A row behind one of its own base classes could never be reached."""
    kinds = [kind for kind, _ in STATUS_BY_CLASS]
    for position, kind in enumerate(kinds):
        assert not any(issubclass(kind, earlier) for earlier in kinds[:position]), kind


@pytest.mark.parametrize("kind", EVERY_CLASS, ids=lambda kind: kind.__name__)
def test_error_kept_by_an_operation_maps_as_the_live_one(kind: type[errors.PerdureError]) -> None:
    """After a restart only the code is left of the class; the status must not change."""
    error = kind("x")
    live = status_of(error) or grpc.StatusCode.INTERNAL
    assert status_of_code(error.code) is live
    assert encode_stored_error(error.to_json()).code == live.value[0]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("SNAPSHOT_NOT_FOUND", grpc.StatusCode.NOT_FOUND),
        ("RDB_CORRUPT", grpc.StatusCode.DATA_LOSS),
        ("DISK_FULL", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("MEMORY_INSUFFICIENT", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("CONFIG_REFUSED", grpc.StatusCode.INVALID_ARGUMENT),
        ("NEVER_HEARD_OF", grpc.StatusCode.INTERNAL),
    ],
)
def test_codes_without_a_class_of_their_own_are_mapped(code: str, status: grpc.StatusCode) -> None:
    """Codes of instances and of the engine, by name or by family."""
    assert status_of_code(code) is status


def test_error_info_carries_reason_context_and_hint() -> None:
    """What the caller matches on, and what an operator needs, is on the wire."""
    error = errors.RestoreInProgressError("busy", hint="wait", context={"operation": "op1"})
    status = encode_error(error, grpc.StatusCode.FAILED_PRECONDITION)
    info = _info(status)
    assert (info.reason, info.domain) == ("RESTORE_IN_PROGRESS", "perdure")
    assert dict(info.metadata) == {"operation": "op1", "hint": "wait"}
    assert len(status.details) == 1  # no RetryInfo: repeating cannot help


def test_retryable_error_carries_retry_info() -> None:
    """RetryInfo is there exactly when a repeat can help."""
    status = encode_failure(errors.BackendUnavailableError("down"))
    assert status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert status.details[1].Is(error_details_pb2.RetryInfo.DESCRIPTOR)


def test_foreign_exception_becomes_internal_with_an_incident_and_keeps_its_text() -> None:
    """What nobody expected is answered with an incident id and without its own words."""
    status = encode_failure(KeyError("secret"), method="/x")
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert "secret" not in status.message
    assert _info(status).metadata["incident"] in status.message


def test_long_error_fits_into_trailing_metadata() -> None:
    """GRPC refuses trailers over 8 KiB, which would hide the error altogether."""
    context = {f"field{number}": "v" * 9999 for number in range(99)}
    error = errors.ConfigError("m" * 99999, hint="h" * 99999, context=context)
    status = encode_error(error, grpc.StatusCode.INVALID_ARGUMENT)
    assert len(status.message) == MESSAGE_CHARS_MAX
    assert len(_info(status).metadata) == CONTEXT_FIELDS_MAX + 1
    assert len(status.SerializeToString()) < 8 * 1024 - 2048
