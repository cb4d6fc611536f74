"""Reading the fields of a request: each refusal names the field and says what would be accepted.

Syntax only: whether a name exists, or a cron line makes sense, is the use cases' matter.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from enum import StrEnum

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from sidecar.errors import InvalidArgumentError
from sidecar.paging import ListRequest

PAGE_SIZE_MAX = 1000
TOKEN_CHARS_MAX = 512
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SCHEDULE_ID = re.compile(r"[a-z][a-z0-9-]{0,39}")
NANOS = 1_000_000_000
SPAN_SECONDS_MAX = 315_576_000_000  # a Duration's own bound, some 10,000 years


class Collection(StrEnum):
    """The collections of the API."""

    SNAPSHOTS = "snapshots"
    SCHEDULES = "schedules"
    OPERATIONS = "operations"
    BACKENDS = "backends"
    CLONES = "clones"


def refuse(field: str, message: str, hint: str) -> InvalidArgumentError:
    """Return the error for a bad field; the caller raises it."""
    return InvalidArgumentError(message, hint=hint, context={"field": field})


def read_name(collection: Collection, name: str, field: str = "name") -> str:
    """Return the id in `collection/id`."""
    prefix = f"{collection.value}/"
    wanted = f"give {field} as {prefix}ID"
    if not name:
        raise refuse(field, f"{field} is missing", wanted)
    bare = name.removeprefix(prefix)
    if bare == name or not _ID.fullmatch(bare):
        raise refuse(field, f"{field} {name[:128]!r} is not a name in {collection.value}", wanted)
    return bare


def read_optional_name(collection: Collection, name: str, field: str) -> str | None:
    """Return the id in `collection/id`, or None when the field is unset."""
    return read_name(collection, name, field) if name else None


def read_schedule_id(schedule_id: str) -> str:
    """Return the id of a schedule to be made."""
    if not _SCHEDULE_ID.fullmatch(schedule_id):
        raise refuse(
            "schedule_id",
            f"schedule_id {schedule_id[:64]!r} cannot be a schedule's id",
            "take 1 to 40 of a-z, 0-9 and -, beginning with a letter",
        )
    return schedule_id


def read_request_id(request_id: str) -> str | None:
    """Return the request_id in its one spelling, or None when the field is unset."""
    if not request_id:
        return None
    try:
        return str(uuid.UUID(request_id))
    except ValueError:
        raise refuse(
            "request_id",
            f"request_id {request_id[:64]!r} is not a UUID",
            "send a fresh UUID with each new request, and the same one to repeat it",
        ) from None


def read_page(page_size: int, page_token: str, *query: object) -> ListRequest:
    """Return which page is asked for; `query` is the listing and all that narrows it."""
    if page_size < 0:
        raise refuse("page_size", "page_size is negative", "leave it out, or take 1 to 1000")
    if len(page_token) > TOKEN_CHARS_MAX:
        raise refuse("page_token", "page_token is too long", "send next_page_token as it came")
    asked = "\n".join(map(str, query))
    return ListRequest(min(page_size, PAGE_SIZE_MAX), page_token, asked)


def read_seconds(duration: Duration, field: str) -> float:
    """Return a span that is not negative, in seconds; it must be a Duration by its own rules."""
    whole, nanos = duration.seconds, duration.nanos
    is_mixed = (whole > 0 > nanos) or (whole < 0 < nanos)
    if is_mixed or abs(whole) > SPAN_SECONDS_MAX or abs(nanos) >= NANOS:
        raise refuse(
            field,
            f"{field} is not a Duration: {whole} seconds and {nanos} nanos",
            f"take up to {SPAN_SECONDS_MAX} seconds, and 0 to 999999999 nanos",
        )
    seconds = whole + nanos / NANOS
    if seconds < 0:
        raise refuse(field, f"{field} is negative", "take a span above zero, such as 86400s")
    return seconds


def read_instant(text: str, field: str) -> datetime:
    """Return an instant given as RFC 3339."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise refuse(
            field, f"{text[:64]!r} is not an instant", 'write it as "2026-11-22T07:00:00Z"'
        )
    return instant.astimezone(UTC)


def full_name(collection: Collection, bare: str | None) -> str:
    """Return `collection/id`; None is the unset field."""
    return f"{collection.value}/{bare}" if bare else ""


def set_instant(field: Timestamp, instant: datetime | None) -> None:
    """Write an instant into a Timestamp field; None leaves it unset."""
    if instant is not None:
        field.FromDatetime(instant)


def set_span(field: Duration, seconds: float | None) -> None:
    """Write a span into a Duration field; None leaves it unset."""
    if seconds is not None:
        field.FromNanoseconds(round(seconds * NANOS))
