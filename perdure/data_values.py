"""What the data client gives and takes, as Python values: results, durability, replies.

Encoding and decoding only; the calls are in `perdure.data_verbs`. Keys and values are bytes; text
is taken too and goes out as UTF-8.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from perdure.data.v1 import durability_pb2, value_pb2
from perdure.errors import CommandError, PerdureError, error_class

Bytes: TypeAlias = bytes | str
Argument: TypeAlias = bytes | str | int | float
Entries: TypeAlias = Mapping[str, Bytes] | Mapping[bytes, Bytes]


class Durability(IntEnum):
    """How safe a write is, from least to most; compare with `<`."""

    MEMORY = durability_pb2.DURABILITY_MEMORY
    WRITTEN = durability_pb2.DURABILITY_WRITTEN
    FSYNCED = durability_pb2.DURABILITY_FSYNCED


@dataclass(frozen=True, order=True)
class Position:
    """A place in the server's log; a later write has a larger one."""

    epoch: int
    offset: int


@dataclass(frozen=True)
class WriteResult:
    """What every write answers: how durable it is, and where it stands (None without a log)."""

    durability: Durability
    position: Position | None


@dataclass(frozen=True)
class SetResult(WriteResult):
    """Whether the value was set, and what was there before, if that was asked for."""

    applied: bool
    old_value: bytes | None = None


@dataclass(frozen=True)
class DeleteResult(WriteResult):
    """How many of the keys were there."""

    deleted_count: int


@dataclass(frozen=True)
class AppliedResult(WriteResult):
    """Whether anything was changed."""

    applied: bool


@dataclass(frozen=True)
class IncrementResult(WriteResult):
    """What the key holds now: an int, or a float when one was added."""

    value: int | float


@dataclass(frozen=True)
class ExecuteResult(WriteResult):
    """A command's reply; see `decode_value` for its type."""

    value: Any


@dataclass(frozen=True)
class TransactResult(WriteResult):
    """Whether the conditions held, and the replies in order; a refusal is a PerdureError there."""

    applied: bool
    values: tuple[Any, ...]


@dataclass(frozen=True)
class ScanEntry:
    """One key, and what it holds if that was asked for and is a string."""

    key: bytes
    value: bytes | None = None


def encode_bytes(text: Bytes) -> bytes:
    """Return bytes as they are, text as UTF-8."""
    return text.encode() if isinstance(text, str) else text


def encode_command(args: Iterable[Argument]) -> value_pb2.Command:
    """Return a command; numbers become what Redis reads as the same number."""
    return value_pb2.Command(
        args=[
            encode_bytes(arg) if isinstance(arg, bytes | str) else repr(arg).encode()
            for arg in args
        ]
    )


def encode_durability(
    durability: Durability | None,
) -> durability_pb2.Durability.ValueType:
    """Return the wire's value; None asks for what the server's policy promises."""
    if durability is None:
        return durability_pb2.DURABILITY_UNSPECIFIED
    return durability_pb2.Durability.ValueType(durability.value)


def decode_position(receipt: durability_pb2.WriteReceipt) -> Position | None:
    """Return where a write stands; None without a log."""
    if not receipt.HasField("position"):
        return None
    return Position(receipt.position.epoch, receipt.position.offset)


def decode_receipt(receipt: durability_pb2.WriteReceipt) -> tuple[Durability, Position | None]:
    """Return the two fields that every WriteResult begins with."""
    return Durability(receipt.durability or Durability.MEMORY), decode_position(receipt)


def decode_value(value: value_pb2.Value) -> Any:  # noqa: PLR0911  # one for each kind
    """Return a reply as Python has it.

    Null is None, a status is str, bytes are bytes, numbers int or float, an array a list, a set a
    set, a map a dict, text with a format str, an error inside a reply a PerdureError (not raised).
    """
    kind = value.WhichOneof("kind")
    match kind:
        case None:
            return None
        case "big_number":
            return int(value.big_number)
        case "text":
            return value.text.content.decode(errors="surrogateescape")
        case "array":
            return [decode_value(item) for item in value.array.values]
        case "set":
            return {_hashable(decode_value(item)) for item in value.set.values}
        case "map":
            return {
                _hashable(decode_value(pair.key)): decode_value(pair.value)
                for pair in value.map.entries
            }
        case "error":
            return decode_command_error(value.error)
        case _:
            return getattr(value, kind)


def decode_command_error(error: value_pb2.CommandError) -> PerdureError:
    """Return a command's refusal as an error of the tree."""
    kind = error_class(error.code, "")
    status = "FAILED_PRECONDITION"
    return (kind if kind is not PerdureError else CommandError)(
        error.code, error.message, status=status
    )


def decode_result(result: value_pb2.CommandResult) -> Any:
    """Return a command's reply, or its refusal as a PerdureError (not raised)."""
    if result.WhichOneof("outcome") == "error":
        return decode_command_error(result.error)
    return decode_value(result.value)


def _hashable(value: Any) -> Hashable:
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    if isinstance(value, dict):
        return tuple((key, _hashable(item)) for key, item in value.items())
    return value  # type: ignore[no-any-return]  # sets of sets do not come
