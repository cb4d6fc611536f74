"""redis-py's own methods for the five types: each at least once, here and on a real server.

The same steps run on Perdure and on redis-server 7.0, in RESP2 and RESP3, with and without decoded
answers; what redis-py makes of the answers must be equal. A method of redis-py that stands in no
step is named with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.commands import core

from tests.support.processes import RedisServer, Sidecar

# Redis deprecates some commands in words only; users have them, and so does this file.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")

FAMILIES = (
    core.BasicKeyCommands,
    core.ListCommands,
    core.HashCommands,
    core.SetCommands,
    core.SortedSetCommands,
    core.ScanCommands,
)
BLOCKING = {
    *("blmove", "blpop", "brpop", "brpoplpush", "blmpop", "bzpopmax", "bzpopmin", "bzmpop"),
    "blmovem",
}
BITS = {"bitcount", "bitfield", "bitfield_ro", "bitop", "bitpos", "getbit", "setbit"}
NOT_IN_REDIS_7 = {
    *("delex", "digest", "digest_local", "increx", "msetex", "lmovem", "stralgo"),
    *("hgetdel", "hgetex", "hsetex", "hexpire", "hpexpire", "hexpireat", "hpexpireat"),
    *("hpersist", "hexpiretime", "hpexpiretime", "httl", "hpttl", "sdiffcard", "sunioncard"),
    *("himport_prepare_internal", "himport_set"),
    *("himport_discard_internal", "himport_discard_all_internal"),
}
SERIALIZED = {"dump", "restore"}
ELSEWHERE = {"watch", "unwatch"}  # test_redis_clients: a transaction of redis-py

Step = tuple[str, tuple[Any, ...], dict[str, Any]]


def step(method: str, *args: Any, **options: Any) -> Step:
    """Name a method and what it is called with."""
    return method, args, options


STRINGS = [
    step("set", "a", "1", ex=1000),
    step("set", "a", "2", keepttl=True, get=True),
    step("setnx", "a", "3"),
    step("setex", "b", 1000, "v"),
    step("psetex", "b", 1_000_000, "v"),
    step("get", "a"),
    step("getset", "a", "9"),
    step("getex", "b", persist=True),
    step("mset", {"c": "x", "d": "y"}),
    step("msetnx", {"c": "x", "e": "y"}),
    step("mget", ["a", "b", "nothing"]),
    step("append", "c", "yz"),
    step("strlen", "c"),
    step("getrange", "c", 1, -1),
    step("substr", "c", 0, 1),
    step("setrange", "c", 5, "!"),
    step("lcs", "c", "d"),
    step("incr", "n"),
    step("incrby", "n", 10),
    step("incrbyfloat", "n", 0.5),
    step("decr", "m"),
    step("decrby", "m", 4),
    step("getdel", "d"),
]
LISTS = [
    step("rpush", "l", "a", "b", "c", 1, 2, "c"),
    step("lpush", "l", "first", ""),
    step("rpushx", "l", "last"),
    step("lpushx", "no list", "x"),
    step("llen", "l"),
    step("lrange", "l", 0, -1),
    step("lindex", "l", -2),
    step("linsert", "l", "before", "b", "between"),
    step("lset", "l", 0, "zero"),
    step("lpos", "l", "c", rank=-1),
    step("lpos", "l", "c", count=0),
    step("lrem", "l", 1, "c"),
    step("ltrim", "l", 0, 6),
    step("rpoplpush", "l", "other"),
    step("lmove", "l", "other", "LEFT", "RIGHT"),
    step("lmpop", 2, "no list", "other", direction="LEFT", count=1),
    step("lpop", "l"),
    step("rpop", "l", 2),
    step("lpop", "no list"),
    step("rpush", "numbers", 3, 1, 2),
    step("sort", "numbers", desc=True),
    step("sort", "numbers", by="nosort", get="#", start=0, num=2, store="sorted"),
    step("sort_ro", "numbers", alpha=True),
    step("lrange", "sorted", 0, -1),
    step("rpush", "long", *(f"element {n}" for n in range(3000))),
    step("lrange", "long", 1000, 1500),
]
HASHES = [
    step("hset", "h", "f", "v"),
    step("hset", "h", mapping={"a": 1, "b": 2.5, "": "empty"}),
    step("hsetnx", "h", "a", "new"),
    step("hmset", "h", {"x": "1"}),
    step("hget", "h", "a"),
    step("hget", "h", "nothing"),
    step("hmget", "h", ["a", "nothing", ""]),
    step("hgetall", "h"),
    step("hkeys", "h"),
    step("hvals", "h"),
    step("hlen", "h"),
    step("hexists", "h", "b"),
    step("hstrlen", "h", "f"),
    step("hincrby", "h", "a", 41),
    step("hincrbyfloat", "h", "b", 0.25),
    step("hrandfield", "h", 100),
    step("hrandfield", "h", 100, withvalues=True),
    step("hdel", "h", "a", "nothing"),
    step("hset", "big", mapping={f"field {n}": n for n in range(2000)}),
    step("hgetall", "big"),
    step("hscan", "h"),
    step("hscan_iter", "big", match="field 1*", count=50),
]
SETS = [
    step("sadd", "s", "a", "b", "c", 1, 2),
    step("sadd", "ints", *range(600)),
    step("sadd", "t", "b", "c", "d"),
    step("scard", "s"),
    step("smembers", "s"),
    step("sismember", "s", "a"),
    step("smismember", "s", ["a", "nothing"]),
    step("smove", "s", "t", "a"),
    step("sinter", "s", "t"),
    step("sintercard", 2, ["s", "t"], limit=1),
    step("sinterstore", "both", "s", "t"),
    step("sunion", "s", "t"),
    step("sunionstore", "all", "s", "t"),
    step("sdiff", "s", "t"),
    step("sdiffstore", "less", "s", "t"),
    step("srandmember", "s", 100),
    step("srem", "s", "b", "nothing"),
    step("spop", "less", 100),
    step("sscan", "s"),
    step("sscan_iter", "ints", count=40),
]
SORTED_SETS = [
    step("zadd", "z", {"a": 1, "b": 2.5, "c": float("inf"), "d": -3}),
    step("zadd", "z", {"a": 5}, gt=True, ch=True),
    step("zadd", "z", {"a": 0.1}, incr=True),
    step("zadd", "y", {"b": 10, "c": 1, "x": 1e17}),
    step("zadd", "lex", dict.fromkeys("abcdef", 0)),
    step("zcard", "z"),
    step("zcount", "z", "-inf", 5),
    step("zscore", "z", "b"),
    step("zmscore", "z", ["a", "nothing"]),
    step("zincrby", "z", 1.5, "b"),
    step("zrank", "z", "b"),
    step("zrevrank", "z", "b"),
    step("zrange", "z", 0, -1, withscores=True),
    step("zrange", "z", 0, 100, byscore=True, offset=1, num=2),
    step("zrevrange", "z", 0, 1, withscores=True),
    step("zrangebyscore", "z", "-inf", "(4", withscores=True),
    step("zrevrangebyscore", "z", "+inf", 1, start=0, num=2),
    step("zrangebylex", "lex", "[b", "(e"),
    step("zrevrangebylex", "lex", "[e", "[b", start=1, num=2),
    step("zlexcount", "lex", "-", "[c"),
    step("zrangestore", "stored", "z", 0, 1),
    step("zunion", ["z", "y"], aggregate="MAX", withscores=True),
    step("zinter", ["z", "y"], withscores=True),
    step("zdiff", ["z", "y"], withscores=True),
    step("zintercard", 2, ["z", "y"], limit=1),
    step("zunionstore", "zu", {"z": 2, "y": 0.5}),
    step("zinterstore", "zi", ["z", "y"], aggregate="MIN"),
    step("zdiffstore", "zd", ["z", "y"]),
    step("zrandmember", "z", 100),
    step("zrandmember", "z", 100, withscores=True),
    step("zpopmin", "zu"),
    step("zpopmax", "zu", 2),
    step("zmpop", 2, ["no zset", "zu"], min=True, count=1),
    step("zrem", "z", "a", "nothing"),
    step("zremrangebylex", "lex", "[a", "[b"),
    step("zremrangebyrank", "lex", 0, 0),
    step("zremrangebyscore", "z", 3, 5),
    step("zadd", "big", {f"member {n}": n / 4 for n in range(2000)}),
    step("zrange", "big", 700, 800, withscores=True),
    step("zscan", "z"),
    step("zscan_iter", "big", match="*9", count=70),
]
KEYS = [
    *(step("set", key, key) for key in "abc"),
    step("rpush", "l", 1),
    step("type", "l"),
    step("exists", "a", "b", "nothing"),
    step("touch", "a", "nothing"),
    step("expire", "a", 1000),
    step("pexpire", "a", 2_000_000, gt=True),
    step("expireat", "b", 4_102_444_800),
    step("pexpireat", "c", 4_102_444_800_000),
    step("expiretime", "b"),
    step("pexpiretime", "c"),
    step("persist", "a"),
    step("ttl", "a"),
    step("pttl", "nothing"),
    step("rename", "a", "z"),
    step("renamenx", "b", "c"),
    step("copy", "l", "l2"),
    step("move", "z", 8),
    step("delete", "b", "c"),
    step("unlink", "l2"),
    step("randomkey"),
    step("keys", "*"),
    step("scan"),
    step("scan_iter", "*", count=5, _type="list"),
]
ALL = {
    "strings": STRINGS,
    "lists": LISTS,
    "hashes": HASHES,
    "sets": SETS,
    "sorted sets": SORTED_SETS,
    "keys": KEYS,
}
# Redis does not say in which order these come.
UNORDERED = {
    *("keys", "smembers", "sinter", "sunion", "sdiff", "srandmember", "spop", "hkeys", "hvals"),
    *("hrandfield", "zrandmember", "scan_iter", "sscan_iter", "hscan_iter", "zscan_iter"),
    *("scan", "sscan", "hscan", "zscan"),
}


@pytest.fixture(scope="module")
def shared_sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One sidecar for the tests of this file, which begin by emptying it."""
    with Sidecar(tmp_path_factory.mktemp("sidecar")) as server:
        yield server


