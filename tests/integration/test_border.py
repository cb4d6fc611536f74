"""The native module as Python meets it: every call returns at once, every job ends with one event.

The shapes compared here are the ones that `sidecar/_engine.pyi` documents.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from sidecar._engine import Engine, EngineError

PATIENCE_SECONDS = 60.0
KEYS = 2_000

CUT_KEYS = {
    "path", "size_bytes", "keys", "fork_seconds", "pause_seconds", "cow_bytes", "write_seconds",
    "cut_unix_ms", "log_position", "rdb_version",
}  # fmt: skip
VERIFY_KEYS = {
    "size_bytes", "sha256", "rdb_version", "redis_version", "created_unix_s", "used_memory_bytes",
    "log_position", "aux", "keys", "expires", "databases",
}  # fmt: skip
STATS_KEYS = {
    "state", "uptime_seconds", "clients", "keys", "expires", "used_memory_bytes",
    "used_memory_rss_bytes", "huge_pages_bytes", "collapsed_bytes_total",
    "collapse_failures_total", "commands_total", "connections_total", "rejected_connections_total",
    "expired_keys_total", "evicted_keys_total", "keyspace_hits_total", "keyspace_misses_total",
    "net_input_bytes_total", "net_output_bytes_total", "dirty", "last_save_unix_s",
    "last_bgsave_status", "bgsave_in_progress", "fork_histogram", "last_fork_seconds",
    "cow_bytes_last", "loading", "writes_paused", "log_failed", "blocked_clients",
    "unsaved_since_unix_ms", "last_load", "log", "rpc",
}  # fmt: skip


class Border:
    """An engine and the events that were taken from it."""

    def __init__(self, data_dir: Path, **options: object) -> None:
        document = {"resp_port": 0, "data_port": 0, "data_dir": str(data_dir), **options}
        document.setdefault("defaults", {"save": ""})
        self.engine = Engine(json.dumps(document))
        self.seen: list[dict[str, Any]] = []

    def wait(self, **wanted: object) -> dict[str, Any]:
        """Return the first event with these fields, waiting on the descriptor."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for event in self.seen:
                if all(event.get(name) == value for name, value in wanted.items()):
                    return event
            select.select([self.engine.event_fd()], [], [], 1.0)
            self.seen.extend(json.loads(text) for text in self.engine.take_events())
        pytest.fail(f"no event {wanted} among {self.seen}")

    def result(self, job: int) -> dict[str, Any]:
        """Return the result of a job that must succeed."""
        end = self._end(job)
        assert end["event"] == "done", end
        result: dict[str, Any] = end["result"]
        return result

    def error(self, job: int) -> dict[str, Any]:
        """Return the error of a job that must fail."""
        end = self._end(job)
        assert end["event"] == "failed", end
        assert end["error"].keys() == {"code", "message", "hint", "is_retryable", "context"}
        error: dict[str, Any] = end["error"]
        return error

    def _end(self, job: int) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            ends = [e for e in self.seen if e.get("job") == job and e["event"] != "progress"]
            if ends:
                return ends[0]
            select.select([self.engine.event_fd()], [], [], 1.0)
            self.seen.extend(json.loads(text) for text in self.engine.take_events())
        pytest.fail(f"job {job} did not end: {self.seen}")

    def client(self) -> redis.Redis:
        """Return a client of the RESP door."""
        return redis.Redis(port=self.engine.ports()["resp"])

    def stop(self) -> None:
        """Stop without a save; a second stop is harmless."""
        self.result(self.engine.stop(save=False))


@pytest.fixture
def border(tmp_path: Path) -> Iterator[Border]:
    """Run one engine that serves some keys."""
    made = Border(tmp_path / "data")
    made.wait(event="state", state="ready")
    with made.client() as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(KEYS):
            pipeline.set(f"key:{number}", f"value {number}", ex=3600 if number % 10 == 0 else None)
        pipeline.execute()
    yield made
    made.stop()


