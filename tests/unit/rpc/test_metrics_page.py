"""The page of metrics says what a scrape shows, and a scrape says what the figures hold."""

import re
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.core import Metric

from sidecar.engine_figures import EngineCollector
from sidecar.engine_histograms import DURATION_EDGES_SECONDS
from sidecar.metrics import Exposition, FiguresCollector
from sidecar.observe import BackendFigures, Figures

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "metrics.md"
ROW = re.compile(r"^\| `(perdure_\w+)` \| (\w+) \| ([\w, ]*) \| (.+) \|$", re.MULTILINE)
SUFFIXES = {"counter": "_total", "info": "_info"}
NOW = 1_000_000.0


def _exposition(stats: dict[str, object], figures: Figures) -> Exposition:
    return Exposition(
        EngineCollector(lambda: stats, lambda: NOW), FiguresCollector(figures, "0.1.0")
    )


def _sample(exposition: Exposition, name: str, **labels: str) -> float | None:
    value: float | None = exposition.registry.get_sample_value(name, labels)
    return value


def _row(metric: Metric) -> tuple[str, tuple[str, str]]:
    name = metric.name + SUFFIXES.get(metric.type, "")
    return name, (metric.type, metric.documentation)


def test_page_lists_every_metric_with_its_type_and_meaning() -> None:
    """Compare the table with what an empty server shows, both ways."""
    written = {name: (kind, text) for name, kind, _, text in ROW.findall(PAGE.read_text())}
    shown = dict(map(_row, _exposition({}, Figures()).registry.collect()))
    assert written == shown


def test_log_metrics_are_declared_without_a_sample() -> None:
    """Without a log there is no lag: a 0 would claim that everything is on disk."""
    text = _exposition({"state": "ready"}, Figures()).render("")[0].decode()
    for name in (
        "perdure_aof_fsync_lag_seconds",
        "perdure_aof_write_to_fsync_seconds",
        "perdure_aof_fsync_duration_seconds",
    ):
        assert f"# TYPE {name} " in text
        assert not re.search(rf"^{name}", text, re.MULTILINE)


def test_log_figures_are_shown_and_stand_in_for_the_age_of_a_save() -> None:
    """With a log, what dump.rdb lacks is no risk; each figure comes from its own key."""
    histogram = {"buckets": [0, 2] + [0] * 15, "sum": 0.5, "count": 2}
    log = {
        "is_on": True,
        "fsync_lag_seconds": 0.25,
        "fsync_histogram": histogram,
        "write_to_fsync_histogram": histogram,
        "writes_total": 7,
        "errors": {"disk_full": 1, "write": 0, "fsync": 2},
        "rewrites": {"ok": 3, "failed": 1, "in_progress": False, "last_seconds": None},
    }
    load = {"commands": 9, "seconds": 1.5, "torn_bytes": 0}
    stats = {"unsaved_since_unix_ms": 5, "log": log, "last_load": load}
    exposition = _exposition(stats, Figures())
    assert _sample(exposition, "perdure_aof_fsync_lag_seconds") == 0.25
    name = "perdure_aof_fsync_duration_seconds_bucket"
    assert _sample(exposition, name, le="0.0001") == 0
    assert _sample(exposition, name, le="0.00025") == 2
    assert _sample(exposition, "perdure_aof_errors_total", kind="fsync") == 2
    assert _sample(exposition, "perdure_aof_rewrites_total", result="ok") == 3
    assert _sample(exposition, "perdure_aof_last_rewrite_duration_seconds") is None
    assert _sample(exposition, "perdure_engine_last_load_commands") == 9
    assert _sample(exposition, "perdure_unsaved_seconds") is None
    log["is_on"] = False
    for missing in ("perdure_aof_fsync_lag_seconds", "perdure_aof_unsynced_bytes"):
        assert _sample(_exposition(stats, Figures()), missing) is None
    assert _sample(_exposition(stats, Figures()), "perdure_unsaved_seconds") is not None


