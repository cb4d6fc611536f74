"""What a client can ask of the data door, one function an rpc, written once for sync and asyncio.

Reads are repeated while that can help. A write is repeated only when the server said itself that
nothing was executed (LOADING, BUSY ...); when its answer is lost it ends with
OutcomeUnknownError, unless `repeat_unknown` says that a second execution does no harm. The examples
run against a real server, in order, on an empty one (tests/integration/test_client_examples.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from perdure.data.v1 import data_messages_pb2 as messages
from perdure.data.v1 import durability_pb2
from perdure.data_values import (
    AppliedResult,
    Argument,
    Bytes,
    DeleteResult,
    Durability,
    Entries,
    ExecuteResult,
    IncrementResult,
    Position,
    ScanEntry,
    SetResult,
    TransactResult,
    WriteResult,
    decode_receipt,
    decode_result,
    decode_value,
    encode_bytes,
    encode_command,
    encode_durability,
)
from perdure.errors import InvalidRequestError, OutcomeUnknownError, PerdureError
from perdure.steps import (
    ATTEMPTS_MAX,
    BACKOFF_SECONDS,
    Call,
    Emit,
    Feed,
    Next,
    Open,
    Pause,
    Rpc,
    ask,
    is_retryable,
)

Res = TypeVar("Res", bound=Message)
SERVICE = "/perdure.data.v1.DataService/"
SCAN_SECONDS = 60.0  # of one stream; a longer scan goes on from its cursor
# The server's word that it executed nothing and that a later repeat may do.
_UNTOUCHED = frozenset({"LOADING", "BUSY", "MISCONF", "OVERLOADED", "STOPPING"})
# Its word that it may have executed something; and a status that comes before any execution.
_PERHAPS = frozenset({"DEADLINE", "INTERNAL"})
_NEVER = frozenset({"UNIMPLEMENTED"})


class When(Enum):
    """When `set` sets."""

    ALWAYS = messages.SetRequest.CONDITION_UNSPECIFIED
    ABSENT = messages.SetRequest.CONDITION_ABSENT
    PRESENT = messages.SetRequest.CONDITION_PRESENT


class ExpireWhen(Enum):
    """When `expire` changes a key's end."""

    ALWAYS = messages.ExpireRequest.CONDITION_UNSPECIFIED
    NONE = messages.ExpireRequest.CONDITION_NONE
    SOME = messages.ExpireRequest.CONDITION_SOME
    LATER = messages.ExpireRequest.CONDITION_LATER
    EARLIER = messages.ExpireRequest.CONDITION_EARLIER


def _write(
    rpc: Rpc[Res],
    request: Message,
    deadline_seconds: float | None,
    *,
    repeat_unknown: bool = False,
) -> Call[Res]:
    was_lost = False

    def can_repeat(error: PerdureError) -> bool:
        nonlocal was_lost
        was_lost = was_lost or _is_lost(error)
        return error.code in _UNTOUCHED or (repeat_unknown and is_retryable(error))

    try:
        answer: Res = yield from ask(
            rpc, request, deadline_seconds=deadline_seconds, can_repeat=can_repeat
        )
    except PerdureError as error:
        # A refusal of a repeat says nothing of the attempt that was lost before it.
        if was_lost or _is_lost(error):
            raise OutcomeUnknownError(
                "OUTCOME_UNKNOWN",
                f"nobody knows whether it was executed: {error.message}",
                status=error.status,
                hint="read the data, or repeat the call if a second execution does no harm",
                context=error.context,
            ) from error
        raise
    return answer


def _is_lost(error: PerdureError) -> bool:
    """Say that nobody knows what came of a write: a refusal of the server carries its word."""
    if error.of_server:
        return error.code in _PERHAPS
    return error.status not in _NEVER


# --- one key -------------------------------------------------------------------------------------


def get(
    key: Bytes, *, database: int = 0, deadline_seconds: float | None = None
) -> Call[bytes | None]:
    """Return what a string key holds; None when there is no such key.

    Raises WrongTypeError when it holds another type.

    >>> client.get("greeting") is None
    True
    """
    rpc = Rpc(f"{SERVICE}Get", messages.GetResponse)
    request = messages.GetRequest(key=encode_bytes(key), database=database)
    answer = yield from ask(rpc, request, deadline_seconds=deadline_seconds)
    return answer.value if answer.HasField("value") else None


