"""The throughput rows: each round runs every server once, in an order that turns by one a round.

All servers stand by on the server core while one of them is under load; what an idle one spends is
below a percent. A row that a server does not know is told, not failed.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import redis

from bench.benchmark_tool import measure
from bench.figures import NULLS, Figures, RowFigures, Sample, costs, ratio_to_best_peer
from bench.fillings import Chunk, send
from bench.process import on_core, two_cores
from bench.rows import Row
from bench.servers import TITLES, Running, knows, start, version

_T = TypeVar("_T")


def run_rows(rows: Sequence[Row], names: Sequence[str], figures: Figures, folder: Path) -> None:
    """Start every server on the server core, run the rows, and put what they gave in `figures`."""
    server_core, client_core = two_cores()
    with ExitStack() as stack:
        servers = []
        for name in names:
            server = start(name, folder / name, on_core(server_core))
            stack.callback(server.stop)
            servers.append(server)
            figures.versions[name] = version(server)
        for _, group in groupby(rows, key=lambda row: (row.filling.name, row.keys)):
            _run_group(list(group), servers, figures, client_core)


def _run_group(
    group: Sequence[Row], servers: Sequence[Running], figures: Figures, client_core: int
) -> None:
    """Run rows that begin with the same data: filled once, or before each run that uses it up."""
    filling, keys = group[0].filling, group[0].keys
    chunks = filling.chunks(keys)
    able = [server for server in servers if knows(server, filling.verb)]
    for server in able:
        refill(server, chunks)
    for row in group:
        runners = [server for server in able if knows(server, row.verb)]
        missing = [server.name for server in servers if server not in runners]
        samples = _run_row(row, runners, figures.rounds, (chunks, client_core))
        found = RowFigures(row.id, row.title, command_of(row), samples, missing)
        figures.rows.append(found)
        print(told(found), flush=True)


def _run_row(
    row: Row, runners: Sequence[Running], rounds: int, setting: tuple[Sequence[Chunk], int]
) -> dict[str, list[Sample]]:
    chunks, client_core = setting
    samples: dict[str, list[Sample]] = {server.name: [] for server in runners}
    for number in range(rounds):
        for server in rotated(runners, number):
            if row.is_refilled:
                refill(server, chunks)
            samples[server.name].append(measure(server.target, row, client_core))
    return samples


def rotated(items: Sequence[_T], turns: int) -> list[_T]:
    """Give the items beginning `turns` further on, so that no one always goes first."""
    if not items:
        return []
    first = turns % len(items)
    return [*items[first:], *items[:first]]


def refill(server: Running, chunks: Sequence[Chunk]) -> None:
    """Empty a server and write a data set to it."""
    if server.name in NULLS:
        return
    with redis.Redis(port=server.port, socket_timeout=300) as client:
        client.flushall()
    send(server.port, chunks)


def told(row: RowFigures) -> str:
    """One line for the person who watches."""
    spent = costs(row)
    cells = [f"{TITLES[name]} {cost:.3f} µs" for name, cost in spent.items()]
    cells += [f"{TITLES[name]} not supported" for name in row.unsupported]
    ratio = ratio_to_best_peer(spent)
    return f"{row.title}: " + ", ".join(cells) + (f"; ratio {ratio:.2f}" if ratio else "")


def command_of(row: Row) -> str:
    """Give the command line of a row, for the page."""
    return shlex.join(["redis-benchmark", *row.arguments()])
