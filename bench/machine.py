"""What the figures were taken on, in words that name no host."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.processes import debian_tool
from tests.support.shell import run

ROOT = Path(__file__).resolve().parents[1]


def describe_machine() -> dict[str, str]:
    """Give what matters of the machine, as the page prints it."""
    cpu = field_of(Path("/proc/cpuinfo").read_text(), "model name")
    memory_kib = int(field_of(Path("/proc/meminfo").read_text(), "MemTotal").split()[0])
    release = re.match(r"[\d.]+", platform.release())
    huge = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return {
        "processor": f"{cpu}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory_kib / (1 << 20):.1f} GiB",
        "system": f"{system}, Linux {release[0] if release else ''}",
        "transparent huge pages": chosen(huge),
        "client": run(debian_tool("redis-benchmark"), "--version").stdout.strip(),
        "commit": commit(),
    }


def field_of(text: str, name: str) -> str:
    """Find the value of the first line `name : value`."""
    for line in text.splitlines():
        left, _, right = line.partition(":")
        if left.strip() == name:
            return right.strip()
    return "unknown"


def chosen(text: str) -> str:
    """Find the word in brackets, as the kernel marks the one of several that is set."""
    found = re.search(r"\[(\w+)\]", text)
    return found[1] if found else "unknown"


def commit() -> str:
    """Name the tree that was measured; a mark where it has changes of its own."""
    words = ("git", "describe", "--always", "--dirty", "--exclude", "*")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def lines_of(facts: Mapping[str, str]) -> list[str]:
    """Write facts as a list."""
    return [f"- {name}: {value}" for name, value in facts.items()]
