"""The part of the page that is on calls over gRPC."""

from __future__ import annotations

from bench.call_servers import CALL_NAMES, CALL_TITLES, GRPCIO
from bench.figures import ALWAYS_LOGGED, OURS, Figures, RowFigures, costs, rates
from bench.machine import lines_of
from bench.page_tables import MARK, number, rate_cell, row_cell, table


def call_sections(figures: Figures) -> list[list[str]]:
    """Give the sections that have figures."""
    if not figures.calls:
        return []
    titles = [CALL_TITLES[name] for name in CALL_NAMES]
    ratios = ["everysec to etcd", "always to etcd", "everysec to grpcio"]
    spent = [[row.title, *_costs(row), *_ratios(row)] for row in figures.calls]
    speed = [[row.title, *_rates(row)] for row in figures.calls]
    commands = [f"{row.title:<32} {row.command}" for row in figures.calls]
    return [
        [
            "## Calls over gRPC: server CPU for one operation",
            "",
            "The data door beside etcd and beside a small Python server of the same proto that",
            "keeps a dict. etcd fsyncs each put before it answers, as Perdure does under `always`;",
            "the Python server writes nothing. One load generator calls all of them, the server on",
            "one core and the generator on another. Batches count their keys or commands.",
            "",
            *lines_of(figures.call_versions),
            "",
            *table(["row", *titles, *ratios], spent),
        ],
        [
            "### Rate, and the load generator's CPU",
            "",
            f"A mark ({MARK}) where the generator was the limit.",
            "",
            *table(["row", *titles], speed),
            "",
            "```",
            *commands,
            "```",
        ],
    ]


def _costs(row: RowFigures) -> list[str]:
    spent = costs(row)
    return [row_cell(row, name, spent, "{:.2f} µs") for name in CALL_NAMES]


def _rates(row: RowFigures) -> list[str]:
    speed = rates(row)
    return [rate_cell(row, name, speed) for name in CALL_NAMES]


def _ratios(row: RowFigures) -> list[str]:
    spent = costs(row)

    def of(ours: str, peer: str) -> str:
        is_known = ours in spent and spent.get(peer)
        return number(spent[ours] / spent[peer] if is_known else None)

    return [of(OURS, "etcd"), of(ALWAYS_LOGGED, "etcd"), of(OURS, GRPCIO)]
