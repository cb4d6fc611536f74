"""Compare the sidecar with redis-server, side by side in one run: `make bench`.

The server is pinned to the first core and redis-benchmark to the second; the peers take turns, and
each figure is the median of the rounds. On such a machine absolute figures are noise: read the
ratios, and the server's CPU for an operation where the client is the limit.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.dataset import write_strings
from tests.support.processes import RedisServer, Sidecar, debian_tool
from tests.support.shell import run

ROUNDS = 3
SERVER_CORE, CLIENT_CORE = "0", "1"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
RESULTS = Path(__file__).with_name("results.md")


@dataclass(frozen=True)
class Peer:
    """A running server under test."""

    name: str
    pid: int
    port: int
    save: Callable[[], object]
    restart: Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One redis-benchmark run: test, pipeline depth, number of requests, size of the key space."""

    test: str
    pipeline: int
    requests: int
    keys: int = 200_000

    @property
    def title(self) -> str:
        """Name of the row in the table."""
        return f"{self.test.upper()} P={self.pipeline}"


ROWS = (
    Row("set", 1, 200_000),
    Row("get", 1, 200_000),
    Row("set", 16, 2_000_000),
    Row("get", 16, 2_000_000),
    Row("set", 64, 4_000_000),
    Row("get", 64, 4_000_000),
    Row("incr", 16, 2_000_000),
    Row("mset", 1, 200_000),
)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def measure(peer: Peer, row: Row) -> tuple[float, float]:
    """Give requests a second and the server's CPU for one of them in microseconds."""
    before = cpu_seconds(peer.pid)
    done = run(
        *("taskset", "-c", CLIENT_CORE, debian_tool("redis-benchmark"), "-p", peer.port),
        *("-t", row.test, "-n", row.requests, "-P", row.pipeline, "-c", 50),
        *("-d", 64, "-r", row.keys, "--csv"),
    )
    spent = cpu_seconds(peer.pid) - before
    rate = float(done.stdout.splitlines()[1].split(",")[1].strip('"'))
    return rate, spent / row.requests * 1e6


def pin(pid: int) -> None:
    """Put every thread of a process on the server's core."""
    run("taskset", "-a", "-p", "-c", SERVER_CORE, pid)


def throughput(peers: list[Peer]) -> list[str]:
    """Run every row on every peer in turns; give the lines of the table."""
    lines = [
        "| row | " + " | ".join(f"{p.name} | CPU/op" for p in peers) + " | CPU ratio |",
        "| --- |" + " --- | --- |" * len(peers) + " --- |",
    ]
    for row in ROWS:
        figures: dict[str, list[tuple[float, float]]] = {peer.name: [] for peer in peers}
        for _ in range(ROUNDS):
            for peer in peers:
                figures[peer.name].append(measure(peer, row))
        cells, costs = [], []
        for peer in peers:
            rate = statistics.median(rate for rate, _ in figures[peer.name])
            cost = statistics.median(cost for _, cost in figures[peer.name])
            costs.append(cost)
            cells.append(f"{rate:,.0f}/s | {cost:.2f} µs")
        line = f"| {row.title} | " + " | ".join(cells) + f" | {costs[0] / costs[1]:.2f} |"
        print(line, flush=True)
        lines.append(line)
    return lines


def persistence(peers: list[Peer]) -> list[str]:
    """Time SAVE and a restart on the same 1,000,000 keys."""
    for peer in peers:
        with redis.Redis(port=peer.port, socket_timeout=300) as client:
            client.flushall()  # what the throughput rows left
        write_strings(peer.port, 1_000_000, seed=1)
    lines = [
        "| row | " + " | ".join(p.name for p in peers) + " | ratio |",
        "| --- |" + " --- |" * 3,
    ]
    for title, act in (("SAVE of 1 M keys", "save"), ("start until it serves", "restart")):
        samples: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for _ in range(ROUNDS):
            for peer in peers:
                begin = time.perf_counter()
                taken = getattr(peer, act)()
                spent = taken if act == "restart" else time.perf_counter() - begin
                samples[peer.name].append(spent)
        seconds = [statistics.median(samples[peer.name]) for peer in peers]
        cells = " | ".join(f"{figure:.2f} s" for figure in seconds)
        lines.append(f"| {title} | {cells} | {seconds[0] / seconds[1]:.2f} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Run everything and write `results.md` beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        ours = Sidecar(place / "sidecar", redis_args=("--save", ""))
        theirs = RedisServer(place / "redis")

        def restart_ours() -> float:
            nonlocal ours
            ours.stop()
            begin = time.perf_counter()
            ours = Sidecar(place / "sidecar", redis_args=("--save", ""))
            return time.perf_counter() - begin

        def restart_theirs() -> float:
            nonlocal theirs
            theirs.stop()
            begin = time.perf_counter()
            theirs = RedisServer(place / "redis")
            with theirs.client() as client:
                client.dbsize()
            return time.perf_counter() - begin

        with ours.client() as our_client, theirs.client() as their_client:
            peers = [
                Peer(
                    "perdure", ours.process.pid, ours.ports["resp"], our_client.save, restart_ours
                ),
                Peer(
                    "redis 7.0", theirs.process.pid, theirs.port, their_client.save, restart_theirs
                ),
            ]
            for peer in peers:
                pin(peer.pid)
            lines = [*throughput(peers), "", *persistence(peers)]
        ours.stop()
        theirs.stop()
    head = [
        "# Results of `make bench`",
        "",
        f"{ROUNDS} rounds in turns, 50 clients, 64-byte values.",
        "",
    ]
    RESULTS.write_text("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