@pytest.fixture(scope="module")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real server, likewise."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def answers(client: redis.Redis, steps: list[Step]) -> list[tuple[Step, Any]]:
    """Take the steps and give what redis-py made of each answer."""
    client.flushall()
    return [(taken, answer(client, taken)) for taken in steps]


def answer(client: redis.Redis, taken: Step) -> Any:
    """Take one step."""
    method, args, options = taken
    found = getattr(client, method)(*args, **options)
    if method.endswith("_iter"):
        found = list(found)
    return settled(method, found)


def settled(method: str, found: Any) -> Any:
    """Give an answer as it is compared."""
    return in_order(found) if method in UNORDERED else found


def in_order(found: Any) -> Any:
    """Put what has no order into one, at every depth."""
    if isinstance(found, dict):
        return sorted((repr(key), in_order(value)) for key, value in found.items())
    if isinstance(found, (list, tuple, set)):
        return sorted((in_order(part) for part in found), key=repr)
    return found


@pytest.mark.parametrize("family", ALL)
@pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])
@pytest.mark.parametrize("decodes", [False, True], ids=["bytes", "texts"])
def test_each_method_gives_what_it_gives_on_a_real_server(
    family: str,
    protocol: int,
    decodes: bool,  # noqa: FBT001  # pytest gives parameters by name
    shared_sidecar: Sidecar,
    shared_redis: RedisServer,
) -> None:
    options = {"protocol": protocol, "decode_responses": decodes}
    with shared_sidecar.client(**options) as ours, shared_redis.client(**options) as real:
        assert answers(ours, ALL[family]) == answers(real, ALL[family])
        assert shared_sidecar.digest() == shared_redis.digest()


