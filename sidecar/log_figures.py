"""The append-only file's figures as Prometheus metrics, from the engine's stats document.

Its object `log` has counters whether or not a log is on; what only a log has (lag, sizes) is left
out without one, since 0 would claim that everything is on disk. Adding a figure? Also add its row
to docs/operations/metrics.md; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from sidecar.engine_histograms import cumulative

Stats = Mapping[str, Any]
ERROR_KINDS = ("disk_full", "write", "fsync")
RESULTS = ("ok", "failed")

LAG = (
    "perdure_aof_fsync_lag_seconds",
    "Age of the oldest acknowledged write that is not on disk yet.",
)
HISTOGRAMS: tuple[tuple[str, str, str], ...] = (
    (
        "perdure_aof_write_to_fsync_seconds",
        "Age of the oldest write at each fsync of the log.",
        "write_to_fsync_histogram",
    ),
    (
        "perdure_aof_fsync_duration_seconds",
        "Duration of each fsync of the log.",
        "fsync_histogram",
    ),
)
COUNTERS: tuple[tuple[str, str, str], ...] = (
    ("perdure_aof_writes_total", "Writes to the log's file.", "writes_total"),
    (
        "perdure_aof_ring_fsyncs_total",
        "Fsyncs of the commit ring in place of the log's file (`appendfsync always`).",
        "ring_fsyncs_total",
    ),
    (
        "perdure_aof_delayed_fsyncs_total",
        "Fsyncs that took so long that replies waited for them.",
        "delayed_fsyncs_total",
    ),
)
# Of a log that is on.
GAUGES: tuple[tuple[str, str, str], ...] = (
    (
        "perdure_aof_unsynced_bytes",
        "Bytes that were logged and are not fsynced.",
        "unsynced_bytes",
    ),
    (
        "perdure_aof_buffered_bytes",
        "Bytes that were logged and are not written.",
        "buffered_bytes",
    ),
    ("perdure_aof_size_bytes", "Size of the log, all of its files.", "size_bytes"),
    (
        "perdure_aof_base_size_bytes",
        "Size of the log after the last rewrite or load: its growth is measured from there.",
        "base_size_bytes",
    ),
    (
        "perdure_aof_incremental_size_bytes",
        "Size of the file that the log writes to.",
        "incremental_size_bytes",
    ),
)
REWRITING = (
    "perdure_aof_rewrite_in_progress",
    "1 while the log is being rewritten.",
)
REWRITE_SECONDS = (
    "perdure_aof_last_rewrite_duration_seconds",
    "Time that the last rewrite of the log took.",
)
ENABLED = ("perdure_aof_enabled", "1 while a log is on.")
ERRORS = ("perdure_aof_errors_total", "Writes and fsyncs of the log that failed, by kind.")
REWRITES = ("perdure_aof_rewrites_total", "Rewrites of the log that ended, by how.")
LOADS: tuple[tuple[str, str, str], ...] = (
    (
        "perdure_engine_last_load_commands",
        "Commands that the start replayed from the log.",
        "commands",
    ),
    ("perdure_engine_last_load_duration_seconds", "Time that the start's load took.", "seconds"),
    (
        "perdure_engine_last_load_torn_bytes",
        "Bytes of a torn tail that the start cut off the log.",
        "torn_bytes",
    ),
)


def log_families(stats: Stats) -> Iterator[Metric]:
    """Yield the metrics of the log and of the last load."""
    log: Mapping[str, Any] = stats.get("log") or {}
    on = log if log.get("is_on") else {}
    yield _gauge(LAG, on.get("fsync_lag_seconds"))
    for name, text, key in HISTOGRAMS:
        yield _histogram(name, text, log.get(key))
    yield _gauge(ENABLED, log.get("is_on"))
    for name, text, key in COUNTERS:
        yield CounterMetricFamily(name, text, value=log.get(key))
    yield _by_label(ERRORS, "kind", ERROR_KINDS, log.get("errors"))
    for name, text, key in GAUGES:
        yield _gauge((name, text), on.get(key))
    rewrites: Mapping[str, Any] = log.get("rewrites") or {}
    yield _by_label(REWRITES, "result", RESULTS, rewrites)
    yield _gauge(REWRITING, rewrites.get("in_progress"))
    yield _gauge(REWRITE_SECONDS, rewrites.get("last_seconds"))
    loads: Mapping[str, Any] = stats.get("last_load") or {}
    for name, text, key in LOADS:
        yield _gauge((name, text), loads.get(key))


def _gauge(what: tuple[str, str], value: float | None) -> Metric:
    return GaugeMetricFamily(*what, value=None if value is None else float(value))


def _by_label(
    what: tuple[str, str], label: str, values: tuple[str, ...], counts: Mapping[str, Any] | None
) -> Metric:
    family = CounterMetricFamily(*what, labels=[label])
    for value in values if counts else ():
        family.add_metric([value], float((counts or {}).get(value, 0)))
    return family


def _histogram(name: str, text: str, counts: Mapping[str, Any] | None) -> Metric:
    family = HistogramMetricFamily(name, text)
    if counts is not None:
        family.add_metric([], cumulative(counts), sum_value=counts["sum"])
    return family
