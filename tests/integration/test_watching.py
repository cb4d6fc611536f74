"""Events and the audit log of a real server: across a restart, a full disk, a kill."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from perdure.client import Client
from perdure.control.v1 import event_pb2
from perdure.watching import Watch, watch_events
from tests.support.processes import Sidecar, clean_environment, free_port, perdure_binary, wait_for

CONFIG = '[schedules.never]\ncron = "0 0 1 1 *"\n'


def _lines(sidecar: Sidecar) -> list[dict[str, Any]]:
    path = sidecar.data / "audit" / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


@contextmanager
def _watching(sidecar: Sidecar, out: Path, *words: str) -> Iterator[None]:
    """Run `perdure event watch -o json` for as long as the block runs."""
    command = [str(perdure_binary()), "--target", sidecar.target, "event", "watch", "-o", "json"]
    with out.open("w") as stdout:
        process = subprocess.Popen([*command, *words], stdout=stdout, env=clean_environment())
    try:
        yield
    finally:
        process.kill()
        process.wait(30)


def _types(out: Path) -> list[str]:
    documents = [json.loads(line) for line in out.read_text().splitlines()]
    return [d["event"]["type"] if "event" in d else "gap" for d in documents]


def test_watch_goes_on_across_a_kill_and_a_restart(tmp_path: Path) -> None:
    """What the killed server told last is told as a gap; then the new one's events come."""
    port = str(free_port())
    out = tmp_path / "events"
    with Sidecar(tmp_path, "--control-port", port, config=CONFIG) as sidecar:
        with sidecar.client() as client:
            client.set("a", "1")
        with _watching(sidecar, out, "--from-oldest"):
            sidecar.cli("snapshot", "create")
            wait_for(lambda: "TYPE_OPERATION_ENDED" in out.read_text(), "the end of the snapshot")
            sidecar.kill()
            with Sidecar(tmp_path, "--control-port", port, config=CONFIG) as again:
                again.cli("snapshot", "create")
                wait_for(lambda: _types(out).count("TYPE_SNAPSHOT_STORED") == 2, "the second one")
                told = _types(out)
                audited = _lines(again)
                assert again.stop() == 0
    gap = told.index("gap")
    one = ["TYPE_SNAPSHOT_CUT", "TYPE_SNAPSHOT_STORED", "TYPE_OPERATION_ENDED"]
    assert [t for t in told[:gap] if t in one] == one
    assert [t for t in told[gap:] if t in one][:2] == one[:2]
    begun = [line for line in audited if line.get("method", "").endswith("/CreateSnapshot")]
    assert len(begun) == 2, "the log goes on in the same file"


def test_full_disk_refuses_no_mutation_and_is_counted(tmp_path: Path) -> None:
    """The audit log lies on /dev/full: every write fails with ENOSPC, every call goes through."""
    config = CONFIG + '[audit]\npath = "/dev/full"\n'
    with Sidecar(tmp_path, config=config) as sidecar:
        sidecar.cli("config", "set", "save", "61 1")
        sidecar.cli("schedule", "create", "mine", "--preset", "daily")
        with Client(sidecar.target) as client:
            watch = Watch(filter="type = TYPE_AUDIT_FAILED", from_oldest=True)
            with closing(watch_events(client, watch)) as events:
                event = next(events)
        assert isinstance(event, event_pb2.Event)
        assert event.reason == "DISK_FULL"
        assert 'perdure_audit_lines_total{result="lost"} 2.0' in _scrape(sidecar)
        assert sidecar.stop() == 0


def _scrape(sidecar: Sidecar) -> str:
    url = f"http://127.0.0.1:{sidecar.ports['http']}/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())