@pytest.mark.parametrize("is_transaction", [False, True], ids=["pipeline", "transaction"])
def test_the_same_steps_in_one_pipeline(
    is_transaction: bool,  # noqa: FBT001  # pytest gives parameters by name
    shared_sidecar: Sidecar,
    shared_redis: RedisServer,
) -> None:
    """Goal: many commands of all types in one write, and in one EXEC, answer as one by one."""
    steps = [taken for family in ALL.values() for taken in family]
    # Walks are many calls; of many keys each server draws another, and begins a scan with others.
    alone = {"randomkey", "scan"}
    steps = [it for it in steps if not it[0].endswith("_iter") and it[0] not in alone]
    found = []
    for server in (shared_sidecar, shared_redis):
        with server.client(protocol=3) as client, client.pipeline(is_transaction) as pipe:
            client.flushall()
            for method, args, options in steps:
                getattr(pipe, method)(*args, **options)
            replies = pipe.execute(raise_on_error=False)
        found.append(
            [
                (taken, str(reply) if isinstance(reply, Exception) else settled(taken[0], reply))
                for taken, reply in zip(steps, replies, strict=True)
            ]
        )
    assert found[0] == found[1]
    assert shared_sidecar.digest() == shared_redis.digest()


def test_every_method_of_redis_py_is_taken_or_named() -> None:
    taken = {method for steps in ALL.values() for method, _, _ in steps}
    named = BLOCKING | BITS | NOT_IN_REDIS_7 | SERIALIZED | ELSEWHERE
    there = {
        name
        for family in FAMILIES
        for name, member in vars(family).items()
        if not name.startswith("_") and callable(member)
    }
    assert there - named == taken & there
    assert not taken & named


