"""Calls on the data door as Prometheus metrics, from the engine's stats document.

The engine counts them, also by the status with which they ended; nothing here calls it. Calls on
the control door are none of this file's business.
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

CALLS = (
    "perdure_data_rpc_calls_total",
    "Calls on the data door that ended, by method and status.",
)
DURATION = (
    "perdure_data_rpc_duration_seconds",
    "Duration of calls on the data door; of a stream, until it ends.",
)
CONNECTIONS = ("perdure_data_rpc_connections", "Open connections to the data door.")
ACCEPTED = (
    "perdure_data_rpc_connections_accepted_total",
    "Connections to the data door that were accepted.",
)
REFUSED = (
    "perdure_data_rpc_connections_refused_total",
    "Connections to the data door that were refused because too many were open.",
)


def rpc_families(stats: Mapping[str, Any]) -> Iterator[Metric]:
    """Yield every metric of this file; without figures they are declared without sample."""
    rpc = stats.get("rpc") or {}
    calls = CounterMetricFamily(*CALLS, labels=["method", "code"])
    durations = HistogramMetricFamily(*DURATION, labels=["method"])
    for method, counted in rpc.get("methods", {}).items():
        for code, count in counted["codes"].items():
            calls.add_metric([method, code], float(count))
        histogram = counted["duration_histogram"]
        if histogram["count"]:
            durations.add_metric([method], cumulative(histogram), sum_value=histogram["sum"])
    yield calls
    yield durations
    yield GaugeMetricFamily(*CONNECTIONS, value=rpc.get("connections"))
    yield CounterMetricFamily(*ACCEPTED, value=rpc.get("accepted_total"))
    yield CounterMetricFamily(*REFUSED, value=rpc.get("refused_total"))