def set(  # noqa: A001  # Redis's own word and its options
    key: Bytes,
    value: Bytes,
    *,
    ttl: timedelta | float | None = None,
    expire_at: datetime | None = None,
    keep_ttl: bool = False,
    when: When = When.ALWAYS,
    return_old: bool = False,
    durability: Durability | None = None,
    database: int = 0,
    repeat_unknown: bool = False,
    deadline_seconds: float | None = None,
) -> Call[SetResult]:
    """Give a key a value; at most one of `ttl` (seconds), `expire_at` and `keep_ttl`.

    `durability` is what the answer waits for; None is what the server's policy promises.

    >>> client.set("greeting", "hello").applied
    True
    >>> client.set("greeting", "again", when=When.ABSENT).applied
    False
    >>> client.set("greeting", "bye", return_old=True).old_value
    b'hello'
    >>> client.set("greeting", "bye", durability=Durability.FSYNCED).durability.name
    'FSYNCED'
    """
    if sum((ttl is not None, expire_at is not None, keep_ttl)) > 1:
        raise _refuse("give one of ttl, expire_at and keep_ttl")
    if repeat_unknown and (return_old or when is not When.ALWAYS):
        raise _refuse(
            "a set with a condition, or one that returns the old value, cannot be repeated"
        )
    request = messages.SetRequest(
        key=encode_bytes(key),
        value=encode_bytes(value),
        condition=when.value,
        return_old=return_old,
        database=database,
        durability=encode_durability(durability),
    )
    if ttl is not None:
        request.ttl.CopyFrom(_span(ttl))
    elif expire_at is not None:
        request.expire_time.CopyFrom(_instant(expire_at))
    elif keep_ttl:
        request.keep_ttl.CopyFrom(Empty())
    rpc = Rpc(f"{SERVICE}Set", messages.SetResponse)
    answer = yield from _write(rpc, request, deadline_seconds, repeat_unknown=repeat_unknown)
    old_value = answer.old_value if answer.HasField("old_value") else None
    return SetResult(*decode_receipt(answer.receipt), answer.applied, old_value)


def increment(
    key: Bytes,
    amount: float = 1,
    *,
    durability: Durability | None = None,
    database: int = 0,
    deadline_seconds: float | None = None,
) -> Call[IncrementResult]:
    """Add to the number that a key holds; an absent key counts as 0.

    >>> client.increment("visits").value
    1
    >>> client.increment("visits", 41).value
    42
    >>> client.increment("load", 0.5).value
    0.5
    """
    request = messages.IncrementRequest(
        key=encode_bytes(key), database=database, durability=encode_durability(durability)
    )
    if isinstance(amount, int):
        request.integer = amount
    else:
        request.number = amount
    rpc = Rpc(f"{SERVICE}Increment", messages.IncrementResponse)
    answer = yield from _write(rpc, request, deadline_seconds)
    value = answer.number if answer.WhichOneof("sum") == "number" else answer.integer
    return IncrementResult(*decode_receipt(answer.receipt), value)


def expire(
    key: Bytes,
    ttl: timedelta | float | datetime | None,
    *,
    when: ExpireWhen = ExpireWhen.ALWAYS,
    durability: Durability | None = None,
    database: int = 0,
    deadline_seconds: float | None = None,
) -> Call[AppliedResult]:
    """Change when a key ends: in so many seconds, at an instant, or never (None).

    >>> client.expire("greeting", 60).applied
    True
    >>> client.expire("greeting", None).applied
    True
    >>> client.expire("nobody", 60).applied
    False
    """
    request = messages.ExpireRequest(
        key=encode_bytes(key),
        condition=when.value,
        database=database,
        durability=encode_durability(durability),
    )
    if ttl is None:
        request.never.CopyFrom(Empty())
    elif isinstance(ttl, datetime):
        request.expire_time.CopyFrom(_instant(ttl))
    else:
        request.ttl.CopyFrom(_span(ttl))
    rpc = Rpc(f"{SERVICE}Expire", messages.ExpireResponse)
    answer = yield from _write(rpc, request, deadline_seconds)
    return AppliedResult(*decode_receipt(answer.receipt), answer.applied)


