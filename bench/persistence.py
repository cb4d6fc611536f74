"""SAVE, load, fork and bytes a key on the same strings in every server; every step is verified.

No client runs meanwhile, so no server is pinned: one that reads ahead on a second core may. The
digest is taken before, and after the last load; a server whose data is not that of the others, or
that comes back with another data set, fails the run. Loads find the file in the page cache, all of
them: it was just written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from bench import fillings
from bench.figures import Figures
from bench.fillings import Chunk, send
from bench.process import resident_bytes
from bench.servers import TITLES, Running, digest, load_seconds, start, version
from bench.throughput import rotated
from tests.support.processes import wait_for


def run_stages(
    stages: Collection[str], names: Sequence[str], figures: Figures, folder: Path
) -> None:
    """Fill every server with `figures.keys` strings, run the stages, put the figures in."""
    chunks = fillings.STRINGS.chunks(figures.keys)
    servers: dict[str, Running] = {}
    try:
        for name in names:
            servers[name] = start(name, folder / name)
            _fill(servers[name], chunks, figures)
        digests = {name: digest(server) for name, server in servers.items()}
        if len(set(digests.values())) > 1:
            raise RuntimeError(f"the servers hold not the same data: {digests}")
        if "save" in stages or "load" in stages:
            _in_turns(servers, figures, _save)
        if "fork" in stages:
            _in_turns(servers, figures, _fork)
        if "load" in stages:
            _in_turns(servers, figures, _load)
        for name, server in servers.items():
            _verify(server, digests[name], figures)
    finally:
        for server in servers.values():
            server.stop()


def _fill(server: Running, chunks: Sequence[Chunk], figures: Figures) -> None:
    name = server.name
    figures.versions[name] = version(server)
    used_before, resident_before = _used_bytes(server), resident_bytes(server.pid)
    send(server.port, chunks)
    resident_after, used_after = resident_bytes(server.pid), _used_bytes(server)
    figures.used_bytes[name] = (used_after - used_before) / figures.keys
    figures.resident_bytes[name] = (resident_after - resident_before) / figures.keys
    print(f"{TITLES[name]}: {figures.used_bytes[name]:.1f} bytes a key", flush=True)


def _in_turns(
    servers: dict[str, Running],
    figures: Figures,
    act: Callable[[Running, Figures], Running],
) -> None:
    """Run a stage once a round on every server; one that starts a server anew gives the new."""
    for number in range(figures.rounds):
        for name in rotated(list(servers), number):
            servers[name] = act(servers[name], figures)


def _save(server: Running, figures: Figures) -> Running:
    with server.client() as client:
        begun_at = time.perf_counter()
        client.save()
        _note(figures.save_seconds, server, time.perf_counter() - begun_at)
    figures.file_bytes[server.name] = server.rdb.stat().st_size
    return server


def _fork(server: Running, figures: Figures) -> Running:
    _note(figures.fork_us, server, timed_fork(server))
    return server


def timed_fork(server: Running) -> float:
    """Run a BGSAVE to its end; give the fork's time in microseconds as the server reports it."""
    begin_fork(server)
    return end_fork(server)


def begin_fork(server: Running) -> None:
    """Start a BGSAVE."""
    with server.client() as client:
        client.bgsave()


def end_fork(server: Running) -> float:
    """Wait for the child to end well; give the fork's time in microseconds."""
    with server.client() as client:

        def is_over() -> bool:
            return not client.info("persistence")["rdb_bgsave_in_progress"]

        wait_for(is_over, "BGSAVE to end", deadline_seconds=600)
        if client.info("persistence")["rdb_last_bgsave_status"] != "ok":
            raise RuntimeError(f"BGSAVE of {server.name} failed: {server.log}")
        return float(client.info("stats")["latest_fork_usec"])


def _load(server: Running, figures: Figures) -> Running:
    """Start the server anew on its own file."""
    server.stop()
    begun_at = time.perf_counter()
    fresh = start(server.name, server.log.parent)
    with fresh.client() as client:
        wait_for(client.ping, "PING", deadline_seconds=600)
        keys = client.dbsize()
    _note(figures.start_seconds, fresh, time.perf_counter() - begun_at)
    _note(figures.load_seconds, fresh, load_seconds(fresh))
    if keys != figures.keys:
        raise RuntimeError(f"{server.name} came back with {keys} of {figures.keys} keys")
    return fresh


def _verify(server: Running, wanted: str, figures: Figures) -> None:
    found = digest(server)
    if found != wanted:
        raise RuntimeError(f"{server.name} holds another data set than before: {found} {wanted}")
    figures.verified.append(server.name)
    print(f"{TITLES[server.name]}: DEBUG DIGEST as before", flush=True)


def _used_bytes(server: Running) -> int:
    with server.client() as client:
        return int(client.info("memory")["used_memory"])


def _note(figures: dict[str, list[float]], server: Running, value: float) -> None:
    figures.setdefault(server.name, []).append(value)
