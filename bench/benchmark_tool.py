"""Run redis-benchmark on a core of its own and read what it says. Parsing is apart from running."""

from __future__ import annotations

import csv
import resource
import subprocess
import time
from dataclasses import dataclass

from bench.figures import Sample
from bench.process import cpu_seconds, on_core
from bench.rows import Row
from tests.support.processes import debian_tool

RUN_SECONDS_MAX = 600


@dataclass(frozen=True)
class Target:
    """Where the load goes, and the process that is charged for it."""

    port: int
    pid: int


def measure(target: Target, row: Row, client_core: int) -> Sample:
    """Run one row once; the server's CPU is its clock after less its clock before."""
    command = [
        *(*on_core(client_core), str(debian_tool("redis-benchmark")), "-p", str(target.port)),
        *row.arguments(),
    ]
    client_before, begun_at = _children_cpu_seconds(), time.perf_counter()
    server_before = cpu_seconds(target.pid)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False
    )
    server = cpu_seconds(target.pid) - server_before
    wall, client = time.perf_counter() - begun_at, _children_cpu_seconds() - client_before
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return Sample(rate_of(done.stdout), server / row.requests * 1e6, client / wall)


def rate_of(table: str) -> float:
    """Requests a second out of the CSV that one test printed.

    Raises:
        ValueError: It is no such table, or of another number of tests than one.
    """
    rows = list(csv.DictReader(table.splitlines()))
    if len(rows) != 1 or "rps" not in rows[0]:
        raise ValueError(f"not the table of one test: {table!r}")
    return float(rows[0]["rps"])


def _children_cpu_seconds() -> float:
    """CPU time of children that have ended; the client is the only one to end meanwhile."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
