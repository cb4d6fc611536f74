"""The whole sidecar on a disk that fails (the shim preloaded): what clients and operators are told.

Each call of the log is tried in Rust (`engine/shim/tests/disk`); here the metrics, the structured
log and the way back, through the product's own doors.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from tests.support.preloaded import Preloaded
from tests.support.processes import Sidecar, wait_for

KEYS = 50


def figures(sidecar: Sidecar) -> dict[tuple[str, str], float]:
    """Read the metrics page: name and label values of each sample."""
    url = f"http://127.0.0.1:{sidecar.ports['http']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def logged(sidecar: Sidecar, event: str) -> dict[str, Any] | None:
    """Find the first line of that name in the structured log."""
    for line in sidecar.log.read_text().splitlines():
        if line.startswith("{"):
            found: dict[str, Any] = json.loads(line)
            if found.get("event") == event:
                return found
    return None


def write_until_it_fails(sidecar: Sidecar) -> None:
    """Set a key until a reply waits for the disk, or refuses."""
    try:
        with redis.Redis(port=sidecar.ports["resp"], socket_timeout=0.5) as client:
            while client.set("pending", "value"):
                pass
    except redis.exceptions.RedisError:
        return


@pytest.mark.parametrize(
    ("call", "kind", "event", "code"),
    [
        ("write@1..=ENOSPC", "disk_full", "aof_write_failed", "DISK_FULL"),
        ("write@1..=EIO", "write", "aof_write_failed", None),
        ("fdatasync@1..=EIO", "fsync", "aof_fsync_failed", None),
    ],
)
def test_a_failing_disk_is_told_of_and_loses_nothing(
    tmp_path: Path, call: str, kind: str, event: str, code: str | None
) -> None:
    """Goal: what an operator sees, point by point. Method: fail, look, mend, write, kill."""
    data = tmp_path / "data"
    armed, held = tmp_path / "armed", tmp_path / "held"
    held.touch()
    orders = (f"from={armed}", "named=incr.aof", f"{call},while:{held}")
    shim = Preloaded(data, tmp_path / "notes", *orders)
    args = ("--appendonly", "yes")
    with Sidecar(tmp_path, redis_args=args, env=shim.environment) as sidecar:
        with sidecar.client() as client:
            for number in range(KEYS):
                assert client.set(f"before:{number}", "value")
        armed.touch()
        write_until_it_fails(sidecar)
        line = wait_for(lambda: logged(sidecar, event), event)
        assert line["level"] == "error"
        assert line["hint"]
        assert ".incr.aof" in json.dumps(line)
        assert code is None or line["code"] == code
        with sidecar.client() as client:
            with pytest.raises(redis.exceptions.ResponseError, match="MISCONF"):
                client.set("refused", "value")
            assert client.get("before:7") == b"value", "reads go on"
            assert client.info("persistence")["aof_last_write_status"] == "err"
        told = figures(sidecar)
        assert told["perdure_aof_errors_total", kind] >= 1
        assert told["perdure_engine_log_failed", ""] == 1
        held.unlink()
        with sidecar.client() as client:

            def is_taken() -> bool:
                try:
                    return bool(client.set("after", "value"))
                except redis.exceptions.ResponseError:
                    return False

            wait_for(is_taken, "writes are taken again")
            assert client.info("persistence")["aof_last_write_status"] == "ok"
        assert figures(sidecar)["perdure_engine_log_failed", ""] == 0
        sidecar.kill()
    with Sidecar(tmp_path, redis_args=args) as sidecar, sidecar.client() as client:
        assert client.get("after") == b"value"
        assert client.get("refused") is None
        assert all(client.get(f"before:{number}") == b"value" for number in range(KEYS))
