"""What the `perdure` script runs: the command line, and before a server a look at its heap.

Light on purpose: nothing big is imported before a server starts again. It does so once, in the same
process: the C library reads how to keep its heap only at a process's start. On huge pages the heap
costs a fork next to nothing; on small ones more than a gigabyte of data does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from perdure.cli.argv import first_verb, hoist_global_options

TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = "glibc.malloc.hugetlb"
ALLOCATOR = "PYTHONMALLOC"


def with_heap_on_huge_pages(environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return the environment that asks for it; None if somebody has decided already."""
    tunables = environment.get(TUNABLES, "")
    if HUGE_PAGES in tunables:
        return None
    asked = ":".join(filter(None, (tunables, f"{HUGE_PAGES}=1")))
    # Python's own arenas are small mappings of their own, which huge pages do not fit.
    return {ALLOCATOR: "malloc", **environment, TUNABLES: asked}


def main() -> None:
    """Run the `perdure` command with the process's arguments, and end the process."""
    if first_verb(hoist_global_options(sys.argv[1:])) == "serve" and sys.executable:
        environment = with_heap_on_huge_pages(os.environ)
        if environment is not None:
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
    from perdure.cli.main import run  # noqa: PLC0415  # see above

    sys.exit(run(sys.argv[1:]))
