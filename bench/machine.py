"""What the figures were taken on, in words that name no host."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.processes import debian_tool
from tests.support.shell import run

ROOT = Path(__file__).resolve().parents[1]
MOUNTS = Path("/proc/self/mounts")


def describe_machine(folder: Path | None = None) -> dict[str, str]:
    """Give what matters of the machine, as the page prints it; data lies below `folder`."""
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
        "data of all servers": disk_of(folder or Path(tempfile.gettempdir()), MOUNTS.read_text()),
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


def disk_of(folder: Path, mounts: str) -> str:
    """Say on what a folder lies, as `/proc/self/mounts` tells: memory is no disk to fsync to."""
    words = [line.split() for line in mounts.splitlines()]
    found = [w for w in words if len(w) > 2 and folder.resolve().is_relative_to(w[1])]
    kind = max(found, key=lambda w: len(w[1]))[2] if found else "an unknown file system"
    return f"{kind}, which is memory: fsync costs nothing" if kind == "tmpfs" else f"{kind}, a disk"


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
