"""What a process costs, read from the kernel: CPU time, resident memory, huge pages; and cores.

CPU time is the process's own clock: all threads, dead ones included, in nanoseconds.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Anonymous:
    """Anonymous memory of a process, and how much of it lies on huge pages."""

    total_bytes: int
    huge_bytes: int


def anonymous(pid: int) -> Anonymous:
    """Ask the kernel for a process's anonymous memory."""
    found = sizes(Path(f"/proc/{pid}/smaps_rollup").read_text())
    return Anonymous(found.get("Anonymous", 0), found.get("AnonHugePages", 0))


def huge_share(before: Anonymous, now: Anonymous) -> float:
    """Share on huge pages, 0 to 1, of the memory that was added since `before`.

    What a process had when it was empty (an interpreter, for one) is not its data's.
    """
    added = now.total_bytes - before.total_bytes
    if added <= 0:
        return 0.0
    return min(max(now.huge_bytes - before.huge_bytes, 0) / added, 1.0)


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            _state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid:
                found.append(int(path.parent.name))
    return found


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
