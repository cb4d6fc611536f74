"""A store that takes the connection and never answers, beside a folder, in a real process.

Commands, snapshots, the API and the metrics go on while its calls hang; threads stay bounded.
"""

from __future__ import annotations

import re
import socket
import urllib.request
from contextlib import closing
from pathlib import Path

from sidecar.places import CALLS_MAX
from tests.support.dataset import write_strings
from tests.support.processes import Sidecar, wait_for
from tests.support.s3_server import CREDENTIALS

SNAPSHOTS = 2 * CALLS_MAX
LOCAL = """
[backends.local]
path = "snapshots"

[schedules.yearly]
cron = "0 0 1 1 *"
"""
SILENT = """
[backends.silent]
type = "s3"
bucket = "bucket"
endpoint_url = "http://127.0.0.1:{port}"
timeout = "15m"
read_timeout_seconds = 900
"""


def metric(sidecar: Sidecar, name: str) -> float:
    """Read one sample of the silent store."""
    url = f"http://127.0.0.1:{sidecar.ports['http']}/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    found = re.search(rf'^{name}{{backend="silent"}} ([\d.e+]+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def threads(sidecar: Sidecar) -> int:
    status = Path(f"/proc/{sidecar.process.pid}/status").read_text()
    return int(status.partition("Threads:")[2].split()[0])


def test_all_goes_on_while_a_store_hangs(tmp_path: Path) -> None:
    with Sidecar(tmp_path, config=LOCAL) as sidecar:
        write_strings(sidecar.ports["resp"], 1_000, seed=1)
        sidecar.stop()
    with closing(socket.create_server(("127.0.0.1", 0), backlog=512)) as silent:
        config = LOCAL + SILENT.format(port=silent.getsockname()[1])
        with Sidecar(tmp_path, config=config, env=CREDENTIALS) as sidecar:
            assert sidecar.json("schedule", "run", "yearly", "--no-wait")
            wait_for(lambda: metric(sidecar, "perdure_backend_calls_running"), "a call that hangs")
            before = threads(sidecar)
            _snapshots_go_on(sidecar)
            with sidecar.client() as client:
                for number in range(1_000):
                    assert client.set(f"key:{number}", "value")
            calls = metric(sidecar, "perdure_backend_calls_running")
            assert 0 < calls <= CALLS_MAX
            assert threads(sidecar) <= before + CALLS_MAX
            assert sidecar.json("schedule", "update", "yearly", "--keep-last", "3")
            up = {b["name"]: b for b in sidecar.json("backend", "list")["backends"]}
            assert set(up) == {"backends/local", "backends/silent"}
            assert sidecar.stop() == 0


def _snapshots_go_on(sidecar: Sidecar) -> None:
    """Take more snapshots than there may be calls: the folder has each of them."""

    def listed() -> int:
        return len(sidecar.json("snapshot", "list")["snapshots"])

    known = listed()
    for _ in range(SNAPSHOTS):
        sidecar.cli("snapshot", "create", "--backend", "local")
    for _ in range(2):
        sidecar.cli("snapshot", "create", "--no-wait")
    wait_for(lambda: listed() >= known + SNAPSHOTS + 2, "the folder to have all of them")