# --- several keys --------------------------------------------------------------------------------


def delete(
    *keys: Bytes,
    durability: Durability | None = None,
    database: int = 0,
    repeat_unknown: bool = False,
    deadline_seconds: float | None = None,
) -> Call[DeleteResult]:
    """Remove keys of any type; a repeat (`repeat_unknown`) may count fewer.

    >>> client.delete("load", "nobody").deleted_count
    1
    """
    request = messages.DeleteRequest(
        keys=map(encode_bytes, keys), database=database, durability=encode_durability(durability)
    )
    rpc = Rpc(f"{SERVICE}Delete", messages.DeleteResponse)
    answer = yield from _write(rpc, request, deadline_seconds, repeat_unknown=repeat_unknown)
    return DeleteResult(*decode_receipt(answer.receipt), answer.deleted_count)


def multi_get(
    keys: Iterable[Bytes], *, database: int = 0, deadline_seconds: float | None = None
) -> Call[list[bytes | None]]:
    """Return what several keys hold at one instant, in their order.

    >>> client.multi_get(["greeting", "nobody"])
    [b'bye', None]
    """
    rpc = Rpc(f"{SERVICE}MultiGet", messages.MultiGetResponse)
    request = messages.MultiGetRequest(keys=map(encode_bytes, keys), database=database)
    answer = yield from ask(rpc, request, deadline_seconds=deadline_seconds)
    return [item.value if item.HasField("value") else None for item in answer.values]


def multi_set(
    entries: Entries,
    *,
    if_none_present: bool = False,
    durability: Durability | None = None,
    database: int = 0,
    repeat_unknown: bool = False,
    deadline_seconds: float | None = None,
) -> Call[AppliedResult]:
    """Set several keys at one instant; with `if_none_present` all of them or nothing.

    >>> client.multi_set({"a": "1", "b": "2"}).applied
    True
    >>> client.multi_set({"b": "3", "c": "4"}, if_none_present=True).applied
    False
    """
    if repeat_unknown and if_none_present:
        raise _refuse("a multi_set with if_none_present cannot be repeated")
    request = messages.MultiSetRequest(
        entries=[
            messages.KeyValue(key=encode_bytes(key), value=encode_bytes(value))
            for key, value in entries.items()
        ],
        if_none_present=if_none_present,
        database=database,
        durability=encode_durability(durability),
    )
    rpc = Rpc(f"{SERVICE}MultiSet", messages.MultiSetResponse)
    answer = yield from _write(rpc, request, deadline_seconds, repeat_unknown=repeat_unknown)
    return AppliedResult(*decode_receipt(answer.receipt), answer.applied)


def scan(
    pattern: Bytes = b"",
    *,
    type: str = "",  # noqa: A002  # Redis's own word
    with_values: bool = False,
    batch_size: int = 0,
    database: int = 0,
) -> Feed[ScanEntry]:
    """Give all keys of a database, a batch at a time; a key may come twice, as in SCAN.

    A stream that breaks goes on from its last cursor.

    >>> sorted(entry.key for entry in client.scan("[ab]"))
    [b'a', b'b']
    >>> next(client.scan("a", with_values=True)).value
    b'1'
    """
    rpc = Rpc(f"{SERVICE}Scan", messages.ScanResponse)
    request = messages.ScanRequest(
        pattern=encode_bytes(pattern),
        type=type,
        batch_size=batch_size,
        with_values=with_values,
        database=database,
    )
    attempt = 0
    while True:
        stream = None
        try:
            stream = yield Open(rpc, request, SCAN_SECONDS)
            while (batch := (yield Next(stream))) is not None:
                for entry in batch.entries:
                    value = entry.value if entry.HasField("value") else None
                    yield Emit(ScanEntry(entry.key, value))
                if batch.next_cursor == 0:
                    return
                request.cursor, attempt = batch.next_cursor, 0
        except PerdureError as error:
            attempt += 1
            is_over = error.status == "DEADLINE_EXCEEDED"
            if attempt >= ATTEMPTS_MAX or not (is_over or is_retryable(error)):
                raise
        finally:
            if stream is not None:
                stream.cancel()  # nothing, when it was read to its end
        yield Pause(BACKOFF_SECONDS * 2**attempt)