def test_iterators_meet_all_that_stays_while_others_come_and_go(shared_sidecar: Sidecar) -> None:
    """Goal: the promise of SCAN for each walk. Method: delete and add while it is under way."""
    with shared_sidecar.client(decode_responses=True) as client:
        client.flushall()
        stays = {f"stays:{n}" for n in range(3000)}
        client.hset("h", mapping=dict.fromkeys(stays, "1"))
        client.sadd("s", *stays)
        client.zadd("z", dict.fromkeys(stays, 1.0))
        client.mset(dict.fromkeys(stays, "1"))
        walks: dict[str, Any] = {
            "h": (field for field, _ in client.hscan_iter("h", count=20)),
            "s": client.sscan_iter("s", count=20),
            "z": (member for member, _ in client.zscan_iter("z", count=20)),
            "": client.scan_iter(count=20),
        }
        for key, walk in walks.items():
            seen = set()
            for number, name in enumerate(walk):
                seen.add(name)
                if number < 3000:
                    _come_and_go(client, key, number)
            assert stays <= seen, key


def _come_and_go(client: redis.Redis, key: str, number: int) -> None:
    comes, goes = f"comes:{number}", f"comes:{number - 5}"
    match key:
        case "h":
            client.hset(key, comes, "1")
            client.hdel(key, goes)
        case "s":
            client.sadd(key, comes)
            client.srem(key, goes)
        case "z":
            client.zadd(key, {comes: 1.0})
            client.zrem(key, goes)
        case _:
            client.set(comes, "1")
            client.delete(goes)


def test_a_refused_step_raises_what_redis_raises(
    shared_sidecar: Sidecar, shared_redis: RedisServer
) -> None:
    wrong: list[Step] = [
        step("lpush", "text", "x"),
        step("hset", "text", "f", "v"),
        step("sadd", "text", "m"),
        step("zadd", "text", {"m": 1}),
        step("lset", "list", 99, "x"),
        step("hincrby", "hash", "f", 1),
        step("zadd", "zset", {"m": float("nan")}),
        step("lmpop", 0, "list", direction="LEFT"),
        step("sintercard", 2, ["s"]),
    ]
    raised = []
    for server in (shared_sidecar, shared_redis):
        with server.client() as client:
            client.flushall()
            client.set("text", "x")
            client.rpush("list", "x")
            client.hset("hash", "f", "no number")
            client.zadd("zset", {"m": 1})
            texts = []
            for taken in wrong:
                with pytest.raises(redis.ResponseError) as error:
                    answer(client, taken)
                texts.append(str(error.value))
            raised.append(texts)
    assert raised[0] == raised[1]