def test_fork_histogram_is_cumulative_over_the_engines_buckets() -> None:
    """The engine counts each bucket by itself; Prometheus wants running totals."""
    buckets = [0] * (len(DURATION_EDGES_SECONDS) + 1)
    buckets[0], buckets[3], buckets[-1] = 1, 2, 4
    stats: dict[str, object] = {
        "fork_histogram": {"cut": {"buckets": buckets, "sum": 50.0, "count": 7}}
    }
    exposition = _exposition(stats, Figures())
    name = "perdure_fork_duration_seconds_bucket"
    assert _sample(exposition, name, purpose="cut", le="0.0001") == 1
    assert _sample(exposition, name, purpose="cut", le="0.001") == 3
    assert _sample(exposition, name, purpose="cut", le="10.0") == 3
    assert _sample(exposition, name, purpose="cut", le="+Inf") == 7
    assert _sample(exposition, "perdure_fork_duration_seconds_sum", purpose="cut") == 50.0


def test_calls_on_the_data_door_are_shown_by_method_and_status() -> None:
    """A method that nobody called has no sample; a status that happened has."""
    empty = {"buckets": [0] * 17, "sum": 0.0, "count": 0}
    took = {"buckets": [3, 0, 1, *[0] * 14], "sum": 0.5, "count": 4}
    methods = {
        "Get": {"codes": {"OK": 3, "UNAVAILABLE": 1}, "duration_histogram": took},
        "Set": {"codes": {}, "duration_histogram": empty},
    }
    rpc = {"methods": methods, "connections": 2, "accepted_total": 9, "refused_total": 1}
    exposition = _exposition({"rpc": rpc}, Figures())
    calls = "perdure_data_rpc_calls_total"
    assert _sample(exposition, calls, method="Get", code="UNAVAILABLE") == 1
    bucket = "perdure_data_rpc_duration_seconds_bucket"
    assert _sample(exposition, bucket, method="Get", le="0.0005") == 4
    assert _sample(exposition, bucket, method="Set", le="+Inf") is None
    assert _sample(exposition, "perdure_data_rpc_connections") == 2
    assert _sample(exposition, "perdure_data_rpc_connections_refused_total") == 1


def test_unsaved_seconds_is_the_age_of_the_oldest_unsaved_change() -> None:
    """Nothing unsaved is an age of 0; an engine that says nothing has no sample."""
    name = "perdure_unsaved_seconds"
    stats: dict[str, object] = {"unsaved_since_unix_ms": int((NOW - 90) * 1000)}
    assert _sample(_exposition(stats, Figures()), name) == 90.0
    assert _sample(_exposition({"unsaved_since_unix_ms": None}, Figures()), name) == 0.0
    assert _sample(_exposition({}, Figures()), name) is None


def test_figures_of_the_control_plane_are_shown() -> None:
    """Fill one figure of each kind and find it in a scrape."""
    figures = Figures()
    figures.snapshot_attempts["manual", "ok"] += 2
    figures.snapshot_last_success_at = datetime.fromtimestamp(12345, UTC)
    figures.snapshot_stored_size_bytes = 99
    figures.observe_phase("snapshot", "store", 0.3)
    figures.schedule_next_run_at = {"hourly": datetime.fromtimestamp(777, UTC), "daily": None}
    backend = BackendFigures(is_up=False)
    backend.record("put", "BACKEND_TIMEOUT", 1.5, datetime.fromtimestamp(1, UTC))
    backend.record("stat", "BLOB_NOT_FOUND", 0.1, datetime.fromtimestamp(2, UTC))
    figures.backends["local"] = backend
    shown = _exposition({}, figures)
    attempts = "perdure_snapshot_attempts_total"
    assert _sample(shown, attempts, trigger="manual", result="ok") == 2
    assert _sample(shown, attempts, trigger="schedule", result="failed") == 0
    assert _sample(shown, "perdure_snapshot_last_success_timestamp_seconds") == 12345
    assert _sample(shown, "perdure_snapshot_size_bytes", form="stored") == 99
    phases = "perdure_snapshot_phase_duration_seconds_bucket"
    assert _sample(shown, phases, phase="store", le="0.25") == 0
    assert _sample(shown, phases, phase="store", le="0.5") == 1
    next_run = "perdure_schedule_next_run_timestamp_seconds"
    assert _sample(shown, next_run, schedule="hourly") == 777
    assert _sample(shown, next_run, schedule="daily") is None
    assert _sample(shown, "perdure_backend_up", backend="local") == 0
    errors = "perdure_backend_errors_total"
    assert _sample(shown, errors, backend="local", code="BACKEND_TIMEOUT") == 1
    assert _sample(shown, errors, backend="local", code="BLOB_NOT_FOUND") is None, "an answer"
