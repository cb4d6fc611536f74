"""Commands of operators over sockets, through redis-py: pausing, the slow log, latency, memory."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.support.processes import Sidecar, wait_for


def test_paused_writes_wait_and_go_on(tmp_path: Path) -> None:
    """Reads go on meanwhile; the writer is answered once the pause is over, and not before."""
    with Sidecar(tmp_path) as sidecar:
        operator, writer = sidecar.client(decode_responses=True), sidecar.client()
        writer.ping()
        assert operator.client_pause(600_000, all=False)
        done = threading.Event()

        def write() -> None:
            writer.set("a", "1")
            done.set()

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        wait_for(lambda: operator.info("clients")["blocked_clients"] == 1, "the writer to wait")
        assert operator.get("a") is None
        assert not done.is_set()
        assert operator.client_unpause()
        thread.join(60)
        assert done.is_set()
        assert operator.get("a") == "1"
        assert operator.info("clients")["blocked_clients"] == 0
        assert sidecar.stop() == 0


def test_a_pause_ends_by_itself(tmp_path: Path) -> None:
    """Even when it stopped everybody, its author too."""
    with Sidecar(tmp_path) as sidecar:
        with sidecar.client(decode_responses=True) as client:
            assert client.client_pause(50, all=True)
            assert client.set("a", "1")
        assert sidecar.stop() == 0


def test_figures_are_read_by_the_client_library(tmp_path: Path) -> None:
    """What redis-py parses of SLOWLOG, LATENCY and MEMORY."""
    arguments = ("--slowlog-log-slower-than", "0", "--latency-monitor-threshold", "1")
    with Sidecar(tmp_path, redis_args=arguments) as sidecar:
        with sidecar.client(decode_responses=True) as client:
            client.set("a", "1")
            client.execute_command("DEBUG", "SLEEP", "0.005")
            newest = client.slowlog_get(2)
            assert [entry["command"] for entry in newest] == [b"DEBUG SLEEP 0.005", b"SET a 1"]
            assert newest[0]["duration"] >= newest[1]["duration"]
            assert client.slowlog_reset()
            (event, _, _, longest), *_ = client.latency_latest()
            assert event == "command"
            assert longest > 0
            histogram = client.execute_command("LATENCY", "HISTOGRAM", "set")
            assert histogram["set"]["calls"] == 1
            stats = client.memory_stats()
            assert stats["keys.count"] == 1
            assert stats["total.allocated"] > 0
            assert client.memory_purge()
        assert sidecar.stop() == 0
