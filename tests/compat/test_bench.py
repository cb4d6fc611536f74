"""The bench runs end to end on a little data: it measures, saves, loads, and verifies."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bench.figures import Figures
from bench.page import page
from bench.persistence import run_stages
from bench.rows import ROWS, quick
from bench.servers import PEER_NAMES
from bench.throughput import run_rows

SERVERS = ("perdure", "redis-7.0")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="pins two cores apart")
def test_rows_give_a_figure_for_every_server(tmp_path: Path) -> None:
    figures = Figures(rounds=2, keys=1000)
    chosen = [replace(quick(row), requests=2000) for row in ROWS if row.id in {"set-16", "incr-16"}]
    run_rows(chosen, SERVERS, figures, tmp_path)
    assert [row.id for row in figures.rows] == ["set-16", "incr-16"]
    for row in figures.rows:
        assert set(row.samples) == set(SERVERS)
        for samples in row.samples.values():
            assert len(samples) == 2
            assert all(sample.rate > 0 and sample.server_us > 0 for sample in samples)


def test_stages_verify_the_data_of_every_server(tmp_path: Path) -> None:
    figures = Figures(rounds=1, keys=1000)
    run_stages({"save", "load", "fork", "bytes"}, ("perdure", *PEER_NAMES), figures, tmp_path)
    assert figures.verified == ["perdure", *PEER_NAMES]
    for by_server in (figures.save_seconds, figures.load_seconds, figures.fork_us):
        assert set(by_server) == {"perdure", *PEER_NAMES}
    assert all(size > 80 for size in figures.used_bytes.values())
    assert "DEBUG DIGEST" in page(figures, {})


def test_another_data_set_than_before_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = (f"{number:040x}" for number in range(2))
    monkeypatch.setattr("bench.persistence.digest_of", lambda _: next(digests))
    with pytest.raises(RuntimeError, match="holds another data set"):
        run_stages({"bytes"}, ["redis-7.0"], Figures(rounds=1, keys=100), tmp_path)
