"""What clones leave on this machine: processes found by their command line, folders, ports."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

_LISTEN = "0A"  # the state, as /proc/net/tcp has it


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


def listeners(clone: Any) -> set[tuple[int, int]]:
    """Return port and socket of every door of a clone that somebody listens on now.

    The socket, since another process may have the port a moment after.
    """
    wanted = {int(address.rpartition(":")[2]) for address in addresses(clone)}
    found = set()
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    for line in [line for table in tables for line in table.splitlines()[1:]]:
        fields = line.split()
        port = int(fields[1].rpartition(":")[2], 16)
        if fields[3] == _LISTEN and port in wanted:
            found.add((port, int(fields[9])))
    return found


def end_clones(data: Path) -> None:
    """SIGKILL what a failed test would leave behind, by pid."""
    for pid in clone_processes(data):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def addresses(clone: Any) -> list[str]:
    """Return every address of a clone as the command shows it."""
    return [str(address) for address in clone["endpoints"].values()]
