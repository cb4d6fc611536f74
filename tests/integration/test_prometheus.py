"""A real Prometheus reads what the HTTP door says."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Sidecar, free_port, wait_for
from tests.support.shell import run

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: perdure
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@pytest.fixture
def prometheus(tmp_path: Path, sidecar: Sidecar) -> Iterator[str]:
    """Give the address of a Prometheus that scrapes the sidecar every second."""
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG.format(port=sidecar.ports["http"]))
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(30)


def _query(address: str, expression: str) -> Any:
    """Ask for an instant vector; None while there is no answer or no sample."""
    url = f"{address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]["result"] or None
    except OSError:
        return None


def test_prometheus_scrapes_fork_time_and_snapshots(sidecar: Sidecar, prometheus: str) -> None:
    snapshot = sidecar.json("snapshot", "create")
    assert snapshot["state"] == "STATE_AVAILABLE"

    def scraped(expression: str) -> Any:
        return wait_for(lambda: _query(prometheus, expression), expression)

    assert scraped("up == 1")
    assert scraped('histogram_quantile(0.9, perdure_fork_duration_seconds_bucket{purpose="cut"})')
    assert scraped("time() - max(perdure_snapshot_last_verified_timestamp_seconds) < 300")
    lag = "perdure_aof_fsync_lag_seconds"
    assert scraped(f"{lag} >= 0")
    with sidecar.client() as client:
        assert client.set("key", "value")
    assert scraped("histogram_quantile(0.99, perdure_aof_fsync_duration_seconds_bucket) > 0")
    assert scraped("histogram_quantile(0.99, perdure_aof_write_to_fsync_seconds_bucket) > 0")
    assert scraped("perdure_aof_unsynced_bytes == 0 and perdure_aof_size_bytes > 0")
    assert scraped("sum(perdure_aof_errors_total) == 0")
    with sidecar.client() as client:
        assert client.config_set("appendonly", "no")
    wait_for(lambda: _query(prometheus, lag) is None, "no lag without a log")


def test_promtool_accepts_the_metrics_page(sidecar: Sidecar) -> None:
    sidecar.json("snapshot", "create")
    url = f"http://127.0.0.1:{sidecar.ports['http']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    run("promtool", "check", "metrics", stdin=text)
