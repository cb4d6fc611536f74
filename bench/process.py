"""What a process costs, read from the kernel: CPU time, resident memory, huge pages; and cores.

CPU time is the process's own clock: all threads, dead ones included, in nanoseconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

_SCHEDULED = 2  # CPUCLOCK_SCHED of clock_getcpuclockid(3): what the scheduler charged
_KIB = 1024


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process so far, user and system, in seconds."""
    return time.clock_gettime((~pid << 3) | _SCHEDULED)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def huge_share(pid: int) -> float:
    """Share of a process's anonymous memory that lies on huge pages, 0 to 1."""
    return huge_share_of(sizes(Path(f"/proc/{pid}/smaps_rollup").read_text()))


def huge_share_of(rollup: Mapping[str, int]) -> float:
    """Share of anonymous memory on huge pages, from the sizes of an smaps_rollup."""
    anonymous = rollup.get("Anonymous", 0)
    return rollup.get("AnonHugePages", 0) / anonymous if anonymous else 0.0


def sizes(rollup: str) -> dict[str, int]:
    """Parse the lines `Name:  123 kB` of an smaps_rollup into bytes."""
    found = {}
    for line in rollup.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * _KIB
    return found


def two_cores() -> tuple[int, int]:
    """Give a core for the server and one for the client."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise RuntimeError("the bench pins server and client apart: two cores are needed")
    return allowed[0], allowed[1]


def on_core(core: int) -> tuple[str, ...]:
    """Give the words that start a command on one core, all of its threads included."""
    return ("taskset", "-c", str(core))
