"""That fsync really happens, by counting it: strace prints each such call, with the file.

A run of its own, since tracing costs: what is counted here is not measured, and the other way
round. Only calls on files of the log count: a manifest, a base and a directory are fsynced too.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.benchmark_tool import Target, measure
from bench.figures import Figures
from bench.process import two_cores
from bench.rows import ALWAYS, Row
from bench.servers import TITLES, start

COUNTED_REQUESTS = {1: 2_000, 50: 20_000, 200: 20_000}  # by clients
TIMED_SECONDS = 3.0  # of a policy that fsyncs by time
_FSYNC = re.compile(r"\b(?:fsync|fdatasync)\(\d+<[^>]*\.aof(?:\.ring)?>")


def count_fsyncs(rows: Sequence[Row], names: Sequence[str], figures: Figures, folder: Path) -> None:
    """Count in each row that needs it, on every server behind strace; none where that is missing.

    Under `always` it is calls for 1,000 writes, else calls a second.
    """
    strace = shutil.which("strace")
    if strace is None:
        print("fsyncs are not counted: apt-get install strace", flush=True)
        return
    _, client_core = two_cores()
    for name in names:
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        trace = place / "strace.log"
        # -D: the server is our child, strace is not, so that ending the server ends both.
        prefix = (strace, "-D", "-f", "-y", "--seccomp-bpf", "-e", "trace=fsync,fdatasync")
        server = start(name, place, (*prefix, "-o", str(trace)), rows[0].policy)
        try:
            for row in [it for it in rows if it.pipeline == 1]:
                before, begun_at = fsyncs_of(trace.read_text()), time.monotonic()
                requests = _load(row, server.target, client_core)
                calls = fsyncs_of(trace.read_text()) - before
                per = requests / 1000 if row.policy == ALWAYS else time.monotonic() - begun_at
                figures.log.fsyncs.setdefault(row.id, {})[name] = calls / per
                print(f"{row.title}: {TITLES[name]} {calls / per:.1f} fsyncs {unit_of(row.id)}")
        finally:
            server.stop()


def _load(row: Row, target: Target, client_core: int) -> int:
    """Run the row, shortened; again and again where time counts. Gives the number of writes."""
    short = replace(row, requests=min(row.requests, COUNTED_REQUESTS[row.clients]))
    requests, begun_at = 0, time.monotonic()
    while not requests or (row.policy != ALWAYS and time.monotonic() - begun_at < TIMED_SECONDS):
        measure(target, short, client_core)
        requests += short.requests
    return requests


def unit_of(row_id: str) -> str:
    """Say what the count of a row is divided by."""
    return "for 1,000 writes" if row_id.startswith(ALWAYS) else "a second"


def fsyncs_of(trace: str) -> int:
    """Count the calls on files of a log in what strace wrote; one cut in two counts once."""
    return len(_FSYNC.findall(trace))
