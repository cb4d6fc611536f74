"""Processes by mark: a pid with the time at which the process started, so that no other is meant.

A pid is used again; the pair of pid and start time is not, until the machine starts anew, and the
mark names that start, too. A signal goes through a pidfd that was opened before the mark was
compared: whoever has the pid later is never hit.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from sidecar.clone_record import ProcessMark

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Of /proc/<pid>/stat, counted behind the name in brackets, which may hold anything.
_STATE_FIELD = 0
_STARTED_FIELD = 19
_DEAD = frozenset({"Z", "X"})


def mark_of(pid: int) -> ProcessMark | None:
    """Return the mark of a process that runs, or is our own unreaped child; else None."""
    fields = _stat(pid)
    if fields is None:
        return None
    return ProcessMark(pid, int(fields[_STARTED_FIELD]), _BOOT_ID.read_text().strip())


def is_running(mark: ProcessMark) -> bool:
    """Return whether exactly this process runs."""
    fields = _stat(mark.pid)
    if fields is None or fields[_STATE_FIELD] in _DEAD:
        return False
    return mark_of(mark.pid) == mark


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


async def end_process(mark: ProcessMark, patience_seconds: float, kill_seconds: float) -> bool:
    """End a process: SIGTERM, then SIGKILL once patience is over; say whether it is gone.

    No patience is SIGKILL at once. A process that is not the marked one is left alone.
    """
    try:
        descriptor = os.pidfd_open(mark.pid)
    except ProcessLookupError:
        return True
    try:
        if not is_running(mark):
            return True
        if patience_seconds > 0:
            _signal(descriptor, signal.SIGTERM)
            if await _has_ended(descriptor, patience_seconds):
                return True
        _signal(descriptor, signal.SIGKILL)
        return await _has_ended(descriptor, kill_seconds)
    finally:
        os.close(descriptor)


def _signal(descriptor: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it was faster
        signal.pidfd_send_signal(descriptor, number)


async def _has_ended(descriptor: int, seconds: float) -> bool:
    """Wait for a process; its pidfd is readable once it has ended, reaped or not."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return True