# --- commands ------------------------------------------------------------------------------------


def execute(
    *args: Argument,
    durability: Durability | None = None,
    database: int = 0,
    is_read: bool = False,
    deadline_seconds: float | None = None,
) -> Call[ExecuteResult]:
    """Run any command that needs no connection of its own; a refusal is raised.

    `is_read` says that it changes nothing, so that it may be repeated.

    >>> client.execute("HSET", "user:1", "name", "Ada", "age", 36).value
    2
    >>> client.execute("HGETALL", "user:1", is_read=True).value == {b"name": b"Ada", b"age": b"36"}
    True
    """
    rpc = Rpc(f"{SERVICE}Execute", messages.ExecuteResponse)
    request = messages.ExecuteRequest(
        command=encode_command(args), database=database, durability=encode_durability(durability)
    )
    answer = yield from _write(rpc, request, deadline_seconds, repeat_unknown=is_read)
    return ExecuteResult(*decode_receipt(answer.receipt), decode_value(answer.value))


def transact(
    commands: Iterable[Sequence[Argument]],
    *,
    if_values: Entries | None = None,
    if_present: Iterable[Bytes] = (),
    if_absent: Iterable[Bytes] = (),
    durability: Durability | None = None,
    database: int = 0,
    deadline_seconds: float | None = None,
) -> Call[TransactResult]:
    """Run commands as one atomic step, if all conditions hold.

    >>> moved = client.transact([("DECRBY", "a", 1), ("INCRBY", "b", 1)], if_values={"a": "1"})
    >>> moved.applied, moved.values
    (True, (0, 3))
    >>> client.transact([("DEL", "b")], if_absent=["b"]).applied
    False
    """
    conditions = [
        messages.KeyCondition(key=encode_bytes(key), value=encode_bytes(value))
        for key, value in (if_values or {}).items()
    ]
    for keys, is_present in ((if_present, True), (if_absent, False)):
        conditions += [
            messages.KeyCondition(key=encode_bytes(key), present=is_present) for key in keys
        ]
    request = messages.TransactRequest(
        conditions=conditions,
        commands=map(encode_command, commands),
        database=database,
        durability=encode_durability(durability),
    )
    rpc = Rpc(f"{SERVICE}Transact", messages.TransactResponse)
    answer = yield from _write(rpc, request, deadline_seconds)
    values = tuple(map(decode_result, answer.results))
    return TransactResult(*decode_receipt(answer.receipt), answer.applied, values)


def wait_durable(
    position: Position,
    durability: Durability = Durability.FSYNCED,
    *,
    deadline_seconds: float | None = None,
) -> Call[WriteResult]:
    """Wait until everything up to a position is as durable as asked.

    >>> written = client.set("late", "1")
    >>> client.wait_durable(written.position).durability.name
    'FSYNCED'
    """
    request = messages.WaitDurableRequest(
        position=durability_pb2.LogPosition(epoch=position.epoch, offset=position.offset),
        durability=encode_durability(durability),
    )
    rpc = Rpc(f"{SERVICE}WaitDurable", messages.WaitDurableResponse)
    answer = yield from ask(rpc, request, deadline_seconds=deadline_seconds)
    return WriteResult(*decode_receipt(answer.receipt))


def _refuse(message: str) -> InvalidRequestError:
    return InvalidRequestError("ARGUMENTS_INVALID", message, status="INVALID_ARGUMENT")


def _span(span: timedelta | float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(span if isinstance(span, timedelta) else timedelta(seconds=span))
    return duration


def _instant(at: datetime) -> Timestamp:
    if at.tzinfo is None:
        raise _refuse("an instant needs a time zone")
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    return timestamp
