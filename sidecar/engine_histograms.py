"""The engine's histograms of durations: their edges, and how Prometheus wants to see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# 1-2.5-5 steps, so that alert thresholds fall on edges; the engine's `stats.rs` has the same.
DURATION_EDGES_SECONDS: tuple[float, ...] = (
    *(0.0001, 0.00025, 0.0005),
    *(0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)


def cumulative(histogram: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Turn the engine's counts for each bucket into Prometheus's cumulative ones."""
    buckets: list[tuple[str, float]] = []
    running = 0
    for edge, count in zip(DURATION_EDGES_SECONDS, histogram["buckets"], strict=False):
        running += count
        buckets.append((str(edge), running))
    buckets.append(("+Inf", histogram["count"]))
    return buckets
