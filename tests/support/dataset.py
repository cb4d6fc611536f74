"""A data set as people have it: several databases, integers, texts, binary, expiries.

Written over a plain socket in large pipelines, so that a million keys take seconds. Seeded.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

DATABASES = (0, 1, 5, 15)
EXPIRE_AT_MS = 4_102_444_800_000  # 2100-01-01: no key of this data set ends during a test
CHUNK_BYTES = 1 << 20


def write_strings(port: int, keys: int, seed: int) -> None:
    """Write `keys` string keys over `DATABASES` to the server on `port`; every reply must be OK."""
    draw = random.Random(seed)
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        pending, commands = bytearray(), 0
        for args in _commands(keys, draw):
            pending += encode(*args)
            commands += 1
            if len(pending) >= CHUNK_BYTES:
                _flush(connection, pending, commands)
                pending, commands = bytearray(), 0
        _flush(connection, pending, commands)


def encode(*args: bytes) -> bytes:
    """Encode one command as a RESP array of bulk strings."""
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(a), a) for a in args)


def _commands(keys: int, draw: random.Random) -> Iterator[tuple[bytes, ...]]:
    per_database = keys // len(DATABASES)
    for number, database in enumerate(DATABASES):
        yield b"SELECT", b"%d" % database
        count = per_database if number else keys - per_database * (len(DATABASES) - 1)
        for index in range(count):
            command: tuple[bytes, ...] = (
                b"SET",
                b"key:%d:%08d" % (database, index),
                _value(index, draw),
            )
            if index % 10 == 3:
                command += (b"PXAT", b"%d" % (EXPIRE_AT_MS + index))
            yield command


def _value(index: int, draw: random.Random) -> bytes:
    match index % 8:
        case 0:
            return b"%d" % draw.choice((index, -index, index << 20, draw.getrandbits(62), 7))
        case 1:
            return b"compressible " * draw.randrange(4, 24)
        case 2:
            return draw.randbytes(64)
        case 3:
            return b""
        case _:
            return b"value-%08d-" % index + b"x" * draw.randrange(0, 50)


def _flush(connection: socket.socket, pending: bytes | bytearray, commands: int) -> None:
    connection.sendall(pending)
    expected = b"+OK\r\n" * commands
    answer = bytearray()
    while len(answer) < len(expected):
        chunk = connection.recv(1 << 20)
        if not chunk:
            raise AssertionError("the server closed the connection while data was written")
        answer += chunk
    if answer != expected:
        raise AssertionError(f"a SET was refused: {bytes(answer)[:200]!r}")
