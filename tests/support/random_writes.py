"""Random writes of every command family, for logs.

Most change something, some change nothing, some are refused. Seeded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import redis

from tests.support.dataset import EXPIRE_AT_MS

KEYS_EACH = 40
DATABASES = 4
BATCH = 200

Call = tuple[str, ...]
_Draw = random.Random


def write_at_random(client: redis.Redis, calls: int, seed: int) -> None:
    """Send so many calls in pipelines; errors are part of it."""
    draw = random.Random(seed)
    client.response_callbacks.clear()  # replies may be QUEUED, which is no number
    made = 0
    while made < calls:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.execute_command("SELECT", str(draw.randrange(DATABASES)))  # type: ignore[no-untyped-call]
            for call in _batch(draw):
                pipeline.execute_command(*call)  # type: ignore[no-untyped-call]
                made += 1
            pipeline.execute(raise_on_error=False)


def _batch(draw: _Draw) -> Iterator[Call]:
    for _ in range(BATCH):
        if draw.random() < 0.05:
            yield ("MULTI",)
            for _ in range(draw.randrange(4)):
                yield draw.choice(_CALLS)(draw)
            yield (draw.choice(("EXEC", "EXEC", "EXEC", "DISCARD")),)
        else:
            yield draw.choice(_CALLS)(draw)


def _key(draw: _Draw, kind: str) -> str:
    return f"{kind}:{draw.randrange(KEYS_EACH)}"


def _any(draw: _Draw) -> str:
    return _key(draw, draw.choice(("s", "n", "l", "h", "t", "z")))


def _value(draw: _Draw) -> str:
    length = draw.choice((0, 1, 5, 20, 60, 70, 300))
    return draw.choice((str(draw.randrange(-1000, 100_000)), "v" * length))


def _member(draw: _Draw) -> str:
    return draw.choice((str(draw.randrange(300)), f"member-{draw.randrange(200)}"))


def _score(draw: _Draw) -> str:
    return draw.choice((str(draw.randrange(50)), f"{draw.randrange(9)}.5", "inf", "-inf", "0.1"))


def _far(draw: _Draw) -> str:
    return str(EXPIRE_AT_MS + draw.randrange(10**9))


_CALLS: tuple[Callable[[_Draw], Call], ...] = (
    lambda d: ("SET", _key(d, "s"), _value(d)),
    lambda d: ("SET", _key(d, "s"), _value(d), d.choice(("NX", "XX", "KEEPTTL", "GET"))),
    lambda d: ("SET", _key(d, "s"), _value(d), "PXAT", _far(d)),
    lambda d: ("SETEX", _key(d, "s"), "100000000", _value(d)),
    lambda d: ("GETEX", _key(d, "s"), d.choice(("PERSIST", "PX")), "100000000"),
    lambda d: ("GETDEL", _key(d, "s")),
    lambda d: ("GETSET", _key(d, "s"), _value(d)),
    lambda d: ("APPEND", _key(d, "s"), _value(d)),
    lambda d: ("SETRANGE", _key(d, "s"), str(d.randrange(100)), "range"),
    lambda d: ("MSET", _key(d, "s"), _value(d), _key(d, "s"), _value(d)),
    lambda d: ("MSETNX", _key(d, "s"), _value(d), _key(d, "s"), _value(d)),
    lambda d: ("INCRBY", _key(d, "n"), str(d.randrange(-9, 99))),
    lambda d: ("INCRBYFLOAT", _key(d, "n"), "0.25"),
    lambda d: (d.choice(("RPUSH", "LPUSH", "RPUSHX")), _key(d, "l"), _value(d), _value(d)),
    lambda d: (d.choice(("RPOP", "LPOP")), _key(d, "l"), str(d.randrange(4))),
    lambda d: ("LSET", _key(d, "l"), str(d.randrange(5)), _value(d)),
    lambda d: ("LREM", _key(d, "l"), str(d.randrange(-2, 3)), _value(d)),
    lambda d: ("LTRIM", _key(d, "l"), str(d.randrange(3)), str(d.randrange(200))),
    lambda d: ("LMOVE", _key(d, "l"), _key(d, "l"), d.choice(("LEFT", "RIGHT")), "LEFT"),
    lambda d: ("LMPOP", "2", _key(d, "l"), _key(d, "l"), "RIGHT", "COUNT", "2"),
    lambda d: ("HSET", _key(d, "h"), _member(d), _value(d), _member(d), _value(d)),
    lambda d: ("HDEL", _key(d, "h"), _member(d), _member(d)),
    lambda d: ("HINCRBY", _key(d, "h"), "count", str(d.randrange(9))),
    lambda d: ("HINCRBYFLOAT", _key(d, "h"), "sum", "0.1"),
    lambda d: ("HSETNX", _key(d, "h"), _member(d), _value(d)),
    lambda d: ("SADD", _key(d, "t"), _member(d), _member(d), _member(d)),
    lambda d: ("SREM", _key(d, "t"), _member(d)),
    lambda d: ("SPOP", _key(d, "t"), str(d.randrange(1, 4))),
    lambda d: ("SPOP", _key(d, "t")),
    lambda d: ("SMOVE", _key(d, "t"), _key(d, "t"), _member(d)),
    lambda d: (d.choice(("SUNIONSTORE", "SDIFFSTORE")), *(_key(d, "t") for _ in range(3))),
    lambda d: ("ZADD", _key(d, "z"), _score(d), _member(d), _score(d), _member(d)),
    lambda d: ("ZADD", _key(d, "z"), d.choice(("GT", "LT", "NX")), _score(d), _member(d)),
    lambda d: ("ZINCRBY", _key(d, "z"), "0.1", _member(d)),
    lambda d: (d.choice(("ZPOPMIN", "ZPOPMAX")), _key(d, "z"), str(d.randrange(3))),
    lambda d: ("ZREMRANGEBYRANK", _key(d, "z"), "0", str(d.randrange(4))),
    lambda d: ("ZUNIONSTORE", _key(d, "z"), "2", _key(d, "z"), _key(d, "z"), "WEIGHTS", "1", "2"),
    lambda d: ("ZRANGESTORE", _key(d, "z"), _key(d, "z"), "0", str(d.randrange(9))),
    lambda d: ("SORT", _key(d, "l"), "ALPHA", "STORE", _key(d, "l")),
    lambda d: ("DEL", _any(d), _any(d)),
    lambda d: ("UNLINK", _any(d)),
    lambda d: ("RENAME", _key(d, "s"), _key(d, "s")),
    lambda d: ("COPY", _key(d, "h"), _key(d, "h"), "REPLACE"),
    lambda d: ("MOVE", _any(d), str(d.randrange(DATABASES))),
    lambda d: ("SWAPDB", str(d.randrange(DATABASES)), str(d.randrange(DATABASES))),
    lambda d: ("PEXPIREAT", _any(d), _far(d)),
    lambda d: ("EXPIRE", _any(d), d.choice(("100000000", "-1"))),
    lambda d: ("PERSIST", _any(d)),
    lambda d: ("RESTORE", _key(d, "s"), "0", "no payload"),
    lambda d: ("FLUSHDB",) if d.random() < 0.02 else ("GET", _key(d, "s")),
)
