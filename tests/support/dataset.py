"""A data set as people have it: all five types in every encoding, several databases, expiries.

Written over a plain socket in large pipelines, so that a million keys take seconds. Seeded. A
*shape* is a value with an encoding or a size in mind; those at and past the thresholds stand a few
times in each database, the small ones fill up to the number of keys asked for.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

DATABASES = (0, 1, 5, 15)
EXPIRE_AT_MS = 4_102_444_800_000  # 2100-01-01: no key of this data set ends during a test
CHUNK_BYTES = 1 << 20
EDGES_EACH = 3  # how often a shape at a threshold stands in each database

# Redis's thresholds of the packed forms (hash and intset; sorted set; sets of texts since 7.2).
HASH_ENTRIES, ZSET_ENTRIES, SET_ENTRIES, PACKED_BYTES = 512, 128, 128, 64
INT_EDGES = (
    *(0, 1, -1, 12, 127, 128, -128, -129, 4095, 4096, -4096, -4097, 32767, 32768, -32768, -32769),
    *(8388607, 8388608, -8388609, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, -(2**63)),
)
# Scores that every server's DEBUG DIGEST prints alike; then those that Redis 7.0 prints with 17
# digits and later ones with as few as tell the number.
PLAIN_SCORES = (
    b"0",
    b"1",
    b"1.5",
    b"-3.25",
    b"inf",
    b"-inf",
    b"4096",
    b"-17",
    b"123456789",
    b"2",
    b"9",
)
SCORES = (b"0", b"-0", b"1", b"1.5", b"-3.25", b"inf", b"-inf", b"1e308", b"5e-324", b"0.1", b"17")


def write_dataset(
    port: int,
    keys: int,
    seed: int,
    *,
    plain_node_bytes: int = 0,
    scores: tuple[bytes, ...] = SCORES,
) -> None:
    """Write `keys` keys of all types over `DATABASES` to the server on `port`.

    `plain_node_bytes` makes list elements from that size on stand in nodes of their own, which
    Redis 7.0 and later do for a gigabyte only unless DEBUG says otherwise.
    """
    draw = random.Random(seed)
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        if plain_node_bytes:
            limit = b"%dB" % plain_node_bytes
            _flush(connection, encode(b"DEBUG", b"QUICKLIST-PACKED-THRESHOLD", limit), 1)
        _send(connection, _typed(keys, draw, scores))
        if plain_node_bytes:
            _flush(connection, encode(b"DEBUG", b"QUICKLIST-PACKED-THRESHOLD", b"1gb"), 1)


def write_strings(port: int, keys: int, seed: int) -> None:
    """Write `keys` string keys over `DATABASES` to the server on `port`; every reply must be OK."""
    draw = random.Random(seed)
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        _send(connection, (encode(*args) for args in _strings(keys, draw)))


def encode(*args: bytes) -> bytes:
    """Encode one command as a RESP array of bulk strings."""
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(a), a) for a in args)


@dataclass(frozen=True)
class Shape:
    """A value: the command that makes it, and its arguments after the key, encoded."""

    name: str
    command: bytes
    count: int  # arguments after the key
    tail: bytes

    def written_to(self, key: bytes) -> bytes:
        """Encode the command that writes it to `key`."""
        head = b"*%d\r\n%b$%d\r\n%b\r\n" % (self.count + 2, self.command, len(key), key)
        return head + self.tail


def shape(name: str, command: bytes, arguments: Iterable[bytes]) -> Shape:
    """Make a shape of a command's name and its arguments after the key."""
    words = list(arguments)
    tail = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    return Shape(name, b"$%d\r\n%b\r\n" % (len(command), command), len(words), tail)


def edge_shapes(draw: random.Random, scores: tuple[bytes, ...] = SCORES) -> list[Shape]:
    """Give the values at and past the thresholds of every packed form, and large ones."""
    return [
        *_edge_strings(draw),
        *_edge_lists(draw),
        *_edge_hashes(),
        *_edge_sets(),
        *_edge_zsets(scores),
    ]


