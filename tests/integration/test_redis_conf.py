"""A redis.conf of the shape that Debian ships: what starts, what is said, and what is refused.

The unit tests of the engine have every class of directive; here a whole file meets a whole server.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.processes import Sidecar

EXIT_CONFIG = 12

# The directives that are set in Debian's package of 7.0, less their comments.
DEBIAN = """\
bind 127.0.0.1 -::1
protected-mode yes
port 6379
tcp-backlog 511
timeout 0
tcp-keepalive 300
daemonize yes
pidfile /run/redis/redis-server.pid
loglevel notice
logfile /var/log/redis/redis-server.log
databases 16
always-show-logo no
set-proc-title yes
proc-title-template "{title} {listen-addr} {server-mode}"
stop-writes-on-bgsave-error yes
rdbcompression yes
rdbchecksum yes
dbfilename dump.rdb
rdb-del-sync-files no
dir /var/lib/redis
replica-serve-stale-data yes
replica-read-only yes
repl-diskless-sync yes
repl-diskless-load disabled
replica-priority 100
acllog-max-len 128
lazyfree-lazy-user-flush no
oom-score-adj no
oom-score-adj-values 0 200 800
disable-thp yes
appendonly no
appendfilename "appendonly.aof"
appenddirname "appendonlydir"
appendfsync everysec
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 64mb
aof-use-rdb-preamble yes
slowlog-log-slower-than 10000
latency-monitor-threshold 0
notify-keyspace-events ""
hash-max-listpack-entries 512
list-max-listpack-size -2
activerehashing yes
client-output-buffer-limit normal 0 0 0
client-output-buffer-limit replica 256mb 64mb 60
client-output-buffer-limit pubsub 32mb 8mb 60
hz 10
dynamic-hz yes
jemalloc-bg-thread yes
"""


def _conf(folder: Path, text: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "redis.conf"
    path.write_text(text)
    return str(path)


def test_debians_file_starts_and_what_does_nothing_is_named(tmp_path: Path) -> None:
    """The command line's ports and data dir outrank the file's."""
    with Sidecar(tmp_path, "--redis-conf", _conf(tmp_path, DEBIAN)) as sidecar:
        with sidecar.client(decode_responses=True) as client:
            assert client.config_get("databases")["databases"] == "16"
            assert client.config_get("dir")["dir"] == str(sidecar.data.resolve())
        lines = [json.loads(line) for line in sidecar.log.read_text().splitlines()]
        assert sidecar.stop() == 0
    warned = [line["text"] for line in lines if line["event"] == "directive_without_effect"]
    assert "daemonize has no effect" in warned
    assert "logfile has no effect" in warned
    assert not any("oom-score" in text for text in warned)  # said as the default has it


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("requirepass secret", "'requirepass ***' does not work here yet"),
        ("maxmemory 2gb", "'maxmemory 2gb' does not work here yet"),
        ("appendonly yes", "'appendonly yes' does not work here yet"),
        ("dbfilname x.rdb", "'dbfilname x.rdb' is unknown"),
    ],
)
def test_what_cannot_be_kept_refuses_the_start_by_name_and_line(
    tmp_path: Path, line: str, said: str
) -> None:
    """Nobody believes in a password or a bound that is not there."""
    conf = _conf(tmp_path, f"{DEBIAN}{line}\n")
    with Sidecar(tmp_path, "--redis-conf", conf, is_awaited=False) as sidecar:
        assert sidecar.wait() == EXIT_CONFIG
        *_, error, hint = sidecar.log.read_text().splitlines()
    assert "secret" not in sidecar.log.read_text()
    number = DEBIAN.count("\n") + 1
    assert error.startswith("Error: ")
    assert f"line {number}: {said}" in error
    assert hint.startswith("Try: ")
    assert not (sidecar.data / "dump.rdb").exists()
