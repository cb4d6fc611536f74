"""What clones leave on this machine: processes found by their command line, folders, ports."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any


def processes_below(folder: Path) -> dict[int, str]:
    """Return pid and command line of every process that names the folder; ours excepted."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if f"{folder}/" in words:
                found[int(entry.name)] = words
    return found


def clone_processes(data: Path) -> dict[int, str]:
    """Return the processes of the clones of one server."""
    return processes_below(data / "clones")


def clone_folders(data: Path) -> list[str]:
    """Return the names of the clones' folders."""
    folder = data / "clones"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def is_open(address: str) -> bool:
    """Say whether somebody listens there."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((host, int(port))) == 0


def end_clones(data: Path) -> None:
    """SIGKILL what a failed test would leave behind, by pid."""
    for pid in clone_processes(data):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def addresses(clone: Any) -> list[str]:
    """Return every address of a clone as the command shows it."""
    return [str(address) for address in clone["endpoints"].values()]