def _edge_strings(draw: random.Random) -> Iterator[Shape]:
    for number in INT_EDGES:
        yield shape(f"string int {number}", b"SET", [b"%d" % number])
    for name, text in (
        ("empty", b""),
        ("almost int", b"0123"),
        ("past int", b"9223372036854775808"),
        ("44 bytes", b"x" * 44),
        ("45 bytes", b"x" * 45),
        ("long compressible", b"the same again " * 4000),
        ("long random", draw.randbytes(70_000)),
        ("every byte", bytes(range(256))),
    ):
        yield shape(f"string {name}", b"SET", [text])


def _edge_lists(draw: random.Random) -> Iterator[Shape]:
    ints = [b"%d" % number for number in INT_EDGES]
    texts = [b"", b"x", b"y" * 63, b"y" * 64, b"y" * 4095, b"\x00\xff\r\n", b"12a", b" 1"]
    for size in (1, 2, 127, 128, 129):
        yield shape(f"list of {size}", b"RPUSH", (b"item:%d" % n for n in range(size)))
    yield shape("list of ints", b"RPUSH", ints)
    yield shape("list of texts", b"RPUSH", texts)
    yield shape("list pushed left", b"LPUSH", [*texts, *ints])
    yield shape("list of many nodes", b"RPUSH", (b"element %06d " % n * 4 for n in range(3000)))
    yield shape("list of big elements", b"RPUSH", (draw.randbytes(9000) for _ in range(5)))
    mixed = [b"small", b"compressible " * 1500, b"small too", draw.randbytes(20_000), b"", b"7"]
    yield shape("list of big and small", b"RPUSH", mixed)


def _edge_hashes() -> Iterator[Shape]:
    for size in (1, HASH_ENTRIES, HASH_ENTRIES + 1, 5000):
        pairs = [part for n in range(size) for part in (b"field:%d" % n, b"%d" % (n * 7))]
        yield shape(f"hash of {size}", b"HSET", pairs)
    for size in (PACKED_BYTES, PACKED_BYTES + 1):
        yield shape(f"hash with a value of {size}", b"HSET", [b"f", b"v" * size, b"g", b""])
        yield shape(f"hash with a field of {size}", b"HSET", [b"f" * size, b"1", b"", b"2"])
    numbers = [part for n in INT_EDGES for part in (b"%d" % n, b"%d" % -n)]
    yield shape("hash of ints", b"HSET", numbers)
    yield shape("hash of bytes", b"HSET", [b"\x00", b"\xff" * 40, b"\r\n", bytes(range(64))])


def _edge_sets() -> Iterator[Shape]:
    for bits, step in ((16, 3), (32, 70_000), (64, 5_000_000_000)):
        for size in (1, HASH_ENTRIES, HASH_ENTRIES + 1):
            ints = (b"%d" % (n * step * (-1) ** n) for n in range(1, size + 1))
            yield shape(f"set of {size} ints of {bits} bits", b"SADD", ints)
    yield shape("set of the edges", b"SADD", (b"%d" % number for number in INT_EDGES))
    for size in (1, SET_ENTRIES, SET_ENTRIES + 1, 5000):
        yield shape(f"set of {size} texts", b"SADD", (b"member:%d" % n for n in range(size)))
    for size in (PACKED_BYTES, PACKED_BYTES + 1):
        yield shape(f"set with a text of {size}", b"SADD", [b"m" * size, b"", b"1", b"\x00\xff"])


