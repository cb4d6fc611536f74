"""The engine's figures as Prometheus metrics: a table of names, and the collector that reads it.

One scrape reads one `stats()` document, which the engine fills from atomics: it never waits for the
engine's lock. The log's stand in `sidecar.log_figures`, those of calls
on the data door in `sidecar.rpc_figures`; what the control plane counts itself in
`sidecar.metrics`. Adding a figure?
Also add its row to docs/operations/metrics.md; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from sidecar.engine_histograms import cumulative
from sidecar.log_figures import log_families
from sidecar.rpc_figures import rpc_families

Stats = Mapping[str, Any]

STATES = ("loading", "ready", "failed", "stopped")


@dataclass(frozen=True)
class Figure:
    """One metric read from one key of the stats document.

    `label` names the label when the document's value is a map from label value to number.
    """

    name: str
    help: str
    key: str
    is_counter: bool = False
    label: str | None = None


FIGURES: tuple[Figure, ...] = (
    Figure("perdure_engine_keys", "Keys in each database.", "keys", label="db"),
    Figure(
        "perdure_engine_expiring_keys",
        "Keys with a time to live, in each database.",
        "expires",
        label="db",
    ),
    Figure(
        "perdure_engine_used_memory_bytes",
        "Memory that the keyspace and its structures take.",
        "used_memory_bytes",
    ),
    Figure(
        "perdure_engine_resident_memory_bytes",
        "Resident memory of the process.",
        "used_memory_rss_bytes",
    ),
    Figure(
        "perdure_engine_huge_pages_bytes",
        "Memory of the process that sits on huge pages, counted every ten seconds.",
        "huge_pages_bytes",
    ),
    Figure(
        "perdure_engine_huge_pages_restored_bytes_total",
        "Memory put back on huge pages after a fork had split them.",
        "collapsed_bytes_total",
        is_counter=True,
    ),
    Figure(
        "perdure_engine_huge_pages_failures_total",
        "Times that memory could not be put back on huge pages.",
        "collapse_failures_total",
        is_counter=True,
    ),
    Figure("perdure_engine_clients", "Clients connected to the RESP door.", "clients"),
    Figure(
        "perdure_engine_blocked_clients",
        "Clients that wait inside a blocking command.",
        "blocked_clients",
    ),
    Figure(
        "perdure_engine_commands_total", "Commands executed.", "commands_total", is_counter=True
    ),
    Figure(
        "perdure_engine_connections_total",
        "Connections accepted.",
        "connections_total",
        is_counter=True,
    ),
    Figure(
        "perdure_engine_rejected_connections_total",
        "Connections refused because too many were open.",
        "rejected_connections_total",
        is_counter=True,
    ),
    Figure(
        "perdure_engine_expired_keys_total",
        "Keys deleted because their time had come.",
        "expired_keys_total",
        is_counter=True,
    ),
    Figure(
        "perdure_engine_evicted_keys_total",
        "Keys deleted to make room.",
        "evicted_keys_total",
        is_counter=True,
    ),
    Figure(
        "perdure_engine_keyspace_hits_total",
        "Lookups that found their key.",
        "keyspace_hits_total",
        is_counter=True,
    ),
    Figure(
        "perdure_engine_keyspace_misses_total",
        "Lookups that found no key.",
        "keyspace_misses_total",
        is_counter=True,
    ),
    Figure(
        "perdure_engine_network_input_bytes_total",
        "Bytes read from RESP clients.",
        "net_input_bytes_total",
        is_counter=True,
    ),
    Figure(
        "perdure_engine_network_output_bytes_total",
        "Bytes written to RESP clients.",
        "net_output_bytes_total",
        is_counter=True,
    ),
    Figure(
        "perdure_engine_changes_since_save",
        "Changes that dump.rdb does not hold yet.",
        "dirty",
    ),
    Figure(
        "perdure_engine_last_save_timestamp_seconds",
        "When dump.rdb was last written, Unix time.",
        "last_save_unix_s",
    ),
    Figure(
        "perdure_engine_save_in_progress",
        "1 while a background save runs.",
        "bgsave_in_progress",
    ),
    Figure(
        "perdure_engine_copy_on_write_bytes",
        "Memory that the last fork made the kernel copy.",
        "cow_bytes_last",
    ),
    Figure(
        "perdure_engine_writes_paused",
        "1 while writes wait for a restore to commit.",
        "writes_paused",
    ),
    Figure(
        "perdure_engine_log_failed",
        "1 while the log has failed and writes are refused.",
        "log_failed",
    ),
)

UNSAVED = (
    "perdure_unsaved_seconds",
    "Age of the oldest change that dump.rdb does not hold, 0 when it holds all; without a log.",
)
FORK = ("perdure_fork_duration_seconds", "Time that a fork held the engine, by purpose.")
STATE = ("perdure_engine_state", "1 for the state that the engine is in, 0 for the others.")
SAVE_OK = ("perdure_engine_last_save_ok", "1 when the last background save succeeded.")
LOADING_TOTAL = ("perdure_engine_loading_total_bytes", "Size of the file that is being loaded.")
LOADING_DONE = ("perdure_engine_loading_loaded_bytes", "How much of it has been loaded.")


class EngineCollector(Collector):
    """Read the stats once a scrape and yield every figure of this file."""

    def __init__(self, stats: Callable[[], Stats], unix_seconds: Callable[[], float]) -> None:
        """Take `stats`, which returns the engine's document and never blocks, and a clock."""
        self._stats = stats
        self._unix_seconds = unix_seconds

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without a reading, so that registering needs no engine."""
        return self._families({})

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; one that the document does not hold is declared without sample."""
        return self._families(self._stats())

    def _families(self, stats: Stats) -> Iterator[Metric]:
        yield _fork_histogram(stats.get("fork_histogram", {}))
        yield from log_families(stats)
        yield from rpc_families(stats)
        yield self._unsaved(stats)
        yield _state(stats)
        yield _save_ok(stats)
        for figure in FIGURES:
            yield _read_figure(figure, stats)
        loading = stats.get("loading") or {}
        yield _gauge(LOADING_TOTAL, loading.get("total_bytes"))
        yield _gauge(LOADING_DONE, loading.get("loaded_bytes"))

    def _unsaved(self, stats: Stats) -> Metric:
        has_log = (stats.get("log") or {}).get("is_on")
        if "unsaved_since_unix_ms" not in stats or has_log:
            return GaugeMetricFamily(*UNSAVED)
        since_ms = stats["unsaved_since_unix_ms"]
        age = 0.0 if since_ms is None else max(0.0, self._unix_seconds() - since_ms / 1000)
        return _gauge(UNSAVED, age)


