"""Replay and rewrite of a log: each server takes in what it logged itself, then rewrites it.

The same commands to all, each with a key of its own, so that the log has as many commands as the
data has keys. One server runs at a time and is not pinned, as for SAVE and load. The data is
verified: its number at each start, DEBUG DIGEST before all and after a start on the rewritten log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from bench import fillings
from bench.figures import Figures
from bench.fillings import send
from bench.logged import is_loaded
from bench.rows import EVERYSEC
from bench.servers import TITLES, Running, digest, load_seconds, start, version
from bench.throughput import rotated
from tests.support.processes import wait_for

POLL_SECONDS = 0.01


def run_log_stages(
    stages: Collection[str], names: Sequence[str], figures: Figures, folder: Path
) -> None:
    """Fill every server's log, then run the stages in turns and put the figures in."""
    digests = {name: _fill(name, folder / name, figures) for name in names}
    if len(set(digests.values())) > 1:
        raise RuntimeError(f"the servers hold not the same data: {digests}")
    if "replay" in stages:
        _in_turns(names, figures, folder, _replay)
    if "rewrite" in stages:
        _in_turns(names, figures, folder, _rewrite)
    for name in names:
        server = _start(name, folder / name, figures)
        found = digest(server)
        server.stop()
        if found != digests[name]:
            raise RuntimeError(f"{name} came back with other data: {found} {digests[name]}")
        figures.log.verified.append(name)
        print(f"{TITLES[name]}: DEBUG DIGEST as before the replays", flush=True)


def _fill(name: str, folder: Path, figures: Figures) -> str:
    server = start(name, folder, policy=EVERYSEC)
    try:
        figures.versions.setdefault(name, version(server))
        send(server.port, fillings.STRINGS.stream(figures.log.commands))
        return digest(server)
    finally:
        server.stop()


def _in_turns(
    names: Sequence[str],
    figures: Figures,
    folder: Path,
    act: Callable[[Running, Figures], None],
) -> None:
    for number in range(figures.rounds):
        for name in rotated(names, number):
            server = _start(name, folder / name, figures)
            try:
                act(server, figures)
            finally:
                server.stop()


def _start(name: str, folder: Path, figures: Figures) -> Running:
    """Start on the log that is there; the data is whole in number."""
    server = start(name, folder, policy=EVERYSEC)
    wait_for(lambda: is_loaded(server), "the log to be replayed", deadline_seconds=600)
    with server.client() as client:
        keys = client.dbsize()
    if keys != figures.log.commands:
        server.stop()
        raise RuntimeError(f"{name} came back with {keys} of {figures.log.commands} keys")
    return server


def _replay(server: Running, figures: Figures) -> None:
    seconds = load_seconds(server)
    figures.log.replay_seconds.setdefault(server.name, []).append(seconds)
    print(f"{TITLES[server.name]}: replayed in {seconds:.2f} s", flush=True)


def _rewrite(server: Running, figures: Figures) -> None:
    with server.client() as client:
        begun_at = time.perf_counter()
        client.bgrewriteaof()
        while (said := client.info("persistence"))["aof_rewrite_in_progress"]:
            time.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - begun_at
    if said["aof_last_bgrewrite_status"] != "ok" or said["aof_rewrite_scheduled"]:
        raise RuntimeError(f"the rewrite of {server.name} failed: {server.log}")
    figures.log.rewrite_seconds.setdefault(server.name, []).append(seconds)
    print(f"{TITLES[server.name]}: rewritten in {seconds:.2f} s", flush=True)
