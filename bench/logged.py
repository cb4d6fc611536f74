"""The rows with an append-only file: one policy at a time, ours beside itself without a log.

Under `always` a server that does nothing but fsync runs in the same turns: it shows the limit.
Rounds turn as those of the other rows; what one sample left for the kernel to write is on the disk
before the next. Afterwards every server that logs is killed by SIGKILL, started anew, and must
hold what it held: no policy loses a write that was answered when only the process dies.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from bench.benchmark_tool import measure
from bench.figures import NULL, NULL_FSYNCED, OURS, UNLOGGED, Figures, RowFigures, Sample
from bench.fsyncs import count_fsyncs
from bench.process import on_core, two_cores
from bench.rows import ALWAYS, Row
from bench.servers import TITLES, Running, digest, start, version
from bench.throughput import command_of, refill, rotated, told
from tests.support.processes import wait_for


def run_log_rows(rows: Sequence[Row], names: Sequence[str], figures: Figures, folder: Path) -> None:
    """Run the rows policy by policy, count fsyncs, and put all of it in `figures`."""
    server_core, client_core = two_cores()
    storing = [name for name in names if name != NULL]
    for policy, found in groupby(rows, key=lambda row: row.policy):
        group, place = list(found), folder / policy
        servers: dict[str, Running] = {}
        try:
            for name in [*storing, *(_beside(policy) if OURS in storing else [])]:
                servers[name] = start(name, place / name, on_core(server_core), policy)
                figures.versions.setdefault(name, version(servers[name]))
                refill(servers[name], group[0].filling.chunks(group[0].keys))
            for row in group:
                _run_row(row, servers, figures, client_core)
            for name in storing:
                servers[name] = _killed(servers[name], place / name, policy)
                figures.log.killed.append(f"{policy} {name}")
        finally:
            for server in servers.values():
                server.stop()
        count_fsyncs(group, storing, figures, place / "counted")


def _beside(policy: str) -> list[str]:
    """Name what ours is compared with under a policy, besides its peers."""
    return [UNLOGGED, NULL_FSYNCED] if policy == ALWAYS else [UNLOGGED]


def _run_row(row: Row, servers: dict[str, Running], figures: Figures, client_core: int) -> None:
    samples: dict[str, list[Sample]] = {name: [] for name in servers}
    for number in range(figures.rounds):
        for name in rotated(list(servers), number):
            samples[name].append(measure(servers[name].target, row, client_core))
            settle(servers[name])
    found = RowFigures(row.id, row.title, command_of(row), samples)
    figures.log.rows.append(found)
    print(told(found), flush=True)


def settle(server: Running) -> None:
    """Have the kernel write what it holds of a server's files, so that no other pays for it."""
    for path in server.rdb.parent.rglob("*.aof"):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _killed(server: Running, folder: Path, policy: str) -> Running:
    """End a server by SIGKILL, start it on what is on the disk, and compare."""
    before = digest(server)
    server.kill()
    fresh = start(server.name, folder, (), policy)
    with fresh.client() as client:
        wait_for(lambda: is_loaded(fresh), "the log to be replayed", deadline_seconds=600)
        keys = client.dbsize()
    after = digest(fresh)
    if after != before:
        fresh.stop()
        raise RuntimeError(
            f"{server.name} under {policy} lost data with its process: {before} became {after}"
        )
    print(f"{TITLES[server.name]}, {policy}: {keys} keys after SIGKILL, as before", flush=True)
    return fresh


def is_loaded(server: Running) -> bool:
    """Tell whether a server has taken its data in."""
    with server.client() as client:
        return not client.info("persistence")["loading"]
