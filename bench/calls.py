"""The rows of calls over gRPC: Perdure beside etcd and beside a Python server, one load generator.

The generator (`engine/load`) speaks HTTP/2 by hand and costs a few microseconds a call, so that the
server is the limit; its share of its core is printed, as redis-benchmark's is. Servers turn as in
the other rows. A row with several operations in a message counts operations.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.call_servers import (
    CALL_NAMES,
    CALL_TITLES,
    ETCD,
    GRPCIO,
    Callee,
    callee_versions,
    load_binary,
    start_callee,
)
from bench.figures import Figures, RowFigures, Sample, costs, rates
from bench.process import cpu_seconds, on_core, two_cores
from bench.throughput import rotated

KEYS = 10_000
RUN_SECONDS_MAX = 600
FILL_TURNS = 5  # draws for each key: nearly all are hit


@dataclass(frozen=True)
class CallRow:
    """One way to call: so many messages, so many of them under way."""

    id: str
    title: str
    method: str
    messages: int
    connections: int = 5
    outstanding: int = 10
    batch: int = 1

    def arguments(self) -> list[str]:
        """Give the arguments of the load generator, port, messages and API excepted."""
        return [
            *("--row", self.method, "--connections", str(self.connections)),
            *("--outstanding", str(self.outstanding), "--batch", str(self.batch)),
            *("--keys", str(KEYS), "--value-bytes", "64"),
        ]


CALL_ROWS = (
    CallRow("rpc-get", "Get, 50 under way", "get", 150_000),
    CallRow("rpc-set", "Set, 50 under way", "set", 150_000),
    CallRow("rpc-multi-get", "MultiGet of 100, 10 under way", "multi-get", 10_000, 2, 5, 100),
    CallRow("rpc-multi-set", "MultiSet of 100, 10 under way", "multi-set", 10_000, 2, 5, 100),
    CallRow("rpc-pipeline", "Pipeline, 100 commands a batch", "pipeline", 10_000, 1, 10, 100),
)
# Slower servers get fewer messages: a run takes some seconds on each.
_DIVISORS = {ETCD: 5, GRPCIO: 8}
_SINGLE = {"get", "set"}  # all that etcd has


def run_calls(figures: Figures, folder: Path, *, divisor: int = 1) -> None:
    """Run every row on every server and put all of it in `figures`."""
    server_core, client_core = two_cores()
    load = load_binary()
    figures.call_versions.update(callee_versions())
    servers: list[Callee] = []
    try:
        for name in CALL_NAMES:
            servers.append(start_callee(name, folder / name, on_core(server_core)))
            fill = CallRow("", "", "set", FILL_TURNS * KEYS // divisor)
            measure_calls(servers[-1], fill, load, client_core, fill.messages)
        for row in CALL_ROWS:
            figures.calls.append(_run_row(row, servers, figures.rounds, load, client_core, divisor))
            print(told_calls(figures.calls[-1]), flush=True)
    finally:
        for server in servers:
            server.stop()


def _run_row(
    row: CallRow,
    servers: Sequence[Callee],
    rounds: int,
    load: Path,
    client_core: int,
    divisor: int,
) -> RowFigures:
    able = [it for it in servers if it.name != ETCD or row.method in _SINGLE]
    samples: dict[str, list[Sample]] = {it.name: [] for it in able}
    for number in range(rounds):
        for server in rotated(able, number):
            messages = row.messages // divisor // _DIVISORS.get(server.name, 1)
            samples[server.name].append(measure_calls(server, row, load, client_core, messages))
    command = f"perdure-load --calls {row.messages} {' '.join(row.arguments())}"
    missing = [it.name for it in servers if it not in able]
    return RowFigures(row.id, row.title, command, samples, missing)


def measure_calls(
    server: Callee, row: CallRow, load: Path, client_core: int, messages: int
) -> Sample:
    """Run the load generator once; the server's CPU is its clock after less its clock before."""
    command = [*on_core(client_core), str(load), "--port", str(server.port), "--api", server.api]
    command += ["--calls", str(max(messages, row.connections)), *row.arguments()]
    before = cpu_seconds(server.pid)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False
    )
    server_seconds = cpu_seconds(server.pid) - before
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return sample_of(done.stdout, server_seconds)


def sample_of(report: str, server_seconds: float) -> Sample:
    """Read what the load generator printed."""
    found = json.loads(report)
    operations, seconds = found["operations"], found["seconds"]
    share = found["client_cpu_seconds"] / seconds
    return Sample(operations / seconds, server_seconds / operations * 1e6, share)


def told_calls(row: RowFigures) -> str:
    """One line for the person who watches."""
    spent, speed = costs(row), rates(row)
    cells = [f"{CALL_TITLES[name]} {speed[name]:,.0f}/s {spent[name]:.2f} µs" for name in spent]
    return f"{row.title}: " + ", ".join(cells)
