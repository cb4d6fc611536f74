"""Rows of calls over gRPC: what the load generator says, and the page of it. No server runs."""

from __future__ import annotations

import json

import pytest

from bench.call_servers import ETCD, GRPCIO
from bench.calls import CALL_ROWS, sample_of
from bench.figures import ALWAYS_LOGGED, OURS, Figures, RowFigures, Sample, best_peer
from bench.page_calls import call_sections


def test_a_report_becomes_a_sample_of_operations() -> None:
    report = {"calls": 10, "operations": 1000, "seconds": 2.0, "client_cpu_seconds": 0.5}
    sample = sample_of(json.dumps(report), 0.01)
    assert (sample.rate, sample.client_share) == (500.0, 0.25)
    assert sample.server_us == pytest.approx(10.0)


def test_the_page_compares_each_row_with_the_peers_that_have_it() -> None:
    samples = {
        OURS: [Sample(1000, 10.0, 0.1)],
        ALWAYS_LOGGED: [Sample(900, 20.0, 0.1)],
        ETCD: [Sample(100, 40.0, 0.1)],
        GRPCIO: [Sample(50, 200.0, 0.99)],
    }
    single = RowFigures("rpc-set", "Set", "perdure-load", samples)
    batch = {name: found for name, found in samples.items() if name != ETCD}
    many = RowFigures("rpc-multi-set", "MultiSet", "perdure-load", batch, [ETCD])
    page = "\n".join(line for part in call_sections(Figures(calls=[single, many])) for line in part)
    assert "| 0.25 | 0.50 | 0.05 |" in page
    assert "not supported" in page
    assert "99%\\*" in page, "the generator was the limit there"
    assert call_sections(Figures()) == []


def test_our_variants_are_no_peers_and_ids_are_unique() -> None:
    assert best_peer({OURS: 1.0, ALWAYS_LOGGED: 0.5, ETCD: 3.0}) == ETCD
    assert len({row.id for row in CALL_ROWS}) == len(CALL_ROWS)
