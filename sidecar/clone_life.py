"""The life of a clone, seen from within its own process: when it may begin, and when it must end.

It begins when the server that launched it says so, after that one has recorded our process durably;
without the word it ends at once, so that a server killed in between leaves nothing that serves. It
ends by itself when its lease and a grace are over, its record is gone or says that it is to go, or
when nobody has called it ready: a server that never comes back does not leave it behind for ever.
Only a clone that was ready and has no lease serves on. It bounds its own log, too, so that nobody
else is needed for that either.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import structlog

from sidecar.clock import Clock
from sidecar.clone_record import CloneFolder, CloneState, read_record
from sidecar.errors import PerdureError

_log = structlog.get_logger(__name__)
RELEASE_WORD = b"serve\n"
LOOK_SECONDS = 5.0
LOG_BYTES_MAX = 8 << 20


def wait_for_release(stream: BinaryIO | None = None) -> bool:
    """Return whether the word came; blocks until it does, or the other end is closed."""
    return (stream or sys.stdin.buffer).readline(len(RELEASE_WORD)) == RELEASE_WORD


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a clone leaves it to its server to end it."""

    start_seconds: float  # from its own start: by then its server has called it ready, or given up
    grace_seconds: float  # on top of that, or of its lease


def bound_log(folder: CloneFolder, size_bytes_max: int = LOG_BYTES_MAX) -> None:
    """Begin the log anew when it is too large; the one before stays beside it. Blocks.

    Copied and cut short, not renamed: our output, the engine's included, goes to the open file,
    which every write appends to. A line that is written in between is lost.
    """
    try:
        if folder.log.stat().st_size <= size_bytes_max:
            return
        shutil.copyfile(folder.log, folder.old_log)
        os.truncate(folder.log, 0)
    except OSError as exc:
        _log.warning("clone_log_not_bounded", error=str(exc))


class LeaseWatch:
    """Ends the server when it is time and nobody else has."""

    def __init__(
        self, folder: Path, clock: Clock, patience: Patience, end: Callable[[], None]
    ) -> None:
        """Watch the record in `folder`; `end` is called, again and again, once it is time."""
        self._folder = CloneFolder(folder)
        self._clock = clock
        self._grace = timedelta(seconds=patience.grace_seconds)
        # Not from the record's time: what was fetched before our start may have taken hours.
        self._ready_until = clock.monotonic() + patience.start_seconds + patience.grace_seconds
        self._end = end

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            await asyncio.to_thread(bound_log, self._folder)
            why = await asyncio.to_thread(self.find_reason)
            if why is not None:
                _log.warning("clone_ends", reason=why)
                self._end()
            await self._clock.sleep(LOOK_SECONDS)

    def find_reason(self) -> str | None:
        """Return why it is time to end; None while it is not."""
        try:
            clone = read_record(self._folder.record)
        except FileNotFoundError:
            return "its record is gone"
        except (OSError, PerdureError) as exc:  # no reason to end: the data may be all there is
            _log.warning("clone_record_unreadable", error=str(exc))
            return None
        if clone.state is CloneState.DELETING:
            return "it is to be deleted"
        if clone.state is CloneState.CREATING:
            is_over = self._clock.monotonic() >= self._ready_until
            return "nobody called it ready" if is_over else None
        if clone.lease_end_at is None:
            return None
        is_over = self._clock.now() >= clone.lease_end_at + self._grace
        return "its lease is over" if is_over else None