def _gauge(what: tuple[str, str], value: float | None) -> Metric:
    return GaugeMetricFamily(*what, value=value)


def _read_figure(figure: Figure, stats: Stats) -> Metric:
    family = (CounterMetricFamily if figure.is_counter else GaugeMetricFamily)(
        figure.name, figure.help, labels=[figure.label] if figure.label else None
    )
    value = stats.get(figure.key)
    if value is None:
        return family
    if figure.label is None:
        family.add_metric([], float(value))
    else:
        for label, number in value.items():
            family.add_metric([label], float(number))
    return family


def _fork_histogram(by_purpose: Mapping[str, Mapping[str, Any]]) -> Metric:
    family = HistogramMetricFamily(*FORK, labels=["purpose"])
    for purpose, histogram in by_purpose.items():
        family.add_metric([purpose], cumulative(histogram), sum_value=histogram["sum"])
    return family


def _state(stats: Stats) -> Metric:
    family = GaugeMetricFamily(*STATE, labels=["state"])
    if "state" in stats:
        for state in STATES:
            family.add_metric([state], float(stats["state"] == state))
    return family


def _save_ok(stats: Stats) -> Metric:
    status = stats.get("last_bgsave_status")
    return _gauge(SAVE_OK, None if status is None else float(status == "ok"))
