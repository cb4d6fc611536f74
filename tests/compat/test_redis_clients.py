"""Redis's own tools and redis-py talk to the engine unmodified, RESP2 and RESP3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.processes import RedisServer, Sidecar, debian_tool
from tests.support.shell import run


@pytest.fixture(scope="module")
def shared_sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One sidecar for the tests of this file, which use databases or keys of their own."""
    with Sidecar(tmp_path_factory.mktemp("sidecar")) as server:
        yield server


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def client(shared_sidecar: Sidecar, request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A redis-py client of either protocol on an empty data set."""
    with shared_sidecar.client(protocol=request.param, decode_responses=True) as found:
        found.flushall()
        yield found


BENCHMARKS = [
    *("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD"),
    *("HSET", "SPOP", "ZADD", "ZPOPMIN", "LPUSH (needed to benchmark LRANGE)"),
    *(f"LRANGE_{count} (first {count} elements)" for count in (100, 300, 500, 600)),
    "MSET (10 keys)",
]


@pytest.mark.parametrize("mode", ["-P 1", "-P 16", "-P 16 -3", "-P 64 -r 100000 -d 64"])
def test_redis_benchmark_runs_all_of_its_tests(shared_sidecar: Sidecar, mode: str) -> None:
    port = shared_sidecar.ports["resp"]
    options = ("-n", "10000", *mode.split(), "--csv")
    done = run(debian_tool("redis-benchmark"), "-p", port, *options)
    names = [line.split('","')[0].strip('"') for line in done.stdout.splitlines()[1:]]
    assert names == BENCHMARKS, done.stdout + done.stderr
    assert "rror" not in done.stdout + done.stderr


@pytest.mark.parametrize("protocol", ["-2", "-3"])
def test_redis_cli_speaks_both_protocols(shared_sidecar: Sidecar, protocol: str) -> None:
    def cli(*words: str) -> str:
        port = str(shared_sidecar.ports["resp"])
        return run(debian_tool("redis-cli"), protocol, "-p", port, *words).stdout.strip()

    assert cli("SET", "greeting", "hello world") == "OK"
    assert cli("GET", "greeting") == "hello world"
    assert cli("GET", "absent") == ""
    assert cli("INCR", "counted:" + protocol) == "1"
    assert "WRONGTYPE" not in cli("TYPE", "greeting")
    assert "redis_version:" in cli("INFO", "server")
    assert cli("NO-SUCH").startswith("ERR unknown command 'NO-SUCH'")
    assert "maxmemory" in cli("CONFIG", "GET", "maxmemory")


def test_redis_cli_reads_commands_from_a_pipe(shared_sidecar: Sidecar) -> None:
    """The interactive start asks COMMAND DOCS; a pipe takes the same way through the parser."""
    script = "SET piped 1\nINCRBY piped 41\nGET piped\nMULTI\nINCR piped\nEXEC\n"
    done = run(debian_tool("redis-cli"), "-p", shared_sidecar.ports["resp"], stdin=script)
    assert done.stdout.split() == ["OK", "42", "42", "OK", "QUEUED", "43"]


def test_redis_cli_scan_and_bigkeys(shared_sidecar: Sidecar) -> None:
    with shared_sidecar.client(db=7) as writer:
        writer.mset({f"scan:{index}": "x" * index for index in range(1500)})
    port = shared_sidecar.ports["resp"]
    tool = debian_tool("redis-cli")
    found = run(tool, "-p", port, "-n", 7, "--scan", "--pattern", "scan:*").stdout.split()
    assert sorted(found) == sorted(f"scan:{index}" for index in range(1500))


def test_redis_py_pipelines_are_transactions(client: redis.Redis) -> None:
    with client.pipeline() as pipe:
        pipe.set("a", 1)
        pipe.incr("a")
        pipe.get("a")
        pipe.expire("a", 100)
        answers = pipe.execute()
    assert answers == [True, 2, "2", True]
    with client.pipeline(transaction=False) as pipe:
        for index in range(1000):
            pipe.set(f"k:{index}", index)
        assert pipe.execute() == [True] * 1000
    assert client.mget("k:0", "k:999", "absent") == ["0", "999", None]


def test_redis_py_watch_sees_a_change_by_another_client(
    client: redis.Redis, shared_sidecar: Sidecar
) -> None:
    client.set("balance", 10)
    with client.pipeline() as pipe, shared_sidecar.client() as other:
        pipe.watch("balance")  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        other.set("balance", 11)
        pipe.multi()
        pipe.set("balance", 5)
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert client.get("balance") == "11"


def test_redis_py_scan_iterates_over_every_key(client: redis.Redis) -> None:
    client.mset({f"key:{index}": index for index in range(5000)})
    assert len(set(client.scan_iter(match="key:*", count=100))) == 5000
    assert client.dbsize() == 5000


def test_redis_py_expiry(client: redis.Redis) -> None:
    assert client.set("short", "x", ex=100)
    assert 0 < client.ttl("short") <= 100
    assert client.getex("short", persist=True) == "x"
    assert client.ttl("short") == -1
    assert client.set("short", "y", nx=True) is None
    assert client.set("short", "y", get=True) == "x"


def test_redis_py_is_binary_safe(shared_sidecar: Sidecar) -> None:
    key, value = bytes(range(256)), b"\r\n$5\r\n\x00" * 1000
    with shared_sidecar.client(db=9) as client:
        client.set(key, value)
        assert client.get(key) == value
        assert client.randomkey() == key


def test_redis_py_asks_for_information(client: redis.Redis) -> None:
    info = client.info()
    assert {"redis_version", "used_memory", "rdb_last_save_time", "connected_clients"} <= set(info)
    assert client.config_get("save") == {"save": "3600 1 300 100 60 10000"}
    assert client.client_list()
    client.client_setname("tester")
    assert client.client_getname() == "tester"
    assert client.command_count() > 50


def test_info_counts_error_replies_of_commands_and_of_the_protocol(sidecar: Sidecar) -> None:
    with sidecar.client() as client:
        before = int(client.info("stats")["total_error_replies"])
        client.set("text", "x")
        for _ in range(3):
            with pytest.raises(redis.ResponseError):
                client.incr("text")
        assert int(client.info("stats")["total_error_replies"]) == before + 3


def test_a_real_server_reads_what_save_wrote(tmp_path: Path) -> None:
    with Sidecar(tmp_path / "ours") as sidecar, sidecar.client() as client:
        client.mset({f"k:{index}": "text " * (index % 40) for index in range(2000)})
        client.execute_command("PEXPIREAT", "k:1", 4_102_444_800_000)
        client.save()
        digest = sidecar.digest()
        run(debian_tool("redis-check-rdb"), sidecar.data / "dump.rdb")
        (tmp_path / "theirs").mkdir()
        (sidecar.data / "dump.rdb").rename(tmp_path / "theirs" / "dump.rdb")
        with RedisServer(tmp_path / "theirs") as server:
            assert server.digest() == digest
