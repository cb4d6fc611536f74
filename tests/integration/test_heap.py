"""Goal: the heap of a running server is advised for huge pages, so that its forks copy little.

Source: /proc/PID/smaps, where `hg` among the flags of a mapping is that advice.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import Sidecar


def flags_of_heap(pid: int) -> set[str]:
    """Give the flags of the mapping that is called [heap]."""
    is_heap = False
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            is_heap = words[-1] == "[heap]"
        elif is_heap and words[0] == "VmFlags:":
            return set(words[1:])
    raise AssertionError("no heap")


def has_huge_pages() -> bool:
    """Whether the kernel gives huge pages to who asks for them."""
    mode = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return mode.exists() and "[never]" not in mode.read_text(encoding="ascii")


@pytest.mark.skipif(not has_huge_pages(), reason="the machine's huge pages are switched off")
def test_the_heap_of_a_server_is_advised_for_huge_pages(tmp_path: Path) -> None:
    with Sidecar(tmp_path) as server:
        assert "hg" in flags_of_heap(server.process.pid)
