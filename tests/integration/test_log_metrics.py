"""The append-only file's figures on the metrics page of a running sidecar, while it writes.

Names and types are compared with docs/operations/metrics.md in tests/unit/rpc; here the values.
"""

from __future__ import annotations

import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import Sidecar, wait_for

LOGGED = ("--appendonly", "yes")
TYPES = {
    "perdure_aof_fsync_lag_seconds": "gauge",
    "perdure_aof_write_to_fsync_seconds": "histogram",
    "perdure_aof_fsync_duration_seconds": "histogram",
    "perdure_aof_enabled": "gauge",
    "perdure_aof_writes": "counter",
    "perdure_aof_ring_fsyncs": "counter",
    "perdure_aof_delayed_fsyncs": "counter",
    "perdure_aof_errors": "counter",
    "perdure_aof_unsynced_bytes": "gauge",
    "perdure_aof_buffered_bytes": "gauge",
    "perdure_aof_size_bytes": "gauge",
    "perdure_aof_base_size_bytes": "gauge",
    "perdure_aof_incremental_size_bytes": "gauge",
    "perdure_aof_rewrites": "counter",
    "perdure_aof_rewrite_in_progress": "gauge",
    "perdure_aof_last_rewrite_duration_seconds": "gauge",
    "perdure_engine_last_load_commands": "gauge",
    "perdure_engine_last_load_duration_seconds": "gauge",
    "perdure_engine_last_load_torn_bytes": "gauge",
}


class Page:
    """What a scrape shows."""

    def __init__(self, sidecar: Sidecar) -> None:
        url = f"http://127.0.0.1:{sidecar.ports['http']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        self.types = {family.name: family.type for family in families}
        self._values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, *labels: str) -> float:
        """Give a sample's value; the name without `perdure_aof_`."""
        return self._values["perdure_aof_" + name, *labels]

    def load(self, name: str) -> float:
        """Give a figure of the last load."""
        return self._values[("perdure_engine_last_load_" + name,)]


def fsynced(sidecar: Sidecar, before: Page) -> Page | None:
    """Give a page that says that all is on the disk, after an fsync since `before`."""
    page = Page(sidecar)
    count = "fsync_duration_seconds_count"
    is_done = page.value("unsynced_bytes") == page.value("fsync_lag_seconds") == 0
    return page if is_done and page.value(count) > before.value(count) else None


def test_the_log_s_figures_follow_what_it_does(tmp_path: Path) -> None:
    with Sidecar(tmp_path, redis_args=LOGGED) as sidecar:
        before = Page(sidecar)
        with sidecar.client() as client:
            for number in range(100):
                assert client.set(f"key:{number}", "value")
        page = wait_for(lambda: fsynced(sidecar, before), "all is fsynced")
        assert {name: page.types.get(name) for name in TYPES} == TYPES
        assert page.value("enabled") == 1
        assert page.value("writes_total") >= before.value("writes_total") + 100
        for name in ("fsync_duration_seconds", "write_to_fsync_seconds"):
            assert page.value(name + "_count") > before.value(name + "_count"), name
            assert page.value(name + "_sum") > before.value(name + "_sum"), name
        assert page.value("buffered_bytes") == 0
        is_disk_slow = page.value("fsync_duration_seconds_sum") > 1
        assert page.value("delayed_fsyncs_total") == 0 or is_disk_slow
        kinds = ("disk_full", "write", "fsync")
        assert [page.value("errors_total", kind) for kind in kinds] == [0, 0, 0]
        with sidecar.client() as client:
            client.bgrewriteaof()
        wait_for(lambda: Page(sidecar).value("rewrites_total", "ok") == 1, "the rewrite")
        page = Page(sidecar)
        assert (page.value("rewrite_in_progress"), page.value("rewrites_total", "failed")) == (0, 0)
        assert 0 < page.value("last_rewrite_duration_seconds") < 60
        folder = sidecar.data / "appendonlydir"
        (base,) = folder.glob("*.base.rdb")
        (incr,) = folder.glob("*.incr.aof")

        def sizes() -> bool:
            page, file = Page(sidecar), incr.stat().st_size
            return (page.value("incremental_size_bytes"), page.value("size_bytes")) == (
                file,
                base.stat().st_size + file,
            )

        wait_for(sizes, "the sizes to be those of the files")
        page = Page(sidecar)
        assert 0 < page.value("base_size_bytes") <= page.value("size_bytes")
        with sidecar.client() as client:
            assert client.set("more", "value")
        sidecar.kill()
    with incr.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\ntorn")
    with Sidecar(tmp_path, redis_args=LOGGED) as sidecar:
        page = Page(sidecar)
        assert page.load("commands") >= 1
        assert page.load("duration_seconds") > 0
        assert page.load("torn_bytes") == len(b"*3\r\n$3\r\nSET\r\n$4\r\ntorn")
