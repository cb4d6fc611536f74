"""What /metrics shows of the control plane, from the figures of `sidecar.observe`.

A table names each metric; one collector reads the figures at each scrape. Nothing is counted here,
and the engine's own figures live in `sidecar.engine_figures`. Adding a metric? Also add its row to
docs/operations/metrics.md; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sidecar.clone_record import CloneState
from sidecar.engine_figures import EngineCollector
from sidecar.model import Trigger
from sidecar.observe import EDGES_SECONDS, Figures, Histogram

# Closed sets are shown whole from the start, so that an increase from nothing is an increase.
RESULTS = ("ok", "failed", "cancelled")
VERDICTS = ("passed", "failed")
CLONE_ENDS = ("asked", "lease", "unfinished")
SHIPS = ("ok", "failed", "superseded")

Number: TypeAlias = float | datetime | bool | None
Samples: TypeAlias = Iterable[tuple[tuple[str, ...], Number]]


def _counter(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in samples:
        _add(family, values, number)
    return family


def _gauge(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        _add(family, values, number)
    return family


def _add(
    family: CounterMetricFamily | GaugeMetricFamily, values: tuple[str, ...], number: Number
) -> None:
    """Add a sample; what is not known has none, since 0 would be a lie."""
    if isinstance(number, datetime):
        number = number.timestamp()
    if number is not None:
        family.add_metric(values, float(number))


def _histogram(
    name: str,
    text: str,
    labels: tuple[str, ...],
    samples: Iterable[tuple[tuple[str, ...], Histogram]],
) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in samples:
        buckets: list[tuple[str, float]] = []
        running = 0
        for edge, count in zip(EDGES_SECONDS, histogram.buckets, strict=False):
            running += count
            buckets.append((str(edge), running))
        buckets.append(("+Inf", histogram.count))
        family.add_metric(values, buckets, sum_value=histogram.sum)
    return family


def _one(number: Number) -> Samples:
    return [((), number)]


def _by_key(numbers: Mapping[str, Number] | Mapping[str, int]) -> Samples:
    return [((key,), number) for key, number in sorted(numbers.items())]


class FiguresCollector(Collector):
    """Read the figures once a scrape."""

    def __init__(self, figures: Figures, version: str) -> None:
        self._figures = figures
        self._version = version

    def describe(self) -> Iterable[Metric]:
        """Name the metrics; they are the same before anything was counted."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of this file."""
        yield InfoMetricFamily(
            "perdure_build", "The version that runs.", value={"version": self._version}
        )
        yield from self._snapshots()
        yield from self._storage()
        yield from self._schedules()
        yield from self._backends()
        yield from self._ships()
        yield from self._restores()
        yield from self._clones()

    def _snapshots(self) -> Iterator[Metric]:
        figures = self._figures
        yield _counter(
            "perdure_snapshot_attempts_total",
            "Snapshots that were tried, by what asked for them and how they ended.",
            ("trigger", "result"),
            [
                ((trigger, result), figures.snapshot_attempts[trigger, result])
                for trigger in Trigger
                for result in RESULTS
            ],
        )
        yield _histogram(
            "perdure_snapshot_phase_duration_seconds",
            "Duration of each phase of a snapshot.",
            ("phase",),
            [((phase,), spans) for phase, spans in sorted(figures.snapshot_phase_seconds.items())],
        )
        newest = figures.snapshot_last_success_at is not None
        yield _gauge(
            "perdure_snapshot_size_bytes",
            "Size of the newest snapshot's payload, raw and as stored.",
            ("form",),
            [
                (("raw",), figures.snapshot_raw_size_bytes if newest else None),
                (("stored",), figures.snapshot_stored_size_bytes if newest else None),
            ],
        )
        yield _gauge(
            "perdure_snapshot_last_success_timestamp_seconds",
            "Cut time of the newest snapshot stored that was taken here, Unix time.",
            (),
            _one(figures.snapshot_last_success_at),
        )
        yield _gauge(
            "perdure_snapshot_last_verified_timestamp_seconds",
            "When a payload last passed a verification, Unix time.",
            (),
            _one(figures.snapshot_last_verified_at),
        )
        yield _counter(
            "perdure_snapshot_verifications_total",
            "Payloads that were read back and parsed, by verdict.",
            ("result",),
            [((verdict,), figures.verifications[verdict]) for verdict in VERDICTS],
        )
        yield _counter(
            "perdure_snapshot_deletions_total",
            "Steps of deletions: copies marked, and copies whose bytes are gone.",
            ("step",),
            _by_key(figures.snapshots_deleted),
        )

    def _storage(self) -> Iterator[Metric]:
        figures = self._figures
        yield _gauge(
            "perdure_spool_pending_cuts",
            "Verified cuts on the local disk that wait for a backend.",
            (),
            _one(figures.spool_pending),
        )
        yield _gauge(
            "perdure_spool_size_bytes",
            "What the spool takes on the local disk.",
            (),
            _one(figures.spool_size_bytes),
        )
        yield _counter(
            "perdure_spool_cuts_total",
            "Cuts that came to nothing: damaged, dropped or refused at the limit,"
            " or cut short by a crash.",
            ("fate",),
            [
                (("quarantined",), figures.cuts_quarantined),
                (("dropped",), figures.cuts_dropped),
                (("refused",), figures.cuts_refused),
                (("unfinished",), figures.cuts_unfinished),
            ],
        )
        yield _counter(
            "perdure_documents_invalid_total",
            "Manifests and notes on backends that could not be read.",
            (),
            _one(figures.documents_invalid),
        )
        yield _counter(
            "perdure_audit_lines_total",
            "Lines of the audit log: written, written without the request, or lost.",
            ("result",),
            [((r,), figures.audit_lines[r]) for r in ("written", "shortened", "lost")],
        )
        yield _counter(
            "perdure_catalogue_damaged_total",
            "Times that the local catalogue was found damaged and rebuilt from the backends.",
            (),
            _one(figures.catalogue_damaged),
        )

    def _schedules(self) -> Iterator[Metric]:
        figures = self._figures
        yield _gauge(
            "perdure_schedule_next_run_timestamp_seconds",
            "Next due time of each schedule that is not paused, Unix time.",
            ("schedule",),
            _by_key(figures.schedule_next_run_at),
        )
        yield _counter(
            "perdure_schedule_missed_runs_total",
            "Due times that passed without a run.",
            ("schedule",),
            _by_key(figures.schedule_missed),
        )
        yield _counter(
            "perdure_schedule_late_runs_total",
            "Runs that made up for due times that had passed.",
            ("schedule",),
            _by_key(figures.schedule_late_runs),
        )

    def _backends(self) -> Iterator[Metric]:
        backends = sorted(self._figures.backends.items())
        yield _counter(
            "perdure_backend_operations_total",
            "Finished calls of a backend; result is ok or the error's code.",
            ("backend", "operation", "result"),
            [
                ((name, *key), count)
                for name, backend in backends
                for key, count in sorted(backend.operations.items())
            ],
        )
        yield _counter(
            "perdure_backend_errors_total",
            "Calls of a backend that failed, by the error's code;"
            " that a blob is absent or taken is an answer.",
            ("backend", "code"),
            [
                ((name, code), count)
                for name, backend in backends
                for code, count in _errors(backend.operations)
            ],
        )
        yield _histogram(
            "perdure_backend_operation_duration_seconds",
            "Duration of calls of a backend.",
            ("backend", "operation"),
            [
                ((name, operation), spans)
                for name, backend in backends
                for operation, spans in sorted(backend.seconds.items())
            ],
        )
        yield _counter(
            "perdure_backend_transferred_bytes_total",
            "Bytes put to and got from a backend.",
            ("backend", "direction"),
            [
                sample
                for name, backend in backends
                for sample in (
                    ((name, "put"), backend.bytes_put),
                    ((name, "get"), backend.bytes_got),
                )
            ],
        )
        yield _gauge(
            "perdure_backend_calls_running",
            "Calls of a backend that have not ended.",
            ("backend",),
            [((name,), backend.calls_running) for name, backend in backends],
        )
        yield _gauge(
            "perdure_backend_up",
            "1 when the last call of the backend succeeded, 0 when it failed.",
            ("backend",),
            [((name,), backend.is_up) for name, backend in backends],
        )

    def _ships(self) -> Iterator[Metric]:
        backends = sorted(self._figures.backends.items())
        yield _counter(
            "perdure_backend_ships_total",
            "Snapshots that were tried to be stored on a backend, by how that ended;"
            " superseded is one that gave way to a newer one.",
            ("backend", "result"),
            [
                ((name, result), backend.ships[result])
                for name, backend in backends
                for result in SHIPS
            ],
        )
        yield _gauge(
            "perdure_backend_pending_snapshots",
            "Verified snapshots on the local disk that a backend has not taken yet.",
            ("backend",),
            [((name,), backend.pending_snapshots) for name, backend in backends],
        )
        yield _gauge(
            "perdure_backend_next_retry_timestamp_seconds",
            "When what waits for a failing backend is tried again, Unix time.",
            ("backend",),
            [((name,), backend.ship_retry_at) for name, backend in backends],
        )

    def _restores(self) -> Iterator[Metric]:
        figures = self._figures
        yield _counter(
            "perdure_restores_total",
            "Restores that were tried, by how they ended.",
            ("result",),
            [((result,), figures.restores[result]) for result in RESULTS],
        )
        yield _histogram(
            "perdure_restore_phase_duration_seconds",
            "Duration of each phase of a restore.",
            ("phase",),
            [((phase,), spans) for phase, spans in sorted(figures.restore_phase_seconds.items())],
        )
        yield _gauge(
            "perdure_restore_last_success_timestamp_seconds",
            "When a restore last succeeded, Unix time.",
            (),
            _one(figures.restore_last_success_at),
        )

    def _clones(self) -> Iterator[Metric]:
        figures = self._figures
        yield _gauge(
            "perdure_clones",
            "Clones that there are, by state.",
            ("state",),
            [((state.value,), figures.clones[state.value]) for state in CloneState],
        )
        yield _counter(
            "perdure_clone_creations_total",
            "Clones that were to be made, by how that ended.",
            ("result",),
            [((result,), figures.clone_creations[result]) for result in RESULTS],
        )
        yield _counter(
            "perdure_clone_deletions_total",
            "Clones that were removed: asked for, at the end of the lease, or left half made.",
            ("reason",),
            [((reason,), figures.clone_deletions[reason]) for reason in CLONE_ENDS],
        )


_ANSWERS = frozenset({"ok", "BLOB_NOT_FOUND", "BLOB_EXISTS", "CANCELLED"})


def _errors(operations: Mapping[tuple[str, str], int]) -> list[tuple[str, int]]:
    """Return the failed calls by code, whatever the operation was; an answer is no failure."""
    by_code: dict[str, int] = {}
    for (_, result), count in operations.items():
        if result not in _ANSWERS:
            by_code[result] = by_code.get(result, 0) + count
    return sorted(by_code.items())


class Exposition:
    """The registry of both collectors, and its text for a scrape."""

    def __init__(self, engine: EngineCollector, figures: FiguresCollector) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(engine)
        self.registry.register(figures)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the body and its content type for an Accept header; waits for nobody."""
        encode: Callable[[CollectorRegistry], bytes]
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
