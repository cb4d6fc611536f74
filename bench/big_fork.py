"""Fork of gigabytes: one server at a time, filled with values of 960 bytes, forked by BGSAVE.

While a child runs, keys all over the data are written again, which splits huge pages where there
are any; the data's share on huge pages just before each fork stands beside its time, so that a
server whose second fork is slow again shows why. Then the child is ended: gigabytes of file would
push all else out of memory, and what is measured is the fork.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.figures import BigForks, Figures, Fork
from bench.fillings import CHUNK_BYTES, SEED, Chunk, encode, send, values
from bench.persistence import begin_fork
from bench.process import Anonymous, anonymous, children, huge_share
from bench.servers import TITLES, Running, start, version
from tests.support.processes import wait_for

KEY_BYTES, VALUE_BYTES = 16, 960  # with a header just below a size class of allocators
WRITES_BESIDE_CHILD = 4096
FORKS_PER_ROUND = 3
HUGE_SHARE_WANTED = 0.99
COLLAPSE_PATIENCE_SECONDS = 3.0
POLL_SECONDS = 0.2
GROWTH_MIN = 0.005
_DISTINCT_VALUES = 256


def run_big_forks(data_bytes: int, names: Sequence[str], figures: Figures, folder: Path) -> None:
    """Fill, fork and stop each server in turn; put what it gave in `figures`."""
    _check_room(data_bytes, folder)
    for name in names:
        place = folder / f"big-{name}"
        server = start(name, place)
        try:
            figures.versions[name] = version(server)
            keys = data_bytes // (KEY_BYTES + VALUE_BYTES)
            forks = _forks(server, keys, FORKS_PER_ROUND * figures.rounds)
        finally:
            server.stop()
            shutil.rmtree(place, ignore_errors=True)
        figures.big_forks[name] = BigForks(data_bytes, forks)
        cells = ", ".join(f"{f.us / 1000:.2f} ms ({f.huge_share:.0%} huge)" for f in forks)
        print(f"{TITLES[name]}: fork of {data_bytes >> 20} MiB: {cells}", flush=True)


def _forks(server: Running, keys: int, count: int) -> list[Fork]:
    empty = anonymous(server.pid)
    with server.client() as client:
        client.config_set("stop-writes-on-bgsave-error", "no")  # each child is ended
    send(server.port, _chunks(range(keys)))
    draw = random.Random(SEED)  # noqa: S311  # which keys are written again
    found = []
    for _ in range(count):
        share = _settled_huge_share(server.pid, empty)
        begin_fork(server)
        touched = [draw.randrange(keys) for _ in range(min(WRITES_BESIDE_CHILD, keys))]
        send(server.port, _chunks(touched))
        found.append(Fork(_end_child(server), share))
    return found


def _end_child(server: Running) -> float:
    """End the child of the server; give the fork's time in microseconds."""
    for child in children(server.pid):
        os.kill(child, signal.SIGKILL)
    with server.client() as client:

        def is_over() -> bool:
            return not client.info("persistence")["rdb_bgsave_in_progress"]

        wait_for(is_over, "the child to end", deadline_seconds=60)
        return float(client.info("stats")["latest_fork_usec"])


def _settled_huge_share(pid: int, empty: Anonymous) -> float:
    """Give the data's share on huge pages once it is whole, or has not grown for a while."""
    share, grown_at = huge_share(empty, anonymous(pid)), time.monotonic()
    while share < HUGE_SHARE_WANTED and time.monotonic() - grown_at < COLLAPSE_PATIENCE_SECONDS:
        time.sleep(POLL_SECONDS)
        now = huge_share(empty, anonymous(pid))
        if now > share + GROWTH_MIN:
            grown_at = time.monotonic()
        share = now
    return share


def _chunks(keys: Sequence[int] | range) -> Iterator[Chunk]:
    """Encode the keys as they are sent: gigabytes are not kept twice."""
    pool = list(values(_DISTINCT_VALUES, VALUE_BYTES))
    step = CHUNK_BYTES // VALUE_BYTES
    for begin in range(0, len(keys), step):
        part = keys[begin : begin + step]
        data = (encode(b"SET", b"key:%012d" % key, pool[key % len(pool)]) for key in part)
        yield Chunk(b"".join(data), len(part))


def _check_room(data_bytes: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < data_bytes // 2:
        raise RuntimeError(
            f"children begin files of {data_bytes >> 20} MiB below {folder}, where "
            f"{free >> 20} MiB are free: give another --folder, or --fork-mib"
        )
