"""Data sets that rows begin with: seeded, of the keys and values that redis-benchmark draws from.

Encoded once, then sent to each server in turn over a plain socket. Values are 64 characters of an
alphabet of 64, as redis-benchmark's: no server's compression gains anything from them. Any error
reply fails the run: a row on half a data set would say nothing.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

VALUE_BYTES = 64
SEED = 20_200_501
CHUNK_BYTES = 1 << 20
ELEMENTS_A_COMMAND = 100  # of a collection
_ALPHABET = bytes(ord("0") + byte % 64 for byte in range(256))


@dataclass(frozen=True)
class Chunk:
    """Commands that are sent together, and how many replies they get."""

    data: bytes
    commands: int


@dataclass(frozen=True)
class Filling:
    """A data set of so many keys or elements; `verb` is the command that writes it."""

    name: str
    verb: str
    encode: Callable[[int], Iterator[bytes]]

    def chunks(self, count: int) -> list[Chunk]:
        """Encode it for `count` keys or elements."""
        return list(self.stream(count))

    def stream(self, count: int) -> Iterator[Chunk]:
        """Encode it as it is sent: for more than is worth keeping."""
        return _chunked(self.encode(count))


def encode(*words: bytes) -> bytes:
    """Encode one command as a RESP array of bulk strings."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


def values(count: int, size_bytes: int = VALUE_BYTES) -> Iterator[bytes]:
    """Draw `count` values, the same ones in each run."""
    draw = random.Random(SEED)  # noqa: S311  # data to measure with
    for _ in range(count):
        yield draw.randbytes(size_bytes).translate(_ALPHABET)


def _strings(count: int) -> Iterator[bytes]:
    for index, value in enumerate(values(count)):
        yield encode(b"SET", b"key:%012d" % index, value)


def _counters(count: int) -> Iterator[bytes]:
    for index in range(count):
        yield encode(b"SET", b"counter:%012d" % index, b"%d" % index)


def _hash(count: int) -> Iterator[bytes]:
    fields = zip(_elements(count), values(count), strict=True)
    return _gathered(b"HSET", b"myhash", (word for pair in fields for word in pair), 2)


def _list(count: int) -> Iterator[bytes]:
    return _gathered(b"RPUSH", b"mylist", values(count), 1)


def _set(count: int) -> Iterator[bytes]:
    return _gathered(b"SADD", b"myset", _elements(count), 1)


def _sorted_set(count: int) -> Iterator[bytes]:
    draw = random.Random(SEED)  # noqa: S311  # data to measure with
    scored = ((b"%d" % draw.randrange(count), element) for element in _elements(count))
    return _gathered(b"ZADD", b"myzset", (word for pair in scored for word in pair), 2)


def _nothing(_: int) -> Iterator[bytes]:
    return iter(())


def _elements(count: int) -> Iterator[bytes]:
    return (b"element:%012d" % index for index in range(count))


def _gathered(verb: bytes, key: bytes, words: Iterable[bytes], width: int) -> Iterator[bytes]:
    """Give commands of ELEMENTS_A_COMMAND elements, each of `width` words."""
    gathered: list[bytes] = []
    for word in words:
        gathered.append(word)
        if len(gathered) == ELEMENTS_A_COMMAND * width:
            yield encode(verb, key, *gathered)
            gathered = []
    if gathered:
        yield encode(verb, key, *gathered)


STRINGS = Filling("strings", "SET", _strings)
COUNTERS = Filling("counters", "SET", _counters)
HASH = Filling("a hash", "HSET", _hash)
LIST = Filling("a list", "RPUSH", _list)
NO_LIST = Filling("no list yet", "RPUSH", _nothing)
SET = Filling("a set", "SADD", _set)
SORTED_SET = Filling("a sorted set", "ZADD", _sorted_set)


def _chunked(commands: Iterable[bytes]) -> Iterator[Chunk]:
    pending: list[bytes] = []
    size = 0
    for command in commands:
        pending.append(command)
        size += len(command)
        if size >= CHUNK_BYTES:
            yield Chunk(b"".join(pending), len(pending))
            pending, size = [], 0
    if pending:
        yield Chunk(b"".join(pending), len(pending))


def send(port: int, chunks: Iterable[Chunk]) -> None:
    """Write chunks to the server on `port`; every reply must be there, and none an error."""
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        for chunk in chunks:
            connection.sendall(chunk.data)
            check_replies(_read_lines(connection, chunk.commands))


def _read_lines(connection: socket.socket, count: int) -> bytes:
    answer = bytearray()
    while answer.count(b"\n") < count:
        part = connection.recv(1 << 20)
        if not part:
            raise RuntimeError("the server closed the connection while data was written")
        answer += part
    return bytes(answer)


def check_replies(answer: bytes) -> None:
    """Refuse an answer that holds an error; every reply is one line."""
    for line in answer.splitlines() if b"-" in answer else ():
        if line.startswith(b"-"):
            raise RuntimeError(f"a command of the data set was refused: {line.decode()}")