def _edge_zsets(scores: tuple[bytes, ...]) -> Iterator[Shape]:
    step = 7 if scores is SCORES else 4
    for size in (1, ZSET_ENTRIES, ZSET_ENTRIES + 1, 5000):
        pairs = [part for n in range(size) for part in (b"%d" % (n % 97), b"member:%d" % n)]
        yield shape(f"sorted set of {size}", b"ZADD", pairs)
        halves = [part for n in range(size) for part in (b"%.17g" % (n / step), b"%d" % n)]
        yield shape(f"sorted set of {size} fractions", b"ZADD", halves)
    for size in (PACKED_BYTES, PACKED_BYTES + 1):
        pairs = [part for n, score in enumerate(scores) for part in (score, b"m%d" % n)]
        yield shape(f"sorted set with a member of {size}", b"ZADD", [*pairs, b"2", b"m" * size])
    yield shape("sorted set with an empty member", b"ZADD", [b"inf", b"", b"-inf", b"\x00\xff"])


def _small_shapes(draw: random.Random, scores: tuple[bytes, ...]) -> list[Shape]:
    """Give what most keys hold: a few hundred small values of every type."""
    makers: tuple[Callable[[int], Shape], ...] = (
        lambda n: shape("string", b"SET", [_value(n, draw)]),
        lambda n: shape("string", b"SET", [_value(n, draw)]),
        lambda n: shape("list", b"RPUSH", (_value(n + m, draw) for m in range(1 + n % 6))),
        lambda n: shape("hash", b"HSET", _pairs(n, lambda m: (b"f%d" % m, _value(n + m, draw)))),
        lambda n: shape("set", b"SADD", (b"%d" % (m * n) for m in range(1 + n % 7))),
        lambda n: shape("set", b"SADD", (b"tag-%d" % (m * n) for m in range(1 + n % 4))),
        lambda n: shape("zset", b"ZADD", _pairs(n, lambda m: (b"%d" % (m * n), b"m%d" % m))),
        lambda n: shape(
            "zset", b"ZADD", _pairs(n, lambda m: (scores[m + n % 6], b"player:%d" % m))
        ),
    )
    return [makers[n % len(makers)](n) for n in range(800)]


def _pairs(index: int, pair: Callable[[int], tuple[bytes, bytes]]) -> list[bytes]:
    return [part for n in range(1 + index % 5) for part in pair(n)]


def _typed(keys: int, draw: random.Random, scores: tuple[bytes, ...]) -> Iterator[bytes]:
    """Give one command a key, and one more for each key that expires."""
    edges, small = edge_shapes(draw, scores), _small_shapes(draw, scores)
    per_database = keys // len(DATABASES)
    for number, database in enumerate(DATABASES):
        yield encode(b"SELECT", b"%d" % database)
        count = per_database if number else keys - per_database * (len(DATABASES) - 1)
        for index in range(count):
            is_edge = index < len(edges) * EDGES_EACH
            value = edges[index % len(edges)] if is_edge else small[draw.randrange(len(small))]
            key = b"%d:%08d" % (database, index)
            yield value.written_to(key)
            if index % 10 == 3:
                yield encode(b"PEXPIREAT", key, b"%d" % (EXPIRE_AT_MS + index))


def _strings(keys: int, draw: random.Random) -> Iterator[tuple[bytes, ...]]:
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


def _send(connection: socket.socket, commands: Iterable[bytes]) -> None:
    """Send encoded commands in chunks; every one must be answered by a line that is no error."""
    pending, count = bytearray(), 0
    for command in commands:
        pending += command
        count += 1
        if len(pending) >= CHUNK_BYTES:
            _flush(connection, pending, count)
            pending, count = bytearray(), 0
    _flush(connection, pending, count)


def _flush(connection: socket.socket, pending: bytes | bytearray, commands: int) -> None:
    connection.sendall(pending)
    answer, lines = bytearray(), 0
    while lines < commands:
        chunk = connection.recv(1 << 20)
        if not chunk:
            raise AssertionError("the server closed the connection while data was written")
        answer += chunk
        lines += chunk.count(b"\n")
    if lines > commands or b"\n-" in answer or answer.startswith(b"-"):
        at = max(answer.find(b"\n-"), 0)
        raise AssertionError(f"a command was refused: {bytes(answer)[at : at + 200]!r}")