def test_results_have_the_documented_shapes(border: Border, tmp_path: Path) -> None:
    """Cut, verify, load beside, commit and discard, comparing keys and what they say."""
    engine, path = border.engine, tmp_path / "cut.rdb"
    cut = border.result(engine.cut(str(path), "manual"))
    assert cut.keys() == CUT_KEYS
    assert (cut["path"], cut["keys"], cut["rdb_version"]) == (str(path), KEYS, 10)
    assert 0 < cut["fork_seconds"] < cut["pause_seconds"]
    verified = border.result(engine.verify(str(path)))
    assert verified.keys() == VERIFY_KEYS
    assert verified["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert verified["size_bytes"] == cut["size_bytes"] == path.stat().st_size
    counts = {"keys": KEYS, "expires": KEYS // 10, "types": {"string": KEYS}}
    assert verified["databases"] == {"0": counts}
    assert verified["created_unix_s"] == cut["cut_unix_ms"] // 1000

    staged = border.result(engine.load_beside(str(path)))
    assert staged.keys() == VERIFY_KEYS | {"stage", "memory_bytes", "expired_skipped"}
    assert border.error(engine.load_beside(str(path)))["code"] == "STAGE_BUSY"
    border.client().flushall()
    border.client().set("other", 1)
    commit = border.result(engine.commit(staged["stage"], str(tmp_path / "safety.rdb")))
    assert commit.keys() == {"safety", "pause_seconds", "keys", "previous_keys"}
    assert commit["safety"].keys() == CUT_KEYS | {"verified"}
    assert commit["safety"]["verified"].keys() == VERIFY_KEYS
    assert (commit["keys"], commit["previous_keys"]) == (KEYS, 1)
    assert border.client().get("key:7") == b"value 7"
    staged = border.result(engine.load_beside(str(path)))
    assert border.result(engine.discard(staged["stage"])) == {}
    assert border.error(engine.discard(staged["stage"]))["code"] == "STAGE_NOT_FOUND"


def test_stats_have_the_documented_keys(border: Border, tmp_path: Path) -> None:
    """Figures come from atomics, mirrored within a moment."""
    border.result(border.engine.cut(str(tmp_path / "cut.rdb"), "manual"))
    deadline = time.monotonic() + PATIENCE_SECONDS
    stats: dict[str, Any] = json.loads(border.engine.stats())
    while stats["unsaved_since_unix_ms"] is None and time.monotonic() < deadline:
        stats = json.loads(border.engine.stats())
    assert stats.keys() == STATS_KEYS
    assert stats["keys"] == {"0": KEYS}
    assert stats["expires"] == {"0": KEYS // 10}
    assert stats["state"] == "ready"
    assert stats["fork_histogram"]["cut"]["count"] == 1
    assert len(stats["fork_histogram"]["cut"]["buckets"]) == 17
    assert stats["used_memory_bytes"] > 0 < stats["used_memory_rss_bytes"]


def test_errors_of_the_constructor_are_typed(tmp_path: Path) -> None:
    """A taken port, a foreign address, bad options: the exception says what to do next."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineError) as in_use:
            Border(tmp_path, resp_port=port)
    error = in_use.value
    assert (error.code, error.is_retryable) == ("ADDRESS_IN_USE", True)
    assert (error.context["port"], error.context["flag"]) == (str(port), "--port")
    assert str(error) == error.message
    assert error.hint
    with pytest.raises(EngineError) as refused:
        Border(tmp_path, bind=["0.0.0.0"])
    assert refused.value.code == "ADDRESS_REFUSED"
    for options, code in [
        ({"unknown_option": 1}, "CONFIG_INVALID"),
        ({"redis_args": ["--maxmemory", "2gb"]}, "CONFIG_UNSUPPORTED"),
        ({"redis_args": ["--no-such-directive", "yes"]}, "CONFIG_UNKNOWN"),
        ({"redis_conf": str(tmp_path / "missing.conf")}, "FILE_MISSING"),
    ]:
        with pytest.raises(EngineError) as failed:
            Border(tmp_path, **options)  # type: ignore[arg-type]
        assert failed.value.code == code, options


def test_no_call_waits_for_the_engine_lock(tmp_path: Path) -> None:
    """While DEBUG SLEEP holds the lock every call returns: its reply comes after all of them."""
    border = Border(tmp_path / "data", redis_args=["--enable-debug-command", "yes"])
    border.wait(event="state", state="ready")
    with socket.create_connection(("127.0.0.1", border.engine.ports()["resp"])) as sleeper:
        sleeper.sendall(b"DEBUG SLEEP 2\r\n")
        assert not select.select([sleeper], [], [], 0.2)[0], "it sleeps"
        engine = border.engine
        jobs = [engine.cut(str(tmp_path / "x.rdb"), "manual"), engine.config_get("hz")]
        engine.cancel(jobs[0])
        json.loads(engine.stats())
        engine.take_events()
        assert not select.select([sleeper], [], [], 0)[0], "a call waited for the lock"
        assert border.error(jobs[0])["code"] == "CANCELLED"
        border.result(jobs[1])
    border.stop()


def test_config_is_read_and_set_all_or_none(border: Border) -> None:
    """`config_set` with one bad directive sets none."""
    engine = border.engine
    border.result(engine.config_set([("hz", "20"), ("rdbcompression", "no")]))
    found = border.result(engine.config_get("rdb*"))["parameters"]
    assert found["rdbcompression"] == "no"
    moved = border.error(engine.config_set([("dbfilename", "elsewhere.rdb")]))
    assert "protected" in moved["message"]  # the data set stays in the folder that is locked
    error = border.error(engine.config_set([("hz", "30"), ("maxclients", "many")]))
    assert error["code"] == "CONFIG_SET_FAILED"
    assert border.result(engine.config_get("hz"))["parameters"] == {"hz": "20"}


def test_precedence_runs_from_defaults_to_overrides(tmp_path: Path) -> None:
    """Each source beats the ones below it."""
    conf = tmp_path / "redis.conf"
    conf.write_text("hz 12\nmaxclients 200\nsave 900 1\ndbfilename conf.rdb\n")
    border = Border(
        tmp_path / "data",
        defaults={"hz": "11", "maxclients": "100", "save": "60 1", "timeout": "5"},
        redis_conf=str(conf),
        environment={"maxclients": "300", "dbfilename": "environment.rdb"},
        redis_args=["--dbfilename", "arguments.rdb"],
        overrides={"dbfilename": "overrides.rdb"},
    )
    found = border.result(border.engine.config_get("*"))["parameters"]
    wanted = {"hz": "12", "maxclients": "300", "save": "900 1", "timeout": "5"}
    assert {name: found[name] for name in wanted} == wanted
    assert found["dbfilename"] == "overrides.rdb"
    border.stop()


def test_what_cannot_be_loaded_is_a_state_and_stays_as_it_is(tmp_path: Path) -> None:
    """An alien dump.rdb: state failed with the reason, the file untouched, stop still works."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "dump.rdb").write_bytes(b"this is not a data set at all")
    border = Border(data_dir)
    error = border.wait(event="state", state="failed")["error"]
    assert error["code"] == "RDB_ALIEN"
    assert error["hint"]
    assert json.loads(border.engine.stats())["state"] == "failed"
    assert (
        border.error(border.engine.cut(str(tmp_path / "x.rdb"), ""))["code"] == "ENGINE_NOT_READY"
    )
    border.result(border.engine.stop(save=True))
    assert (data_dir / "dump.rdb").read_bytes() == b"this is not a data set at all"


def test_shutdown_saves_and_asks_for_the_exit(border: Border, tmp_path: Path) -> None:
    """SHUTDOWN SAVE over RESP: told as an event, nothing runs after it, the data is there again."""
    client = border.client()
    client.shutdown(save=True)
    assert border.wait(event="exit_requested")["save"] is True
    border.stop()
    border.wait(event="state", state="stopped")
    again = Border(tmp_path / "data")
    again.wait(event="state", state="ready")
    assert again.client().dbsize() == KEYS
    again.stop()


def test_the_host_s_signals_and_children_are_left_alone(border: Border, tmp_path: Path) -> None:
    """Handlers stay, a subprocess can be waited for, and no handler runs for a snapshot child."""
    heard: list[int] = []
    before = signal.signal(signal.SIGCHLD, lambda number, _: heard.append(number))
    try:
        with subprocess.Popen([sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE) as child:
            for number in range(20):
                border.result(border.engine.cut(str(tmp_path / f"{number}.rdb"), "manual"))
            assert child.wait() == 0
    finally:
        signal.signal(signal.SIGCHLD, before)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # every snapshot child was reaped


def test_a_dropped_engine_frees_its_ports(tmp_path: Path) -> None:
    """Losing the last reference stops the doors."""
    border = Border(tmp_path)
    border.wait(event="state", state="ready")
    port = border.engine.ports()["resp"]
    del border
    with socket.create_server(("127.0.0.1", port)):
        pass
